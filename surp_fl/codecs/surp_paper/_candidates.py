"""The candidates of Algorithm 2 among the tracked coordinates, u ≥ τ, and those that wait for the threshold τ to fall.

A candidate is a tracked position whose residual magnitude reaches τ: nothing else marks it. A tree of counts, 64 blocks
to a node, finds the r-th one; for millions of positions it fits into a processor's second cache. Positions just below
the threshold are sorted, so that the next ones to become candidates are the next ones of a list; those that fall back
among them after a step go to a heap, which stays small.
"""

from __future__ import annotations

import numpy as np

from surp_fl.types import Floats, Integers

_SHIFT = 6  # 64 positions in a block, 64 blocks in a node, and so on


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


def pop(heap: Integers, size: int, residual: Floats) -> int:
    """Remove the position of the largest residual magnitude from a heap of `size` positions."""
    largest = heap[0]
    heap[0] = heap[size - 1]
    parent = 0
    while 2 * parent + 1 < size - 1:
        child = 2 * parent + 1
        if child + 1 < size - 1 and residual[heap[child + 1]] > residual[heap[child]]:
            child += 1
        if residual[heap[parent]] >= residual[heap[child]]:
            break
        heap[parent], heap[child] = heap[child], heap[parent]
        parent = child
    return int(largest)


def arrange(residual: Floats, low: float, threshold: float) -> tuple[Integers, Integers, Integers]:
    """Count the candidates, and sort those that come next; one pass.

    Args:
        residual: residual magnitudes of the tracked coordinates; shape (t,).
        low: lowest residual magnitude of those that are sorted.
        threshold: τ.

    Returns:
        Counts of candidates, those of blocks first, then of nodes, up to the one count of all; where each level begins
        in them; positions from `low` up to below the threshold, largest first.
    """
    sizes, size = [0], len(residual)
    while size > 1 or len(sizes) == 1:
        size = max((size + 63) >> _SHIFT, 1)
        sizes.append(size)
    ends = np.cumsum(np.array(sizes, np.int64))  # of the levels; the first begins at 0
    all_counts, positions, last = np.zeros(sum(sizes), np.int64), np.empty(len(residual), np.int64), len(sizes) - 1
    counts, starts, found = all_counts, ends, positions
    waiting = 0
    for position in range(len(residual)):
        if residual[position] >= threshold:
            counts[position >> _SHIFT] += 1
        elif residual[position] >= low:
            found[waiting] = position
            waiting += 1
    for level in range(last - 1):
        for i in range(starts[level + 1] - starts[level]):
            counts[starts[level + 1] + (i >> _SHIFT)] += counts[starts[level] + i]
    positions = positions[:waiting]
    return all_counts, ends[:last].copy(), positions[np.argsort(-np.asarray(residual)[positions])]


def add_to_count(counts: Integers, starts: Integers, position: int, change: int) -> None:
    """Add to the counts of the block of a position and of all above it."""
    i = position
    for level in range(len(starts)):
        i >>= _SHIFT
        counts[starts[level] + i] += change


def position_of(counts: Integers, starts: Integers, residual: Floats, threshold: float, rank: int) -> int:
    """The position of the candidate with `rank` candidates before it; there are more than `rank`."""
    i = 0
    for level in range(len(starts) - 2, -1, -1):
        i <<= _SHIFT
        while counts[starts[level] + i] <= rank:
            rank -= counts[starts[level] + i]
            i += 1
    i <<= _SHIFT
    while True:
        if residual[i] >= threshold:
            if rank == 0:
                return int(i)
            rank -= 1
        i += 1


def top_waiting(waiting: Integers, start: int, heap: Integers, size: int, residual: Floats, k: int) -> Floats:
    """The k largest residual magnitudes that wait, ascending; nothing if fewer than k wait.

    Args:
        waiting: positions, largest first; those before `start` are candidates already.
        start: of those that wait.
        heap: of `size` positions that wait too.
        size: of the heap.
        residual: residual magnitudes; shape (t,).
        k: how many.
    """
    magnitudes, positions = np.empty(k), np.empty(k, np.int64)
    values, popped = magnitudes, positions
    count = taken = 0
    while count < k:
        from_list = start < len(waiting)
        if size - taken > 0 and (not from_list or residual[heap[0]] > residual[waiting[start]]):
            popped[taken] = pop(heap, size - taken, residual)
            values[count] = residual[popped[taken]]
            taken += 1
        elif from_list:
            values[count] = residual[waiting[start]]
            start += 1
        else:
            break
        count += 1
    for i in range(taken):
        push(heap, size - taken + i, residual, popped[i])
    return magnitudes[::-1].copy() if count == k else np.empty(0, np.float64)
