"""The compiled loops of `refinement.py`: Algorithm 2 in O(n + steps·log n), encoder's and decoder's side.

Coordinates that can become candidates soon are tracked (`_scans.py`), with the candidates among them in a Fenwick tree
and the others in a heap (`_candidates.py`). When the threshold falls below the tracked range, the vector is scanned
again for a range of at least a factor of two, so that there are few scans.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp_paper._candidates import add_to_count, partition, pop, position_of, push, top_waiting
from surp_fl.codecs.surp_paper._scans import grown, sum_and_top, track_above
from surp_fl.entropy.minifloat import to_code, to_float
from surp_fl.types import Floats, Integers, Vector

_SMALLEST_THRESHOLD = math.ldexp(1.0, -300)  # far below any magnitude of a float32 vector
_INFINITY = float("inf")
_STALE_SHARE = math.ldexp(1.0, -20)  # a running sum below this share is computed again, for its rounding error


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


def _estimate(total: float, top: Floats, n: int, log_ratio: float) -> int:
    """ParamEst in 16 bits: the mean of u, if it gives a candidate; else what makes all of the top candidates; or 0."""
    code = to_code(total / n, False)
    most, least = 0.0, _INFINITY
    for i in range(len(top)):
        most = max(most, top[i])
        if 0.0 < top[i] < least:
            least = top[i]
    if code == 0 or log_ratio * to_float(code) > most:
        code = to_code(least / log_ratio, True) if least < _INFINITY else 0
        while code > 0 and log_ratio * to_float(code) > least:  # the last bit of the division
            code -= 1
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
    tracked_array, residual_array, refined_array = np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint8)
    tracked, residual, refined = tracked_array, residual_array, refined_array
    tree, heap = np.zeros(1, np.int64), np.empty(0, np.int64)
    candidates = waiting = 0
    floor = _INFINITY  # every coordinate with u ≥ floor is tracked

    index_array, at_array, code_array = np.empty(64, np.int64), np.empty(16, np.int64), np.empty(16, np.int64)
    indices, refresh_at, refresh_code = index_array, at_array, code_array
    steps = refreshes = distinct = 0

    total, top = sum_and_top(vector, ends, scales, tracked, residual, expected)
    total_when_summed = total
    finite = math.isfinite(total)
    scans = 1
    mean = threshold = _INFINITY  # 1/λ and τ
    refresh_due = finite
    while finite and (max_steps < 0 or steps < max_steps) and (max_distinct < 0 or distinct < max_distinct):
        code = 0
        if refresh_due:  # λ ← ParamEst(u)
            code = _estimate(total, top, n, log_ratio)
            if code == 0:
                break
            mean = to_float(code)
            threshold = log_ratio * mean  # τ = (1/λ)·ln(n/β)
        if threshold < _SMALLEST_THRESHOLD:
            break
        if threshold < floor:
            floor = 0.5 * threshold
            tracked_array, residual_array, refined_array = track_above(
                vector, ends, scales, tracked, residual, refined, floor
            )
            tracked, residual, refined = tracked_array, residual_array, refined_array
            tree, heap, candidates, waiting = partition(residual, threshold)
            scans += 1
        while waiting > 0 and residual[heap[0]] >= threshold:  # these have become candidates
            add_to_count(tree, pop(heap, waiting, residual), 1)
            candidates += 1
            waiting -= 1
        if candidates == 0:
            refresh_due = True
            top = top_waiting(heap, waiting, residual, floor, expected)
            if len(top) == 0 or total < _STALE_SHARE * total_when_summed:
                total, top = sum_and_top(vector, ends, scales, tracked, residual, expected)
                total_when_summed = total
                scans += 1
            continue

        position = position_of(tree, min(int(rng.random() * candidates), candidates - 1))
        new_refreshes = refreshes + 1 if refresh_due else refreshes
        new_distinct = distinct + 1 if refined[position] == 0 else distinct
        if budget_bits >= 0 and refinement_bits(steps + 1, new_refreshes - 1, new_distinct, index_bits) > budget_bits:
            break
        if refresh_due:
            if refreshes == len(refresh_at):
                at_array, code_array = grown(at_array, 2 * refreshes), grown(code_array, 2 * refreshes)
                refresh_at, refresh_code = at_array, code_array
            refresh_at[refreshes], refresh_code[refreshes] = steps, code
        if steps == len(indices):
            index_array = grown(index_array, 2 * steps)
            indices = index_array
        indices[steps] = tracked[position]
        steps, refreshes, distinct = steps + 1, new_refreshes, new_distinct
        refined[position] = 1
        refresh_due = False

        residual[position] -= threshold
        total -= threshold
        mean *= shrink  # λ ← λ·n / (n − ln(n/β))
        threshold = log_ratio * mean
        if residual[position] < threshold:
            add_to_count(tree, position, -1)
            candidates -= 1
            push(heap, waiting, residual, position)
            waiting += 1
    return index_array[:steps], at_array[:refreshes], code_array[:refreshes], finite, scans


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
