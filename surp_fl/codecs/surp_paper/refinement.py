"""SuRP, Algorithm 2 of the paper (exponential source): the successive refinement that both ends compute.

Magnitudes u are refined by indices alone: at each step the encoder sends the index of a coordinate with u ≥ τ, both
ends reduce its u by τ = (1/λ)·ln(n/β), and both increase λ by the same rule. Knows the paper. Does not know bits or
Flower.

Source: Isik, Weissman, No 2022, "An Information-Theoretic Justification for Model Pruning", Algorithm 2, Appendix E.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surp_fl.codecs.surp_paper import _loops as loops
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from surp_fl.errors import DIVERGED
from surp_fl.types import Floats, Integers, Vector


@dataclass(frozen=True)
class Refinement:
    """What the encoder sends of the magnitudes.

    Attributes:
        indices: of each step, in order; int64, shape (steps,).
        refresh_at: steps before which 1/λ is estimated again, the first estimate (step 0) included; shape (refreshes,).
        refresh_code: the 16-bit codes of these means; shape (refreshes,).
    """

    indices: Integers
    refresh_at: Integers
    refresh_code: Integers


def refine(
    vector: Vector,
    ends: Integers,
    scales: Floats,
    schedule: Schedule,
    limits: Limits,
    index_bits: int,
    rng: np.random.Generator,
) -> Refinement:
    """Refine u = |vector| / scale, the encoder's side, in O(n + steps·log n).

    Each step selects one of the coordinates with u ≥ τ uniformly: the ⌊x·candidates⌋-th of them by index, x being the
    next `rng.random()`. When there is none, λ is estimated again, as 1/mean(u) in 16 bits. If even that leaves none
    (error feedback removes the tail: the largest magnitude is below ln(n/β) means), λ is set so that there are as many
    candidates as an exponential source would have, β. So every refresh is followed by a step, and the refinement always
    ends.

    Args:
        vector: float32, shape (n,).
        ends: end of each layer in the vector; shape (layers,).
        scales: s of each layer, 0 for a layer that is left out; shape (layers,).
        schedule: for this n.
        limits: where to stop.
        index_bits: bits of an index.
        rng: every selection is drawn from it.

    Returns:
        The steps that were made.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    indices, refresh_at, refresh_code, finite, _ = loops.refine(
        vector, ends, scales, schedule.log_ratio, schedule.shrink, index_bits,
        limits.bits, limits.steps, limits.distinct, schedule.expected, rng,
    )  # fmt: skip
    if not finite:
        raise ValueError(DIVERGED)
    return Refinement(indices, refresh_at, refresh_code)


def bits_of(steps: int, refreshes: int, signs: int, index_bits: int) -> int:
    """Bits of a refinement in a message; increasing in each argument.

    Args:
        steps: number of steps.
        refreshes: number of refreshes, without the first estimate.
        signs: number of distinct indices.
        index_bits: bits of an index.

    >>> bits_of(steps=10, refreshes=0, signs=8, index_bits=19)
    230
    """
    return int(loops.refinement_bits(steps, refreshes, signs, index_bits))


def magnitudes(refinement: Refinement, schedule: Schedule) -> tuple[Integers, Floats]:
    """Rebuild the magnitudes, the decoder's side.

    Args:
        refinement: what the encoder sent.
        schedule: for the same n.

    Returns:
        Distinct indices, ascending, and the sum of the thresholds of each, in units of its scale; both of shape
        (distinct,).
    """
    distinct, order = np.unique(refinement.indices, return_inverse=True)
    return distinct, _rebuild(refinement, schedule, order, distinct.size)


def magnitudes_of_all(refinement: Refinement, schedule: Schedule, n: int) -> Floats:
    """As `magnitudes`, for all n coordinates: float64, shape (n,), 0 where there was no step."""
    return _rebuild(refinement, schedule, refinement.indices, n)


def _rebuild(refinement: Refinement, schedule: Schedule, order: Integers, size: int) -> Floats:
    sums: Floats = loops.rebuild(
        refinement.indices, refinement.refresh_at, refinement.refresh_code,
        schedule.log_ratio, schedule.shrink, order, size,
    )  # fmt: skip
    return sums
