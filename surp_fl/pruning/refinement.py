"""SuRP as a pruning method: the weights that Algorithm 2 refines until so many of them are not zero.

Knows the refinement of the paper's codec. Does not know messages.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surp_fl.codecs.surp_paper.refinement import Refinement, magnitudes, refine
from surp_fl.codecs.surp_paper.scales import Scale, l2
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from surp_fl.pruning.scores import checked_scale
from surp_fl.pruning.selection import largest
from surp_fl.pruning.task import Selection, Task
from surp_fl.types import Array, Floats, Integers, Vector


def surp(task: Task, *, scale: Scale | None = l2, beta: float | None = None, reconstruct: bool = False) -> Selection:
    """Refine u = |w| / s of all layers by Algorithm 2, and keep the weights that were refined.

    Each step draws one of the weights with u ≥ τ = (1/λ)·ln(n/β), uniformly, and subtracts τ from its u; the walk ends
    when `task.keep` weights were drawn at least once. n counts all prunable weights; those that were pruned earlier are
    zeros, which are never drawn. If fewer weights than that can be drawn, the others being zero, zeros fill up the
    number, the first ones of the model. The walk works on one float32 copy of the weights, reads it a few times, and
    holds 17 bytes for each weight that was drawn or is above half the threshold, and 8 for each step.

    Args:
        task: what to prune.
        scale: s of a layer from its weights in their own shape; None for one scale over all layers. The l2 norm is that
            of the authors' published code; the paper's Theorem 1 has the norm that the l1 norm of vectors induces.
        beta: the paper's β; None for ln n.
        reconstruct: whether the weights that are kept get SuRP's reconstruction, the sum of their thresholds, in place
            of their own values.

    Raises:
        ValueError: a scale is negative, NaN or infinite, or `beta` gives no threshold.
    """
    schedule = Schedule.of(sum(task.sizes), beta)
    return _refined(task, scale, schedule, reconstruct)


def surp_published(
    task: Task, *, scale: Scale | None = l2, beta: float | None = None, reconstruct: bool = False
) -> Selection:
    """As `surp`, at the rate of the authors' published code: 1/λ falls by (n − 1)/n a step, ln(n/β) times slower.

    An exponential source then has at most 1/e new candidates a step, so that few wait and those drawn are the largest.
    Their code lowers a factor on the mean until there is a candidate; here λ is estimated again as in `surp`.

    Source: github.com/BerivanIsik/SuRP, src/trainers/reconstruct.py.
    """
    n = sum(task.sizes)
    return _refined(task, scale, replace(Schedule.of(n, beta), shrink=(n - 1) / n), reconstruct)


def _refined(task: Task, scale: Scale | None, schedule: Schedule, reconstruct: bool) -> Selection:
    """Refine along a schedule until so many weights were drawn as are kept."""
    vector = _vector(task)
    ends = np.cumsum(task.sizes)
    scales = _scales(task, scale)
    mask = np.zeros(vector.size, np.bool_)
    for part, of_part, each in zip(np.split(vector, ends[:-1]), np.split(mask, ends[:-1]), scales, strict=True):
        np.logical_and(part, each > 0, out=of_part)  # all that can be drawn
    drawable = int(np.count_nonzero(mask))
    values = None
    if reconstruct or task.keep < drawable:
        limits = Limits(distinct=min(task.keep, drawable))
        refinement = refine(vector, ends, scales, schedule, limits, 1, task.rng)
        mask[:] = False
        mask[refinement.indices] = True
        values = _values(task, refinement, schedule, ends, scales) if reconstruct else None
    missing = task.keep - int(np.count_nonzero(mask))
    if missing > 0:
        mask |= _next(task, mask, missing)
    return Selection(np.split(mask, ends[:-1]), values)


def _vector(task: Task) -> Vector:
    """All layers end to end; float32."""
    with np.errstate(over="ignore"):
        parts = [layer.masked().reshape(-1).astype(np.float32, copy=False) for layer in task.layers]
    for layer, part in zip(task.layers, parts, strict=True):
        if layer.weights.dtype.itemsize > part.dtype.itemsize and not np.isfinite(part).all():
            raise ValueError(
                f"'{layer.name}' has weights beyond the range of float32, in which SuRP works: scale it down"
            )
    return np.concatenate(parts)


def _scales(task: Task, scale: Scale | None) -> Floats:
    """s of each layer; 0 leaves a layer out, as one of zeros."""
    return np.array([1.0 if scale is None else checked_scale(scale, layer) for layer in task.layers])


def _next(task: Task, mask: Array, count: int) -> Array:
    """The largest magnitudes of those that were not refined and are left."""
    scores = np.concatenate([layer.flat_magnitudes() for layer in task.layers])
    scores[mask] = -1
    return largest([scores], count)[0]


def _values(task: Task, refinement: Refinement, schedule: Schedule, ends: Integers, scales: Floats) -> list[Array]:
    """The sum of the thresholds of each weight, in units of its layer's scale, with its sign; of each layer, flat."""
    indices, sums = magnitudes(refinement, schedule)
    rebuilt = np.zeros(int(ends[-1]), np.float32)
    rebuilt[indices] = sums * scales[np.searchsorted(ends, indices, side="right")]
    values = []
    for layer, part in zip(task.layers, np.split(rebuilt, ends[:-1]), strict=True):
        weights = layer.masked().reshape(-1)
        values.append(np.copysign(np.minimum(part, np.abs(weights)), weights))  # at most |w|, whatever the rounding
    return values
