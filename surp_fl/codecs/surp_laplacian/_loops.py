"""The compiled loops of `refinement.py`: Algorithm 1 in O(n + steps·log n), encoder's and decoder's side."""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp_paper import _loops as one_sided
from surp_fl.codecs.surp_paper._loops import reaching_code, refinement_bits
from surp_fl.codecs.surp_paper._record import Record
from surp_fl.codecs.surp_paper._side import Side
from surp_fl.entropy.minifloat import to_code, to_float
from surp_fl.types import Floats, Integers, Vector

POSITIVE, NEGATIVE, BOTH = 1, 2, 3  # the sides that a step refines
_POSITIVE, _NEGATIVE, _BOTH = POSITIVE, NEGATIVE, BOTH
_SMALLEST_THRESHOLD = one_sided.SMALLEST_THRESHOLD
_INFINITY = float("inf")


def pair_bits(steps: int, refreshes: int, picks: int, index_bits: int) -> int:
    """Bits of two varints, every estimate with its two bits of sides, the refreshes' steps, and all indices."""
    return refinement_bits(steps, refreshes, 0, 0) + 2 * (refreshes + 1) + picks * index_bits


def _estimate(above: Side, below: Side, n: int, log_ratio: float, mean: float) -> tuple[int, int]:
    """ParamEst in 16 bits, and the sides that have a candidate then, or are to have one; a code of 0 if none can."""
    code = to_code((above.total + below.total) / n, False)
    if mean < _INFINITY:  # 1/λ never grows
        code = min(code, to_code(mean, True))
    if code == 0:
        return 0, _BOTH
    threshold = log_ratio * to_float(code)
    has_above = above.candidates > 0 or above.most >= threshold
    has_below = below.candidates > 0 or below.most >= threshold
    if has_above and has_below:
        return code, _BOTH
    least_above = above.least if above.least < _INFINITY else 0.0
    least_below = below.least if below.least < _INFINITY else 0.0
    if has_above or has_below:
        least = least_below if has_above else least_above
        if 2.0 * least >= threshold:
            return reaching_code(least, log_ratio), _BOTH
        return code, _POSITIVE if has_above else _NEGATIVE
    least, most = min(least_above, least_below), max(least_above, least_below)
    if 2.0 * least >= most:
        return reaching_code(least, log_ratio), _BOTH
    return reaching_code(most, log_ratio), _POSITIVE if least_above > least_below else _NEGATIVE


def refine(
    positive: Vector,
    negative: Vector,
    ends: Integers,
    scales: Floats,
    log_ratio: float,
    shrink: float,
    shrink_of_one: float,
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
    steps = distinct = code = i = j = 0
    sides = _BOTH
    finite = math.isfinite(above.total + below.total)
    mean = threshold = _INFINITY  # 1/λ and τ
    refresh_due = finite
    while finite and (max_steps < 0 or steps < max_steps) and (max_distinct < 0 or distinct < max_distinct):
        if refresh_due:  # λ ← ParamEst(u)
            code, sides = _estimate(above, below, n, log_ratio, mean)
            if code == 0:
                break
            mean = to_float(code)
            threshold = log_ratio * mean  # τ = (1/λ)·ln(n/2β)
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
        new_refreshes = record.refreshes - 1 + refresh_due  # without the first
        if budget_bits >= 0 and pair_bits(steps + 1, new_refreshes, picks, index_bits) > budget_bits:
            break
        if refresh_due:
            record.refresh(steps, code, sides)
        steps += 1
        refresh_due = False
        mean *= shrink if sides == _BOTH else shrink_of_one  # λ ← λ·n / (n − 2·ln(n/2β))
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
    log_ratio: float,
    shrink: float,
    shrink_of_one: float,
    order: Integers,
    distinct: int,
) -> tuple[Floats, bool]:
    """Algorithm 1, the decoder's side: the signed sum of the thresholds τ of each distinct index.

    Args:
        indices: in order; of a step of both sides, the positive one first; shape (picks,).
        refresh_at: ascending steps at which the mean and the sides are set, from 0; shape (refreshes,).
        refresh_code: 16-bit codes of these means; shape (refreshes,).
        refresh_sides: which sides the following steps refine; shape (refreshes,).
        steps: number of steps, which have as many indices as there are.
        log_ratio: ln(n/2β).
        shrink: (n − 2·ln(n/2β))/n.
        shrink_of_one: (n − ln(n/2β))/n.
        order: the place of each index among the distinct ones; shape (picks,).
        distinct: number of distinct indices.

    Returns:
        float64, shape (distinct,); and whether no index was refined on both sides.
    """
    found = np.zeros(distinct)
    sums = found
    mean = 0.0
    refresh = pick = sides = 0
    consistent = True
    for step in range(steps):
        if refresh < len(refresh_at) and refresh_at[refresh] == step:
            mean = to_float(refresh_code[refresh])
            sides = refresh_sides[refresh]
            refresh += 1
        if sides & _POSITIVE:
            consistent = consistent and sums[order[pick]] >= 0.0
            sums[order[pick]] += log_ratio * mean
            pick += 1
        if sides & _NEGATIVE:
            consistent = consistent and sums[order[pick]] <= 0.0
            sums[order[pick]] -= log_ratio * mean
            pick += 1
        mean *= shrink if sides == _BOTH else shrink_of_one
    return found, consistent
