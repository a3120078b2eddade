"""The compiled loops of `surp.py`: Algorithm 2 in O(n + steps·log n).

The coordinates that can be candidates soon are *held* apart, sorted by index, with what is left of their
magnitudes; the rest of the vector is only read. Among the held ones, a Fenwick tree counts the candidates
(so that the r-th candidate is found in O(log n)) and a heap, largest first, keeps those that wait for the
threshold to fall. When the threshold leaves the range of the held ones, the vector is scanned again for a
range of at least a factor of two, so that scans are few.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.entropy.minifloat import to_code, to_float
from surp_fl.types import Floats, Integers, Vector

Flags = NDArray[np.uint8]

_SMALLEST_THRESHOLD = math.ldexp(1.0, -300)  # far below what any code can say of a float32 vector
_STALE = math.ldexp(1.0, -20)  # a running sum that shrank by more is summed again from the vector


@njit(cache=True)
def bit_length(value: int) -> int:
    """Bits of a non-negative integer, as int.bit_length."""
    bits = 0
    while value > 0:
        bits += 1
        value >>= 1
    return bits


@njit(cache=True)
def walk_bits(steps: int, refreshes: int, signs: int, index_bits: int) -> int:
    """Bits of a walk: two counts, the first mean, an index per step, a sign per distinct index, the refreshes."""
    counts = 8 * (max(1, (bit_length(steps) + 6) // 7) + max(1, (bit_length(refreshes) + 6) // 7))
    refresh_bits = 16 + bit_length(max(steps - 1, 0))
    return counts + 16 + steps * index_bits + signs + refreshes * refresh_bits


@njit(cache=True)
def _offer(top: Floats, value: float) -> None:
    """Let a value replace the smallest of the k largest so far; `top` is a heap, smallest first."""
    if value <= top[0]:
        return
    parent = 0
    while 2 * parent + 1 < top.size:
        child = 2 * parent + 1
        if child + 1 < top.size and top[child + 1] < top[child]:
            child += 1
        if value <= top[child]:
            break
        top[parent] = top[child]
        parent = child
    top[parent] = value


@njit(cache=True)
def _sum_and_top_of_run(vector: Vector, start: int, end: int, scale: float, top: Floats) -> float:
    """Sum of |v| over a contiguous run, in four lanes; |v|/scale is offered to the top, in blocks that can matter."""
    a = b = c = d = 0.0
    for block in range(start, end, 256):
        stop = min(block + 256, end)
        whole = block + (stop - block) // 4 * 4
        peak = np.float32(0.0)
        for i in range(block, whole, 4):
            p, q, r, s = abs(vector[i]), abs(vector[i + 1]), abs(vector[i + 2]), abs(vector[i + 3])
            a += p
            b += q
            c += r
            d += s
            peak = max(peak, max(max(p, q), max(r, s)))
        for i in range(whole, stop):
            a += abs(vector[i])
            peak = max(peak, abs(vector[i]))
        if peak / scale > top[0]:
            for i in range(block, stop):
                _offer(top, abs(vector[i]) / scale)
    return (a + b) + (c + d)


@njit(cache=True)
def sum_and_top(
    vector: Vector, ends: Integers, scales: Floats, held: Integers, left: Floats, k: int
) -> tuple[float, Floats]:
    """Sum and k largest (a heap, smallest first) of what is left of all magnitudes u; one pass.

    The sum of a vector with NaN or infinity is NaN or infinity.
    """
    total = 0.0
    top = np.zeros(k, np.float64)
    start = 0
    p = 0
    for layer in range(ends.size):
        end = ends[layer]
        while start < end:
            stop = end
            if p < held.size and held[p] < end:
                stop = held[p]
            if scales[layer] > 0.0:
                total += _sum_and_top_of_run(vector, start, stop, scales[layer], top) / scales[layer]
            start = stop
            if stop < end:
                total += left[p]
                _offer(top, left[p])
                p += 1
                start = stop + 1
    return total, top


@njit(cache=True)
def _hold_above(
    vector: Vector, ends: Integers, scales: Floats, held: Integers, left: Floats, touched: Flags, floor: float
) -> tuple[Integers, Floats, Flags]:
    """Hold every coordinate with u ≥ floor, and every one that was ever picked; one pass."""
    room = max(1024, 2 * held.size)
    new_held = np.empty(room, np.int64)
    new_left = np.empty(room, np.float64)
    new_touched = np.empty(room, np.uint8)
    count = 0
    start = 0
    p = 0
    for layer in range(ends.size):
        scale = scales[layer]
        bar = np.float32(floor * scale * 0.999999) if scale > 0.0 else np.float32(np.inf)
        for i in range(start, ends[layer]):
            known = p < held.size and held[p] == i
            if not known and abs(vector[i]) < bar:
                continue
            if known:
                u, picked = left[p], touched[p]
                p += 1
            else:
                u, picked = (abs(vector[i]) / scale if scale > 0.0 else 0.0), np.uint8(0)
            if u < floor and picked == 0:
                continue
            if count == room:
                room *= 2
                new_held = _grown(new_held, room)
                new_left = _grown(new_left, room)
                new_touched = _grown(new_touched, room)
            new_held[count], new_left[count], new_touched[count] = i, u, picked
            count += 1
        start = ends[layer]
    return new_held[:count].copy(), new_left[:count].copy(), new_touched[:count].copy()


@njit(cache=True)
def _grown(array: NDArray[Any], room: int) -> NDArray[Any]:
    larger = np.empty(room, array.dtype)
    larger[: array.size] = array
    return larger


@njit(cache=True)
def _push(heap: Integers, size: int, left: Floats, position: int) -> None:
    heap[size] = position
    child = size
    while child > 0:
        parent = (child - 1) // 2
        if left[heap[parent]] >= left[heap[child]]:
            break
        heap[parent], heap[child] = heap[child], heap[parent]
        child = parent


@njit(cache=True)
def _sift_down(heap: Integers, size: int, left: Floats, parent: int) -> None:
    while True:
        child = 2 * parent + 1
        if child >= size:
            return
        if child + 1 < size and left[heap[child + 1]] > left[heap[child]]:
            child += 1
        if left[heap[parent]] >= left[heap[child]]:
            return
        heap[parent], heap[child] = heap[child], heap[parent]
        parent = child


@njit(cache=True)
def _count(tree: Integers, position: int, change: int) -> None:
    """Add to the count at a position of a Fenwick tree."""
    i = position + 1
    while i < tree.size:
        tree[i] += change
        i += i & -i


@njit(cache=True)
def _position_of(tree: Integers, rank: int) -> int:
    """The position of the candidate with `rank` candidates before it."""
    step = 1
    while 2 * step < tree.size:
        step *= 2
    i = 0
    while step > 0:
        if i + step < tree.size and tree[i + step] <= rank:
            i += step
            rank -= tree[i]
        step //= 2
    return i


@njit(cache=True)
def _sort_out(left: Floats, threshold: float) -> tuple[Integers, Integers, int, int]:
    """Divide the held ones: candidates into the tree, the others into the heap; O(held)."""
    tree = np.zeros(left.size + 1, np.int64)
    heap = np.empty(left.size, np.int64)
    candidates = waiting = 0
    for position in range(left.size):
        if left[position] >= threshold:
            tree[position + 1] += 1
            candidates += 1
        else:
            heap[waiting] = position
            waiting += 1
    for i in range(1, tree.size):
        if i + (i & -i) < tree.size:
            tree[i + (i & -i)] += tree[i]
    for parent in range(waiting // 2 - 1, -1, -1):
        _sift_down(heap, waiting, left, parent)
    return tree, heap, candidates, waiting


@njit(cache=True)
def _pop(heap: Integers, size: int, left: Floats) -> int:
    """Take the largest off a heap of `size` positions."""
    largest = int(heap[0])
    heap[0] = heap[size - 1]
    _sift_down(heap, size - 1, left, 0)
    return largest


@njit(cache=True)
def _top_waiting(heap: Integers, size: int, left: Floats, floor: float, k: int) -> Floats:
    """The k largest of those that wait, smallest first; nothing where fewer than k are known to be at the floor."""
    popped = np.empty(k, np.int64)
    count = 0
    while count < k and size - count > 0 and left[heap[0]] >= floor:
        popped[count] = _pop(heap, size - count, left)
        count += 1
    for i in range(count):
        _push(heap, size - count + i, left, popped[i])
    return left[popped[:count]][::-1].copy() if count == k else np.empty(0, np.float64)


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
def walk(
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
    held, left, touched = np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint8)
    tree, heap = np.zeros(1, np.int64), np.empty(0, np.int64)
    candidates = waiting = 0
    floor = np.inf  # every coordinate with u ≥ floor is held

    picks = np.empty(64, np.int64)
    refresh_at, refresh_code = np.empty(16, np.int64), np.empty(16, np.int64)
    steps = refreshes = distinct = 0

    total, top = sum_and_top(vector, ends, scales, held, left, expected)
    total_when_summed = total
    finite = math.isfinite(total)
    scans = 1
    mean = threshold = np.inf  # 1/λ and τ
    due = finite  # for a refresh
    while finite and (max_steps < 0 or steps < max_steps) and (max_distinct < 0 or distinct < max_distinct):
        code = 0
        if due:  # λ ← ParamEst(u)
            code = _estimate(total, top, n, log_ratio)
            if code == 0:
                break
            mean = to_float(code)
            threshold = log_ratio * mean  # τ = (1/λ)·ln(n/β)
        if threshold < _SMALLEST_THRESHOLD:
            break
        if threshold < floor:
            floor = 0.5 * threshold
            held, left, touched = _hold_above(vector, ends, scales, held, left, touched, floor)
            tree, heap, candidates, waiting = _sort_out(left, threshold)
            scans += 1
        while waiting > 0 and left[heap[0]] >= threshold:  # the falling threshold has reached these
            _count(tree, _pop(heap, waiting, left), 1)
            candidates += 1
            waiting -= 1
        if candidates == 0:
            due = True
            top = _top_waiting(heap, waiting, left, floor, expected)
            if top.size == 0 or total < _STALE * total_when_summed:
                total, top = sum_and_top(vector, ends, scales, held, left, expected)
                total_when_summed = total
                scans += 1
            continue

        position = _position_of(tree, min(int(rng.random() * candidates), candidates - 1))
        new_refreshes = refreshes + 1 if due else refreshes
        new_distinct = distinct + 1 if touched[position] == 0 else distinct
        if budget_bits >= 0 and walk_bits(steps + 1, new_refreshes - 1, new_distinct, index_bits) > budget_bits:
            break
        if due:
            if refreshes == refresh_at.size:
                refresh_at = _grown(refresh_at, 2 * refreshes)
                refresh_code = _grown(refresh_code, 2 * refreshes)
            refresh_at[refreshes], refresh_code[refreshes] = steps, code
        if steps == picks.size:
            picks = _grown(picks, 2 * steps)
        picks[steps] = held[position]
        steps, refreshes, distinct = steps + 1, new_refreshes, new_distinct
        touched[position] = 1
        due = False

        left[position] -= threshold
        total -= threshold
        mean *= shrink  # λ ← λ·n / (n − ln(n/β))
        threshold = log_ratio * mean
        if left[position] < threshold:
            _count(tree, position, -1)
            candidates -= 1
            _push(heap, waiting, left, position)
            waiting += 1
    return picks[:steps].copy(), refresh_at[:refreshes].copy(), refresh_code[:refreshes].copy(), finite, scans


@njit(cache=True)
def rebuild(
    picks: Integers,
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
    for step in range(picks.size):
        if refresh < refresh_at.size and refresh_at[refresh] == step:
            mean = to_float(refresh_code[refresh])
            refresh += 1
        magnitudes[order[step]] += log_ratio * mean
        mean *= shrink
    return magnitudes
