"""What pruning gives: masks, pruned arrays, and a table of each layer before and after.

Knows arrays. Does not know methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from surp_fl.pruning.layers import Mask
from surp_fl.types import Array


@dataclass(frozen=True)
class LayerReport:
    """One layer before and after.

    Attributes:
        name: of the array.
        shape: of the array.
        weights: number of them.
        before: those that were not zero and not pruned earlier.
        kept: those that the mask keeps.
        l1: Σ|w| after, as a share of Σ|w| before; NaN if that is 0.
        l2: the same of √Σw².
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    before: int
    kept: int
    l1: float
    l2: float

    @classmethod
    def of(cls, name: str, before: Array, after: Array, mask: Mask) -> LayerReport:
        """Compare the array before and after; both of its shape."""
        norms = [_norms(before), _norms(after)]
        shares = [new / old if old > 0 else float("nan") for old, new in zip(*norms, strict=True)]
        nonzero, kept = int(np.count_nonzero(before)), int(np.count_nonzero(mask))
        return cls(name, before.shape, before.size, nonzero, kept, shares[0], shares[1])

    @property
    def sparsity(self) -> float:
        """Share of the weights that are pruned."""
        return 1 - self.kept / self.weights


def _norms(array: Array) -> tuple[float, float]:
    """l1 and l2 norm, in double precision."""
    flat = array.reshape(-1)
    largest = float(np.abs(flat).max(initial=0.0))
    if largest == 0.0:
        return 0.0, 0.0
    scaled = np.abs(flat).astype(np.float64) / largest  # so that no square is out of range
    return largest * float(scaled.sum()), largest * float(np.sqrt(np.square(scaled).sum()))


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned model.

    Attributes:
        masks: of the prunable arrays, by name, in their shapes; true where a weight is kept.
        arrays: new copies of all arrays of the model, 0 where they are pruned.
        layers: each prunable array before and after, in the model's order; tied arrays once.
        parameters: trained parameters of the whole model, prunable or not; tied arrays once.
        method: that was used.
        reconstructed: whether weights that are kept have other values than before.
    """

    masks: Mapping[str, Mask]
    arrays: Mapping[str, Array]
    layers: tuple[LayerReport, ...]
    parameters: int
    method: str
    reconstructed: bool = False

    @property
    def weights(self) -> int:
        """Number of prunable weights."""
        return sum(layer.weights for layer in self.layers)

    @property
    def kept(self) -> int:
        """Number of prunable weights that are kept."""
        return sum(layer.kept for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Pruned share of the prunable weights."""
        return 1 - self.kept / self.weights

    @property
    def sparsity_of_all(self) -> float:
        """Pruned share of all trained parameters, biases and batch normalisation included."""
        return (self.weights - self.kept) / self.parameters

    def table(self) -> str:
        """A line for each layer, and two totals: of the prunable weights, and of all trained parameters.

        l1 and l2 are the norms after pruning as shares of those before.
        """
        rows = [[cell(layer) for cell in _COLUMNS.values()] for layer in self.layers]
        before = sum(layer.before for layer in self.layers)
        rest = self.parameters - self.weights
        rows.append(_total("prunable weights", self.weights, before, self.kept))
        rows.append(_total("all parameters", self.parameters, before + rest, self.kept + rest))
        lines = _aligned([list(_COLUMNS), *rows])
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-2], rule, *lines[-2:]])

    def __str__(self) -> str:
        return f"pruned by {self.method}\n{self.table()}"


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4f}"


_COLUMNS: Mapping[str, Callable[[LayerReport], str]] = {
    "layer": lambda layer: layer.name,
    "shape": lambda layer: "×".join(map(str, layer.shape)) or "scalar",
    "weights": lambda layer: f"{layer.weights:,}",
    "nonzero before": lambda layer: f"{layer.before:,}",
    "kept": lambda layer: f"{layer.kept:,}",
    "sparsity": lambda layer: f"{layer.sparsity:.2%}",
    "l1": lambda layer: _share(layer.l1),
    "l2": lambda layer: _share(layer.l2),
}


def _total(name: str, weights: int, before: int, kept: int) -> list[str]:
    return [name, "", f"{weights:,}", f"{before:,}", f"{kept:,}", f"{1 - kept / weights:.2%}", "", ""]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns of equal width; names to the left, numbers to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *numbers in rows:
        cells = [cell.rjust(width) for cell, width in zip(numbers, others, strict=True)]
        lines.append("  ".join([name.ljust(first), *cells]).rstrip())
    return lines
