"""The candidates of Algorithm 2 among the tracked coordinates, u ≥ τ, as the threshold τ falls.

A Fenwick tree counts the candidates by position, so that the r-th one is found in O(log t); a max-heap holds the
positions of the others, which wait for the threshold to fall.
"""

from __future__ import annotations

import numpy as np

from surp_fl.types import Floats, Integers


def push(heap: Integers, size: int, residual: Floats, position: int) -> None:
    """Add a position to a heap of `size` positions, ordered by their residual magnitudes."""
    heap[size] = position
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        if residual[heap[parent]] >= residual[heap[child]]:
            break
        heap[parent], heap[child] = heap[child], heap[parent]
        child = parent


def _sift_down(heap: Integers, size: int, residual: Floats, parent: int) -> None:
    """Restore the heap below a parent."""
    while 2 * parent + 1 < size:
        child = 2 * parent + 1
        if child + 1 < size and residual[heap[child + 1]] > residual[heap[child]]:
            child += 1
        if residual[heap[parent]] >= residual[heap[child]]:
            break
        heap[parent], heap[child] = heap[child], heap[parent]
        parent = child


def add_to_count(tree: Integers, position: int, change: int) -> None:
    """Add to the count at a position of a Fenwick tree."""
    i = position + 1
    while i < len(tree):
        tree[i] += change
        i += i & -i


def position_of(tree: Integers, rank: int) -> int:
    """The position of the candidate with `rank` candidates before it."""
    step = 1
    while 2 * step < len(tree):
        step *= 2
    i = 0
    while step > 0:
        if i + step < len(tree) and tree[i + step] <= rank:
            i += step
            rank -= tree[i]
        step //= 2
    return i


def partition(residual: Floats, threshold: float) -> tuple[Integers, Integers, int, int]:
    """Divide the tracked coordinates into candidates and waiting ones; O(t).

    Args:
        residual: residual magnitudes of the tracked coordinates; shape (t,).
        threshold: τ.

    Returns:
        Fenwick tree of the candidates, heap of the others, and how many there are of each.
    """
    counts, positions = np.zeros(len(residual) + 1, np.int64), np.empty(len(residual), np.int64)
    tree, heap = counts, positions
    candidates = waiting = 0
    for position in range(len(residual)):
        if residual[position] >= threshold:
            tree[position + 1] += 1
            candidates += 1
        else:
            heap[waiting] = position
            waiting += 1
    for i in range(1, len(tree)):
        if i + (i & -i) < len(tree):
            tree[i + (i & -i)] += tree[i]
    for parent in range(waiting // 2 - 1, -1, -1):
        _sift_down(heap, waiting, residual, parent)
    return counts, positions, candidates, waiting


def pop(heap: Integers, size: int, residual: Floats) -> int:
    """Remove the position of the largest residual magnitude from a heap of `size` positions."""
    largest = heap[0]
    heap[0] = heap[size - 1]
    _sift_down(heap, size - 1, residual, 0)
    return int(largest)


def top_waiting(heap: Integers, size: int, residual: Floats, floor: float, k: int) -> Floats:
    """The k largest residual magnitudes of the heap, ascending; nothing if fewer than k are at or above the floor."""
    positions, magnitudes = np.empty(k, np.int64), np.empty(k)
    popped, values = positions, magnitudes
    count = 0
    while count < k and size - count > 0 and residual[heap[0]] >= floor:
        popped[count] = pop(heap, size - count, residual)
        values[count] = residual[popped[count]]
        count += 1
    for i in range(count):
        push(heap, size - count + i, residual, popped[i])
    return magnitudes[::-1].copy() if count == k else np.empty(0, np.float64)
