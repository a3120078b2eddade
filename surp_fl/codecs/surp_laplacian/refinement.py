"""SuRP, Algorithm 1 of the paper (Laplacian source): the successive refinement that both ends compute.

A step sends the indices of two coordinates, one with u_i ≥ τ and one with u_j ≤ −τ; both ends take τ = (1/λ)·ln(n/2β)
from u_i, add it to u_j, and increase λ by the same rule. Which of the two an index is tells its sign, so that signs
cost nothing. Knows the paper. Does not know bits or Flower.

What the paper leaves open: where no coordinate is left above τ, or none below −τ, λ is estimated again and sent, but
that need not bring one back. It cannot, in exact arithmetic: a step takes 2τ from Σ|u|, hence the mean 1/λ falls by
2·ln(n/2β)/(n·λ), as the rule has it, and both ends hold the new estimate already. Here

- an estimate is ParamEst's, as in the paper, if it leaves a coordinate on each side (as the first one does for a
  Laplacian source, but for a probability of 2·exp(−β)). 1/λ never grows;
- else λ is set so that each side has as many candidates as a Laplacian source would have, β;
- but if a step of one side alone would take more from Σ|u| than that, as where all weights are positive, or if one
  side has more than twice the other's Σ|u|, as error feedback may leave it, the steps up to the next estimate refine
  that side alone, with one index each. Every estimate says which sides follow;
- a step with 1/λ = r·mean(|u|) and k indices takes a share of k·r·ln(n/2β)/n from Σ|u|, and 1/λ falls by that share:
  λ ← λ·n / (n − k·r·ln(n/2β)), which is the paper's rule for r = 1 and k = 2. Both ends hold mean(|u|), as the first
  estimate is always ParamEst's; if that is not what the first steps need, a second one follows at once.

So the refinement always goes on, to a distortion as small as there are bits for, and ends.

Source: Isik, Weissman, No 2022, "An Information-Theoretic Justification for Model Pruning", Algorithm 1, Appendix E.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surp_fl.codecs.surp_laplacian import _loops as loops
from surp_fl.codecs.surp_laplacian._estimates import BOTH
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from surp_fl.errors import DIVERGED
from surp_fl.types import Floats, Integers, Vector


@dataclass(frozen=True)
class PairRefinement:
    """What the encoder sends.

    Attributes:
        steps: number of steps.
        indices: in order; of a step of both sides, the positive one first; int64, shape (picks,).
        refresh_at: steps before which 1/λ is estimated, from 0, which may come twice; shape (refreshes,).
        refresh_code: the 16-bit codes of these means; shape (refreshes,).
        refresh_sides: the sides that steps refine from there on, as `_estimates` numbers them; shape (refreshes,).
    """

    steps: int
    indices: Integers
    refresh_at: Integers
    refresh_code: Integers
    refresh_sides: Integers


def refine(
    vector: Vector,
    ends: Integers,
    scales: Floats,
    schedule: Schedule,
    limits: Limits,
    index_bits: int,
    rng: np.random.Generator,
) -> PairRefinement:
    """Refine u = vector / scale, the encoder's side, in O(n + steps·log n).

    Each step selects one of the coordinates with u ≥ τ uniformly, the ⌊x·candidates⌋-th of them by index, x being the
    next `rng.random()`; and then one of those with u ≤ −τ.

    Args:
        vector: float32, shape (n,).
        ends: end of each layer in the vector; shape (layers,).
        scales: s of each layer, 0 for a layer that is left out; shape (layers,).
        schedule: for this n, and two sides.
        limits: where to stop; the last step may reach one coordinate more than `distinct`.
        index_bits: bits of an index.
        rng: every selection is drawn from it.

    Returns:
        The steps that were made.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    steps, indices, refresh_at, refresh_code, refresh_sides, finite, _ = loops.refine(
        np.maximum(vector, 0), np.maximum(-vector, 0), ends, scales, schedule.log_ratio, index_bits, limits.bits,
        limits.steps, limits.distinct, schedule.expected, rng,
    )  # fmt: skip
    if not finite:
        raise ValueError(DIVERGED)
    return PairRefinement(steps, indices, refresh_at, refresh_code, refresh_sides)


def bits_of(steps: int, refreshes: int, picks: int, index_bits: int) -> int:
    """Bits of a refinement in a message; increasing in each argument.

    Args:
        steps: number of steps.
        refreshes: number of refreshes, without the first estimate.
        picks: number of indices: two of a step of both sides.
        index_bits: bits of an index.

    >>> bits_of(steps=10, refreshes=0, picks=20, index_bits=19)
    414
    """
    return int(loops.pair_bits(steps, refreshes, picks, index_bits))


def picks_of(refresh_at: Integers, refresh_sides: Integers, steps: int) -> int:
    """How many indices so many steps have."""
    lengths = np.diff(refresh_at, append=steps)
    return int((lengths * np.where(refresh_sides == BOTH, 2, 1)).sum())


def signed_sums(refinement: PairRefinement, schedule: Schedule, n: int) -> tuple[Integers, Floats]:
    """Rebuild the vector, the decoder's side.

    Args:
        refinement: what the encoder sent.
        schedule: for the same n.
        n: coordinates.

    Returns:
        Distinct indices, ascending, and the signed sum of the thresholds of each, in units of its scale; both of shape
        (distinct,).

    Raises:
        ValueError: no encoder sends this: an index was refined on both sides, or 1/λ was set above what it was.
    """
    distinct, order = np.unique(refinement.indices, return_inverse=True)
    return distinct, _rebuild(refinement, schedule, n, order, distinct.size)


def signed_sums_of_all(refinement: PairRefinement, schedule: Schedule, n: int) -> Floats:
    """As `signed_sums`, for all n coordinates: float64, shape (n,), 0 where there was no step."""
    return _rebuild(refinement, schedule, n, refinement.indices, n)


def _rebuild(refinement: PairRefinement, schedule: Schedule, n: int, order: Integers, size: int) -> Floats:
    sums: Floats
    sums, possible = loops.rebuild(
        refinement.indices, refinement.refresh_at, refinement.refresh_code, refinement.refresh_sides, refinement.steps,
        n, schedule.log_ratio, order, size,
    )  # fmt: skip
    if not possible:
        raise ValueError("an index that is positive and negative, or an estimate above the one before it")
    return sums
