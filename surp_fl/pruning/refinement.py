"""SuRP as a pruning method: the weights that Algorithm 2 refines until so many of them are not zero.

Knows the refinement of the paper's codec. Does not know messages.
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.surp_paper.refinement import Limits, Refinement, Schedule, magnitudes, refine
from surp_fl.codecs.surp_paper.scheme import Scale, l1
from surp_fl.pruning.selection import largest
from surp_fl.pruning.task import Selection, Task
from surp_fl.types import Array, Floats, Integers, Vector


def surp(task: Task, *, scale: Scale | None = l1, beta: float | None = None, reconstruct: bool = False) -> Selection:
    """Refine u = |w| / s of all layers by Algorithm 2, and keep the weights that were refined.

    Each step draws one of the weights with u ≥ τ = (1/λ)·ln(n/β), uniformly, and subtracts τ from its u; the walk ends
    when `task.keep` weights were drawn at least once. n counts all prunable weights; those that were pruned earlier are
    zeros, which are never drawn. Where fewer weights than that can be drawn, as the others are zero, zeros fill up
    the number, the first ones of the model.

    Args:
        task: what to prune.
        scale: s of a layer from its weights in their own shape; None for one scale over all layers.
        beta: the paper's β; None for ln n.
        reconstruct: whether the weights that are kept get SuRP's reconstruction, the sum of their thresholds, in place
            of their own values.

    Raises:
        ValueError: a scale is negative, NaN or infinite, or `beta` gives no threshold.
    """
    vector = np.concatenate([layer.masked().reshape(-1) for layer in task.layers]).astype(np.float32, copy=False)
    ends = np.cumsum(task.sizes)
    scales = _scales(task, scale)
    schedule = Schedule.of(vector.size, beta)
    distinct = min(task.keep, int(np.count_nonzero(vector)))
    refinement = refine(vector, ends, scales, schedule, Limits(distinct=distinct), 1, task.rng)
    mask = np.zeros(vector.size, np.bool_)
    mask[refinement.indices] = True
    missing = task.keep - int(np.count_nonzero(mask))
    if missing > 0:
        mask |= _next(task, mask, missing)
    cuts = ends[:-1]
    if not reconstruct:
        return Selection(np.split(mask, cuts))
    return Selection(np.split(mask, cuts), np.split(_values(vector, refinement, schedule, ends, scales), cuts))


def _scales(task: Task, scale: Scale | None) -> Floats:
    """s of each layer; 0 leaves a layer out, as one of zeros."""
    if scale is None:
        return np.ones(len(task.layers))
    found = np.array([scale(layer.masked()) for layer in task.layers])
    for layer, each in zip(task.layers, found.tolist(), strict=True):
        if not 0 <= each < np.inf:
            raise ValueError(f"scale gives {each} for '{layer.name}'; expected a finite number, at least 0")
    return found


def _next(task: Task, mask: Array, count: int) -> Array:
    """The largest magnitudes of those that were not refined and are left."""
    scores = np.concatenate([layer.flat_magnitudes() for layer in task.layers])
    scores[mask] = -1
    return largest([scores], count)[0]


def _values(vector: Vector, refinement: Refinement, schedule: Schedule, ends: Integers, scales: Floats) -> Vector:
    """The sum of the thresholds of each weight, with its sign, in units of its layer's scale; shape (n,)."""
    indices, sums = magnitudes(refinement, schedule)
    values = np.zeros(vector.size, np.float32)
    values[indices] = np.copysign(sums * scales[np.searchsorted(ends, indices, side="right")], vector[indices])
    return values
