"""Exact counts: the k largest scores of all layers, and shares of layers as whole numbers of weights.

Knows numbers. Does not know what a score means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surp_fl.pruning.layers import Mask
from surp_fl.types import Array, Integers


def largest(scores: Sequence[Array], count: int) -> list[Mask]:
    """Mark the `count` largest scores of all layers; among equals those of the earlier layer, then of the lower index.

    Two passes and one copy of the scores, beside their concatenation; no sort.

    Args:
        scores: of each layer, shape (size,); without NaN.
        count: 0 up to the number of scores.

    Returns:
        A mask of shape (size,) for each layer; `count` are true in all.

    >>> largest([np.array([3.0, 1.0]), np.array([2.0, 2.0, 0.0])], 2)
    [array([ True, False]), array([ True, False, False])]
    """
    flat = scores[0] if len(scores) == 1 else np.concatenate(scores)
    if count == 0:
        mask = np.zeros(flat.size, np.bool_)
    else:
        threshold = np.partition(flat, flat.size - count)[flat.size - count]
        mask = flat > threshold
        missing = count - int(np.count_nonzero(mask))
        mask[np.flatnonzero(flat == threshold)[:missing]] = True
    return np.split(mask, np.cumsum([each.size for each in scores])[:-1])


def apportion(shares: Sequence[int], capacities: Sequence[int], count: int) -> Integers:
    """Divide a number of weights among layers in proportion to shares, no layer above its capacity; in whole numbers.

    A layer whose part would exceed its capacity gets its capacity, and the others share what is left, in proportion;
    again until none exceeds it. Fractions are settled by the largest remainder, among equals by the order of layers.

    Args:
        shares: of each layer, at least 0.
        capacities: the most weights of each layer.
        count: at most the sum of the capacities of layers whose share is above 0.

    Returns:
        Weights of each layer; their sum is `count`.

    >>> apportion([1, 1, 2], [2, 90, 90], 11)
    array([2, 3, 6])
    """
    counts = list(capacities)
    free = set(range(len(shares)))
    while True:
        rest = count - sum(counts[i] for i in range(len(shares)) if i not in free)
        total = max(sum(shares[i] for i in free), 1)
        over = {i for i in free if rest * shares[i] > capacities[i] * total}
        if not over:
            break
        free -= over
    for i in free:
        counts[i] = rest * shares[i] // total
    by_remainder = sorted(free, key=lambda i: (-(rest * shares[i] % total), i))
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    return np.array(counts, np.int64)
