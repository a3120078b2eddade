"""Passes over the whole vector for Algorithm 2: the sum and the largest magnitudes, and which coordinates to track.

A coordinate is *tracked* if its magnitude u is above a floor, or if it was refined before: its residual magnitude is
kept in an array sorted by index; of all others only the vector is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.types import Floats, Integers, Vector

Flags = NDArray[np.uint8]


@njit(cache=True)
def _offer(top: Floats, value: float) -> None:
    """Replace the smallest of the k largest values so far, if this one is larger; `top` is a min-heap."""
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
    """Sum of |v| over a contiguous run, in four lanes; |v|/scale is offered to `top`, block by block."""
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
    vector: Vector, ends: Integers, scales: Floats, tracked: Integers, residual: Floats, k: int
) -> tuple[float, Floats]:
    """Sum and k largest of the residual magnitudes of all coordinates; one pass.

    Args:
        vector: float32, shape (n,).
        ends: end of each layer; shape (layers,).
        scales: of each layer, 0 for one that is left out; shape (layers,).
        tracked: indices of tracked coordinates, ascending; shape (t,).
        residual: their residual magnitudes; shape (t,).
        k: how many of the largest.

    Returns:
        The sum, NaN or infinity if the vector is not finite; a min-heap of shape (k,).
    """
    total = 0.0
    top = np.zeros(k, np.float64)
    start = 0
    p = 0
    for layer in range(ends.size):
        end = ends[layer]
        while start < end:
            stop = end
            if p < tracked.size and tracked[p] < end:
                stop = tracked[p]
            if scales[layer] > 0.0:
                total += _sum_and_top_of_run(vector, start, stop, scales[layer], top) / scales[layer]
            start = stop
            if stop < end:
                total += residual[p]
                _offer(top, residual[p])
                p += 1
                start = stop + 1
    return total, top


@njit(cache=True)
def track_above(
    vector: Vector, ends: Integers, scales: Floats, tracked: Integers, residual: Floats, refined: Flags, floor: float
) -> tuple[Integers, Floats, Flags]:
    """Track every coordinate with u ≥ floor, and every one that was refined before; one pass.

    Returns:
        Indices, residual magnitudes, and whether each was refined before; shape (t,).
    """
    capacity = max(1024, 2 * tracked.size)
    new_tracked = np.empty(capacity, np.int64)
    new_residual = np.empty(capacity, np.float64)
    new_refined = np.empty(capacity, np.uint8)
    count = 0
    start = 0
    p = 0
    for layer in range(ends.size):
        scale = scales[layer]
        cutoff = np.float32(floor * scale * 0.999999) if scale > 0.0 else np.float32(np.inf)
        for i in range(start, ends[layer]):
            is_tracked = p < tracked.size and tracked[p] == i
            if not is_tracked and abs(vector[i]) < cutoff:
                continue
            if is_tracked:
                u, was_refined = residual[p], refined[p]
                p += 1
            else:
                u, was_refined = (abs(vector[i]) / scale if scale > 0.0 else 0.0), np.uint8(0)
            if u < floor and was_refined == 0:
                continue
            if count == capacity:
                capacity *= 2
                new_tracked = grown(new_tracked, capacity)
                new_residual = grown(new_residual, capacity)
                new_refined = grown(new_refined, capacity)
            new_tracked[count], new_residual[count], new_refined[count] = i, u, was_refined
            count += 1
        start = ends[layer]
    return new_tracked[:count].copy(), new_residual[:count].copy(), new_refined[:count].copy()


@njit(cache=True)
def grown(array: NDArray[Any], capacity: int) -> NDArray[Any]:
    """A longer array with the same beginning."""
    larger = np.empty(capacity, array.dtype)
    larger[: array.size] = array
    return larger
