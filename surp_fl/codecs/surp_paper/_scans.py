"""Passes over the whole vector for Algorithm 2: the sum and the largest magnitudes, and which coordinates to track.

A coordinate is *tracked* if its magnitude u is above a floor, or if it was refined before: its residual magnitude is
kept in an array sorted by index; of all others only the vector is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.types import Flags, Floats, Integers, Vector

_INFINITY = float("inf")


def _offer(top: Floats, value: float) -> None:
    """Replace the smallest of the k largest values so far, if this one is larger; `top` is a min-heap."""
    if value > top[0]:
        parent, size = 0, len(top)
        while 2 * parent + 1 < size:
            child = 2 * parent + 1
            if child + 1 < size and top[child + 1] < top[child]:
                child += 1
            if value <= top[child]:
                break
            top[parent] = top[child]
            parent = child
        top[parent] = value


def _sum_and_top_of_run(vector: Vector, start: int, end: int, scale: float, top: Floats) -> float:
    """Sum of |v| over a contiguous run, in four lanes; |v|/scale is offered to `top`, block by block."""
    a = b = c = d = 0.0
    for block in range(start, end, 256):
        stop = min(block + 256, end)
        whole = block + (stop - block) // 4 * 4
        peak = 0.0
        for i in range(block, whole, 4):
            p, q = abs(float(vector[i])), abs(float(vector[i + 1]))
            r, s = abs(float(vector[i + 2])), abs(float(vector[i + 3]))
            a += p
            b += q
            c += r
            d += s
            peak = max(peak, max(max(p, q), max(r, s)))
        for i in range(whole, stop):
            p = abs(float(vector[i]))
            a += p
            peak = max(peak, p)
        if peak / scale > top[0]:
            for i in range(block, stop):
                _offer(top, abs(float(vector[i])) / scale)
    return (a + b) + (c + d)


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
    largest = np.zeros(k)
    top = largest
    start = p = 0
    for layer in range(len(ends)):
        end = ends[layer]
        while start < end:
            stop = end
            if p < len(tracked) and tracked[p] < end:
                stop = tracked[p]
            if scales[layer] > 0.0:
                total += _sum_and_top_of_run(vector, start, stop, scales[layer], top) / scales[layer]
            start = stop
            if stop < end:
                total += residual[p]
                _offer(top, residual[p])
                p += 1
                start = stop + 1
    return total, largest


def track_above(
    vector: Vector, ends: Integers, scales: Floats, tracked: Integers, residual: Floats, refined: Flags, floor: float
) -> tuple[Integers, Floats, Flags]:
    """Track every coordinate with u ≥ floor, and every one that was refined before; two passes.

    Returns:
        Indices, residual magnitudes, and whether each was refined before; shape (t,).
    """
    capacity = len(tracked) + _count_above(vector, ends, scales, floor)
    indices, residuals, flags = np.empty(capacity, np.int64), np.empty(capacity), np.empty(capacity, np.uint8)
    new_tracked, new_residual, new_refined = indices, residuals, flags
    count = start = p = 0
    for layer in range(len(ends)):
        scale, cutoff = scales[layer], _cutoff(floor, scales[layer])
        next_tracked = tracked[p] if p < len(tracked) else -1
        for i in range(start, ends[layer]):
            is_tracked = i == next_tracked
            magnitude = abs(float(vector[i]))
            if not is_tracked and magnitude < cutoff:
                continue
            u, was_refined = 0.0, False
            if is_tracked:
                u, was_refined = residual[p], refined[p] != 0
                p += 1
                next_tracked = tracked[p] if p < len(tracked) else -1
            elif scale > 0.0:
                u = magnitude / scale
            if u < floor and not was_refined:
                continue
            new_tracked[count], new_residual[count], new_refined[count] = i, u, was_refined
            count += 1
        start = ends[layer]
    return indices[:count], residuals[:count], flags[:count]


def _cutoff(floor: float, scale: float) -> float:
    """The least |v| with u ≥ floor, or a little less: |v| has fewer bits than u."""
    return floor * scale * 0.999998 if scale > 0.0 else _INFINITY


def _count_above(vector: Vector, ends: Integers, scales: Floats, floor: float) -> int:
    """Number of coordinates with a magnitude of at least their layer's cutoff."""
    count = start = 0
    for layer in range(len(ends)):
        cutoff = _cutoff(floor, scales[layer])
        for i in range(start, ends[layer]):
            count += abs(float(vector[i])) >= cutoff
        start = ends[layer]
    return count


def grown(array: NDArray[Any], capacity: int) -> NDArray[Any]:
    """A longer array with the same beginning."""
    larger = np.empty(capacity, array.dtype)
    larger[: len(array)] = array
    return larger
