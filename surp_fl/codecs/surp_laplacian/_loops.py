"""The compiled loops of `refinement.py`: Algorithm 1 in O(n + steps·log n), encoder's and decoder's side."""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp_laplacian._estimates import BOTH, NEGATIVE, POSITIVE, estimate, mean_code, shrink_of
from surp_fl.codecs.surp_paper import _loops as one_sided
from surp_fl.codecs.surp_paper._loops import refinement_bits
from surp_fl.codecs.surp_paper._record import Record
from surp_fl.codecs.surp_paper._side import Side
from surp_fl.entropy.minifloat import to_float
from surp_fl.types import Floats, Integers, Vector

_POSITIVE, _NEGATIVE, _BOTH = POSITIVE, NEGATIVE, BOTH
_SMALLEST_THRESHOLD = one_sided.SMALLEST_THRESHOLD
_INFINITY = float("inf")


def pair_bits(steps: int, refreshes: int, picks: int, index_bits: int) -> int:
    """Bits of two varints, every estimate with its two bits of sides, the refreshes' steps, and all indices."""
    return refinement_bits(steps, refreshes, 0, 0) + 2 * (refreshes + 1) + picks * index_bits


def refine(
    positive: Vector,
    negative: Vector,
    ends: Integers,
    scales: Floats,
    log_ratio: float,
    index_bits: int,
    budget_bits: int,
    max_steps: int,
    max_distinct: int,
    expected: int,
    rng: np.random.Generator,
) -> tuple[int, Integers, Integers, Integers, Integers, bool, int]:
    """Algorithm 1, the encoder's side; arguments and result as of `refinement.refine`, with −1 for no limit.

    Args:
        positive: what of the vector is above zero, 0 elsewhere; float32, shape (n,).
        negative: the magnitudes of what is below zero, 0 elsewhere.

    Returns:
        Steps, indices, refresh steps, refresh codes, refresh sides, whether the vector is finite, and how often each of
        both was scanned, added up.
    """
    n = len(positive)
    above, below = Side(positive, ends, scales, expected), Side(negative, ends, scales, expected)
    record = Record()
    finite = math.isfinite(above.total + below.total)
    first = mean_code(above.total + below.total, n) if finite else 0
    average = mean = to_float(first)  # of |u|, and 1/λ
    threshold = shrink = _INFINITY
    steps = distinct = code = i = j = 0
    sides = _BOTH
    refresh_due = True
    while first > 0 and (max_steps < 0 or steps < max_steps) and (max_distinct < 0 or distinct < max_distinct):
        if refresh_due:  # λ ← ParamEst(u)
            code, sides = estimate(above, below, n, log_ratio, mean)
            if code == 0:
                break
            mean = to_float(code)
            threshold = log_ratio * mean  # τ = (1/λ)·ln(n/2β)
            shrink = shrink_of(n, log_ratio, sides, mean / average)
        if threshold < _SMALLEST_THRESHOLD:
            break
        if (sides & _POSITIVE and above.advance(threshold) == 0) or (
            sides & _NEGATIVE and below.advance(threshold) == 0
        ):
            refresh_due = True
            above.advance(threshold)
            above.survey()
            below.advance(threshold)
            below.survey()
            continue

        if sides & _POSITIVE:
            i = above.select(rng.random())
            distinct += above.refined[i] == 0
        if sides & _NEGATIVE:
            j = below.select(rng.random())
            distinct += below.refined[j] == 0
        picks = record.picks + (2 if sides == _BOTH else 1)
        is_twofold = refresh_due and record.refreshes == 0 and code != first
        new_refreshes = record.refreshes - 1 + refresh_due + is_twofold  # without the first
        if budget_bits >= 0 and pair_bits(steps + 1, new_refreshes, picks, index_bits) > budget_bits:
            break
        if is_twofold:
            record.refresh(0, first, _BOTH)
        if refresh_due:
            record.refresh(steps, code, sides)
        steps += 1
        refresh_due = False
        mean *= shrink  # λ ← λ·n / (n − 2·ln(n/2β))
        average *= shrink
        if sides & _POSITIVE:
            record.add(above.tracked[i])
            above.reduce(i, threshold, log_ratio * mean)
        if sides & _NEGATIVE:
            record.add(below.tracked[j])
            below.reduce(j, threshold, log_ratio * mean)
        threshold = log_ratio * mean
    return steps, record.indices(), *record.estimates(), finite, above.scans + below.scans


def rebuild(
    indices: Integers,
    refresh_at: Integers,
    refresh_code: Integers,
    refresh_sides: Integers,
    steps: int,
    n: int,
    log_ratio: float,
    order: Integers,
    distinct: int,
) -> tuple[Floats, bool]:
    """Algorithm 1, the decoder's side: the signed sum of the thresholds τ of each distinct index.

    Args:
        indices: in order; of a step of both sides, the positive one first; shape (picks,).
        refresh_at: ascending steps at which the mean and the sides are set, from 0, which may come twice; shape
            (refreshes,).
        refresh_code: 16-bit codes of these means, not 0; shape (refreshes,).
        refresh_sides: which sides the following steps refine; shape (refreshes,).
        steps: number of steps, which have as many indices as there are.
        n: coordinates.
        log_ratio: ln(n/2β).
        order: the place of each index among the distinct ones; shape (picks,).
        distinct: number of distinct indices.

    Returns:
        float64, shape (distinct,); and whether an encoder may have sent this: no index was refined on both sides, and
        no estimate was above what 1/λ was.
    """
    found = np.zeros(distinct)
    sums = found
    average = mean = 0.0
    shrink = 1.0
    refresh = pick = sides = 0
    for step in range(steps):
        while refresh < len(refresh_at) and refresh_at[refresh] == step:
            if refresh == 0:
                average = mean = to_float(refresh_code[0])
            if to_float(refresh_code[refresh]) > mean:
                return found, False
            mean = to_float(refresh_code[refresh])
            sides = refresh_sides[refresh]
            shrink = shrink_of(n, log_ratio, sides, mean / average)
            refresh += 1
        if sides & _POSITIVE:
            if sums[order[pick]] < 0.0:
                return found, False
            sums[order[pick]] += log_ratio * mean
            pick += 1
        if sides & _NEGATIVE:
            if sums[order[pick]] > 0.0:
                return found, False
            sums[order[pick]] -= log_ratio * mean
            pick += 1
        mean *= shrink
        average *= shrink
    return found, True
