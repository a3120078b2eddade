"""Algorithm 2 along its iterations: what is reconstructed after any number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from surp_fl.codecs.surp_paper.refinement import Refinement, magnitudes_of_all, refine
from surp_fl.codecs.surp_paper.scales import Scale
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from surp_fl.types import Array, Arrays, Floats, Vector


@dataclass(frozen=True)
class Walk:
    """One run of Algorithm 2 over the prunable weights of a network.

    Attributes:
        arrays: the network.
        names: of the prunable arrays, those of two dimensions or more.
        vector: their weights, in order; shape (n,).
        scales: of each weight, what it is divided by; shape (n,).
        refinement: the steps.
        schedule: of the thresholds.
    """

    arrays: Arrays
    names: tuple[str, ...]
    vector: Vector
    scales: Floats
    refinement: Refinement
    schedule: Schedule

    @property
    def steps(self) -> int:
        """Iterations of the run."""
        return len(self.refinement.indices)

    @property
    def refreshes(self) -> int:
        """How often the parameter was estimated again, the first estimate apart."""
        return len(self.refinement.refresh_at) - 1

    def magnitudes(self, steps: int) -> Floats:
        """û after some steps, in units of the scales; shape (n,)."""
        first = self.refinement
        shown = int(np.searchsorted(first.refresh_at, steps))
        prefix = Refinement(first.indices[:steps], first.refresh_at[:shown], first.refresh_code[:shown])
        return magnitudes_of_all(prefix, self.schedule, self.vector.size)

    def distortion(self, steps: int) -> float:
        """‖u − û‖₁ / ‖u‖₁ after some steps."""
        u = np.abs(self.vector) / self.scales
        return float(1 - self.magnitudes(steps).sum() / u.sum())

    def sparsity(self, steps: int) -> float:
        """Share of zeros among the prunable weights after some steps."""
        return 1 - np.unique(self.refinement.indices[:steps]).size / self.vector.size

    def reconstruction(self, steps: int) -> Arrays:
        """The network with ŵ, the sum of the thresholds of each weight, in place of its prunable weights."""
        values = np.copysign(self.magnitudes(steps) * self.scales, self.vector).astype(np.float32)
        return self._with(values)

    def pruned(self, steps: int) -> Arrays:
        """The network with the weights that were named as they are, and zeros in place of the others."""
        return self._with(np.where(self._named(steps), self.vector, np.float32(0)))

    def masks(self, steps: int) -> Mapping[str, Array]:
        """The weights that were named, by name."""
        named = self._with(self._named(steps))
        return {name: named[name] for name in self.names}

    def _named(self, steps: int) -> Array:
        """Whether each weight was named in the first steps; shape (n,)."""
        named = np.zeros(self.vector.size, np.bool_)
        named[self.refinement.indices[:steps]] = True
        return named

    def _with(self, values: Array) -> Arrays:
        shapes = [self.arrays[name].shape for name in self.names]
        parts = np.split(values, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
        made = {name: part.reshape(shape) for name, part, shape in zip(self.names, parts, shapes, strict=True)}
        return {**self.arrays, **made}


def walk_of(arrays: Arrays, scale: Scale, limits: Limits, rng: np.random.Generator, beta: float | None = None) -> Walk:
    """Run Algorithm 2 on a network.

    Args:
        arrays: of the network; weights that were pruned before are zero.
        scale: of a layer's weights.
        limits: where to stop.
        rng: of the picks.
        beta: the paper's β; None for ln n.
    """
    names = tuple(name for name, array in arrays.items() if array.ndim >= 2)
    vector = np.concatenate([arrays[name].ravel() for name in names])
    sizes = [arrays[name].size for name in names]
    scales = np.array([scale(arrays[name]) for name in names])
    schedule = Schedule.of(vector.size, beta)
    refinement = refine(vector, np.cumsum(sizes), scales, schedule, limits, 1, rng)
    return Walk(arrays, names, vector, np.repeat(scales, sizes), refinement, schedule)
