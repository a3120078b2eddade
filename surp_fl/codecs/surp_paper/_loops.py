"""The compiled loops of `refinement.py`: Algorithm 2 in O(n + steps·log n), encoder's and decoder's side."""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp_paper._record import Record
from surp_fl.codecs.surp_paper._side import Side
from surp_fl.entropy.minifloat import to_code, to_float
from surp_fl.types import Floats, Integers, Vector

SMALLEST_THRESHOLD = math.ldexp(1.0, -300)  # far below any magnitude of a float32 vector
_SMALLEST_THRESHOLD = SMALLEST_THRESHOLD
_INFINITY = float("inf")


def bit_length(value: int) -> int:
    """As int.bit_length, of a non-negative integer."""
    bits = 0
    while value > 0:
        bits += 1
        value >>= 1
    return bits


def refinement_bits(steps: int, refreshes: int, signs: int, index_bits: int) -> int:
    """Bits of two varints, the first mean, an index each step, a sign each distinct index, and the refreshes."""
    counts = 8 * (max(1, (bit_length(steps) + 6) // 7) + max(1, (bit_length(refreshes) + 6) // 7))
    refresh_bits = 16 + bit_length(max(steps - 1, 0))
    return counts + 16 + steps * index_bits + signs + refreshes * refresh_bits


def reaching_code(least: float, log_ratio: float) -> int:
    """The largest 16-bit code of a mean whose threshold, log_ratio·mean, a magnitude reaches; 0 if there is none."""
    code = to_code(least / log_ratio, True) if least < _INFINITY else 0
    while code > 0 and log_ratio * to_float(code) > least:  # the last bit of the division
        code -= 1
    return code


def _estimate(side: Side, n: int, log_ratio: float) -> int:
    """ParamEst in 16 bits: the mean of u, if it gives a candidate; else what makes all of the largest ones; or 0."""
    code = to_code(side.total / n, False)
    if code == 0 or log_ratio * to_float(code) > side.most:
        code = reaching_code(side.least, log_ratio)
    return code


def refine(
    vector: Vector,
    ends: Integers,
    scales: Floats,
    log_ratio: float,
    shrink: float,
    index_bits: int,
    budget_bits: int,
    max_steps: int,
    max_distinct: int,
    expected: int,
    rng: np.random.Generator,
) -> tuple[Integers, Integers, Integers, bool, int]:
    """Algorithm 2, the encoder's side; arguments and result as of `refinement.refine`, with −1 for no limit.

    Returns:
        Indices, refresh steps, refresh codes, whether the vector is finite, and how often it was scanned.
    """
    n = len(vector)
    side, record = Side(vector, ends, scales, expected), Record()
    steps = distinct = code = 0
    finite = math.isfinite(side.total)
    mean = threshold = _INFINITY  # 1/λ and τ
    refresh_due = finite
    while finite and (max_steps < 0 or steps < max_steps) and (max_distinct < 0 or distinct < max_distinct):
        if refresh_due:  # λ ← ParamEst(u)
            code = _estimate(side, n, log_ratio)
            if code == 0:
                break
            mean = to_float(code)
            threshold = log_ratio * mean  # τ = (1/λ)·ln(n/β)
        if threshold < _SMALLEST_THRESHOLD:
            break
        if side.advance(threshold) == 0:
            refresh_due = True
            side.survey()
            continue

        position = side.select(rng.random())
        new_refreshes = record.refreshes - 1 + refresh_due  # without the first
        distinct += side.refined[position] == 0
        if budget_bits >= 0 and refinement_bits(steps + 1, new_refreshes, distinct, index_bits) > budget_bits:
            break
        if refresh_due:
            record.refresh(steps, code, 1)
        record.add(side.tracked[position])
        steps += 1
        refresh_due = False

        mean *= shrink  # λ ← λ·n / (n − ln(n/β))
        side.reduce(position, threshold, log_ratio * mean)
        threshold = log_ratio * mean
    refresh_at, refresh_code, _ = record.estimates()
    return record.indices(), refresh_at, refresh_code, finite, side.scans


def rebuild(
    indices: Integers,
    refresh_at: Integers,
    refresh_code: Integers,
    log_ratio: float,
    shrink: float,
    order: Integers,
    distinct: int,
) -> Floats:
    """Algorithm 2, the decoder's side: the sum of the thresholds τ of each distinct index.

    Args:
        indices: of each step; shape (steps,).
        refresh_at: ascending steps at which the mean is set; shape (refreshes,).
        refresh_code: 16-bit codes of these means; shape (refreshes,).
        log_ratio: ln(n/β).
        shrink: (n − ln(n/β))/n.
        order: the place of each step's index among the distinct ones; shape (steps,).
        distinct: number of distinct indices.

    Returns:
        float64, shape (distinct,).
    """
    sums = np.zeros(distinct)
    magnitudes = sums
    mean = 0.0
    refresh = 0
    for step in range(len(indices)):
        if refresh < len(refresh_at) and refresh_at[refresh] == step:
            mean = to_float(refresh_code[refresh])
            refresh += 1
        magnitudes[order[step]] += log_ratio * mean
        mean *= shrink
    return sums
