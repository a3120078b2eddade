"""The compiled loops of `surp.py`: Algorithm 2 in O(n + steps·log n).

The coordinates that can be candidates soon are *held* apart, sorted by index, with what is left of their
magnitudes; the rest of the vector is only read. Among the held ones, a Fenwick tree counts the candidates
(so that the r-th candidate is found in O(log n)) and a heap, largest first, keeps those that wait for the
threshold to fall. When the threshold leaves the range of the held ones, the vector is scanned again for a
range of at least a factor of two, so that scans are few.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl._compile import njit
from surp_fl.codecs.surp_paper._candidates import add_to_count, partition, pop, position_of, push, top_waiting
from surp_fl.codecs.surp_paper._scans import grown, sum_and_top, track_above
from surp_fl.entropy.minifloat import to_code, to_float
from surp_fl.types import Floats, Integers, Vector

_SMALLEST_THRESHOLD = math.ldexp(1.0, -300)  # far below what any code can say of a float32 vector
_STALE_SHARE = math.ldexp(1.0, -20)  # a running sum that shrank by more is summed again from the vector


@njit(cache=True)
def bit_length(value: int) -> int:
    """Bits of a non-negative integer, as int.bit_length."""
    bits = 0
    while value > 0:
        bits += 1
        value >>= 1
    return bits


@njit(cache=True)
def refinement_bits(steps: int, refreshes: int, signs: int, index_bits: int) -> int:
    """Bits of a walk: two counts, the first mean, an index per step, a sign per distinct index, the refreshes."""
    counts = 8 * (max(1, (bit_length(steps) + 6) // 7) + max(1, (bit_length(refreshes) + 6) // 7))
    refresh_bits = 16 + bit_length(max(steps - 1, 0))
    return counts + 16 + steps * index_bits + signs + refreshes * refresh_bits


@njit(cache=True)
def _estimate(total: float, top: Floats, n: int, log_ratio: float) -> int:
    """ParamEst in 16 bits: the mean of u, if that gives a candidate, else what gives all of the top; 0 for no more."""
    code = to_code(total / n, False)
    if code == 0 or log_ratio * to_float(code) > top.max():
        least = np.inf
        for value in top:
            if 0.0 < value < least:
                least = value
        code = to_code(least / log_ratio, True) if least < np.inf else 0
        while code > 0 and log_ratio * to_float(code) > least:  # the last bit of the division
            code -= 1
    return code


@njit(cache=True)
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
    """Algorithm 2, the encoder's side; see `surp.walk` for what goes in and out. −1 stands for no limit."""
    n = vector.size
    tracked, residual, selected = np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint8)
    tree, heap = np.zeros(1, np.int64), np.empty(0, np.int64)
    candidates = waiting = 0
    floor = np.inf  # every coordinate with u ≥ floor is held

    indices = np.empty(64, np.int64)
    refresh_at, refresh_code = np.empty(16, np.int64), np.empty(16, np.int64)
    steps = refreshes = distinct = 0

    total, top = sum_and_top(vector, ends, scales, tracked, residual, expected)
    total_when_summed = total
    finite = math.isfinite(total)
    scans = 1
    mean = threshold = np.inf  # 1/λ and τ
    refresh_due = finite  # for a refresh
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
            tracked, residual, selected = track_above(vector, ends, scales, tracked, residual, selected, floor)
            tree, heap, candidates, waiting = partition(residual, threshold)
            scans += 1
        while waiting > 0 and residual[heap[0]] >= threshold:  # the falling threshold has reached these
            add_to_count(tree, pop(heap, waiting, residual), 1)
            candidates += 1
            waiting -= 1
        if candidates == 0:
            refresh_due = True
            top = top_waiting(heap, waiting, residual, floor, expected)
            if top.size == 0 or total < _STALE_SHARE * total_when_summed:
                total, top = sum_and_top(vector, ends, scales, tracked, residual, expected)
                total_when_summed = total
                scans += 1
            continue

        position = position_of(tree, min(int(rng.random() * candidates), candidates - 1))
        new_refreshes = refreshes + 1 if refresh_due else refreshes
        new_distinct = distinct + 1 if selected[position] == 0 else distinct
        if budget_bits >= 0 and refinement_bits(steps + 1, new_refreshes - 1, new_distinct, index_bits) > budget_bits:
            break
        if refresh_due:
            if refreshes == refresh_at.size:
                refresh_at = grown(refresh_at, 2 * refreshes)
                refresh_code = grown(refresh_code, 2 * refreshes)
            refresh_at[refreshes], refresh_code[refreshes] = steps, code
        if steps == indices.size:
            indices = grown(indices, 2 * steps)
        indices[steps] = tracked[position]
        steps, refreshes, distinct = steps + 1, new_refreshes, new_distinct
        selected[position] = 1
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
    return indices[:steps].copy(), refresh_at[:refreshes].copy(), refresh_code[:refreshes].copy(), finite, scans


@njit(cache=True)
def rebuild(
    indices: Integers,
    refresh_at: Integers,
    refresh_code: Integers,
    log_ratio: float,
    shrink: float,
    order: Integers,
    distinct: int,
) -> Floats:
    """Algorithm 2, the decoder's side: Σ τ of each distinct index; order[t] is the place of picks[t] among them."""
    magnitudes = np.zeros(distinct, np.float64)
    mean = 0.0
    refresh = 0
    for step in range(indices.size):
        if refresh < refresh_at.size and refresh_at[refresh] == step:
            mean = to_float(refresh_code[refresh])
            refresh += 1
        magnitudes[order[step]] += log_ratio * mean
        mean *= shrink
    return magnitudes
