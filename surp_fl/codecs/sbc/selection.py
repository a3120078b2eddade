"""Algorithm 2 of SBC: of each part of the vector the largest coordinates of one sign. Does not know messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from surp_fl.codecs.array_scales import starts_of
from surp_fl.topk import largest
from surp_fl.types import Floats, Integers, Vector


class Side(NamedTuple):
    """What is told of a part: ascending indices, the mean of their magnitudes, whether they are negative."""

    indices: Integers
    mean: float
    negative: bool


def sides_of(vector: Vector, sizes: Integers, counts: Integers) -> list[Side]:
    """Choose the larger side of each part.

    Args:
        vector: float32, shape (n,).
        sizes: coordinates of each part, n in all.
        counts: p·n of each part.
    """
    return [_larger(pair, count) for pair, count in zip(_ranked(vector, sizes, counts), counts.tolist(), strict=True)]


def sides_within(vector: Vector, sizes: Integers, limit: int, bits: Callable[[Integers, int], int]) -> list[Side]:
    """The same with the largest p, found by bisection, for which all parts take no more than `limit` bits.

    Args:
        vector: float32, shape (n,).
        sizes: coordinates of each part, n in all.
        limit: bits; an index takes at least one.
        bits: what a part takes, of its indices and size.
    """
    low, high = 0, min(vector.size, limit)
    ranked = _ranked(vector, sizes, _shares(high, sizes))

    def sides(count: int) -> list[Side]:
        return [_larger(pair, share) for pair, share in zip(ranked, _shares(count, sizes).tolist(), strict=True)]

    while low < high:
        count = (low + high + 1) // 2
        needed = sum(bits(side.indices, size) for side, size in zip(sides(count), sizes.tolist(), strict=True))
        low, high = (count, high) if needed <= limit else (low, count - 1)
    return sides(low)


class _Ranked(NamedTuple):
    """Coordinates of one sign in a part, by falling magnitude; and the sum of the magnitudes up to each."""

    indices: Integers
    sums: Floats


def _shares(count: int, sizes: Integers) -> Integers:
    """How many of p·n coordinates are each part's."""
    return count * sizes // max(1, int(sizes.sum()))


def _ranked(vector: Vector, sizes: Integers, counts: Integers) -> list[tuple[_Ranked, _Ranked]]:
    """The positive and the negative coordinates of each part, up to its count of each."""
    found = []
    for start, size, count in zip(starts_of(sizes).tolist(), sizes.tolist(), counts.tolist(), strict=True):
        part = vector[start : start + size]
        sides = [largest(np.maximum(signed, np.float32(0)), count) for signed in (part, -part)]
        positive, negative = (_Ranked(indices, np.cumsum(values, dtype=np.float64)) for indices, values in sides)
        found.append((positive, negative))
    return found


def _larger(pair: tuple[_Ranked, _Ranked], count: int) -> Side:
    """The `count` largest coordinates of the sign whose sum is larger: ΔW* of Algorithm 2."""
    found = [min(count, side.indices.size) for side in pair]
    positive, negative = (float(side.sums[k - 1]) if k else 0.0 for side, k in zip(pair, found, strict=True))
    which = int(negative > positive)  # μ− > μ+
    k = found[which]
    return Side(np.sort(pair[which].indices[:k]), max(positive, negative) / max(k, 1), bool(which))
