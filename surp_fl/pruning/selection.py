"""Exact counts: the k largest scores of all layers, and shares of layers as whole numbers of weights.

Knows numbers. Does not know what a score means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surp_fl.pruning.layers import Mask
from surp_fl.types import Array, Floats, Integers


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


def apportion(shares: Floats, capacities: Integers, count: int) -> Integers:
    """Divide a number of weights among layers in proportion to shares, no layer above its capacity.

    A layer whose part would exceed its capacity gets its capacity, and the others share what is left, in proportion;
    again until none exceeds it. Fractions are settled by the largest remainder, among equals by the order of layers.

    Args:
        shares: of each layer, at least 0; shape (layers,).
        capacities: the most weights of each layer; shape (layers,).
        count: at most the sum of the capacities of layers whose share is above 0.

    Returns:
        Weights of each layer; their sum is `count`.

    >>> apportion(np.array([1.0, 1.0, 2.0]), np.array([2, 90, 90]), 11)
    array([2, 3, 6])
    """
    full = np.zeros(len(shares), np.bool_)
    while True:
        rest = max(count - int(capacities[full].sum()), 0)
        open_shares = np.where(full, 0.0, shares)
        parts = open_shares * (rest / max(open_shares.sum(), np.finfo(np.float64).tiny))
        over = ~full & (parts > capacities)
        if not over.any():
            break
        full |= over
    parts = np.where(full, capacities, parts)
    counts = np.minimum(np.floor(parts).astype(np.int64), capacities)
    while counts.sum() < count:  # at most twice: rounding of the parts may cost one more
        room = np.flatnonzero((counts < capacities) & (shares > 0))
        by_remainder = room[np.argsort(counts[room] - parts[room], kind="stable")]
        counts[by_remainder[: count - int(counts.sum())]] += 1
    return counts
