"""A random subset of coordinates that both ends make from a seed, in time for its size and not for the vector's.

Coordinate j of the subset is what a random permutation makes of j: four rounds of a Feistel network over at least n
numbers, with a word of SplitMix64 of the seed as the function of each round; a number of n or more is permuted again.
A random number is added last, modulo n, so that no coordinate comes more often than another, however small n is.

Source: Luby, Rackoff 1988, "How to construct pseudorandom permutations from pseudorandom functions"; Black, Rogaway
2002, "Ciphers with arbitrary finite domains" (cycle walking).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.rotation import words_at
from surp_fl.types import Integers

SEEDS = 1 << 32
_ROUNDS = 4
_BLOCK = 1 << 14  # coordinates that are worked on at a time


def random_subset(seed: int, count: int, n: int) -> Integers:
    """Draw `count` of n coordinates.

    Args:
        seed: 0 to SEEDS − 1.
        count: at most n.
        n: at most 2**60.

    Returns:
        Ascending coordinates, int64, shape (count,); each coordinate is in it for count/n of all seeds.

    >>> random_subset(seed=7, count=4, n=1000)
    array([476, 579, 921, 988])
    """
    indices = np.empty(count, np.int64)
    offset = words_at(seed, np.array([_ROUNDS << 32], np.uint64)) % np.uint64(n)
    for start in range(0, count, _BLOCK):
        part = indices[start : start + _BLOCK]
        numbers = np.arange(start, start + part.size, dtype=np.uint64)
        pending = np.arange(part.size)
        while pending.size:
            numbers[pending] = _permuted(numbers[pending], seed, n)
            pending = pending[numbers[pending] >= n]
        part[:] = (numbers + offset) % np.uint64(n)
    indices.sort()
    return indices


def _permuted(numbers: NDArray[np.uint64], seed: int, n: int) -> NDArray[np.uint64]:
    """A permutation of the numbers below 4^half, at least n of them."""
    half = np.uint64(((n - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << int(half)) - 1)
    left, right = numbers >> half, numbers & mask
    for each in range(_ROUNDS):
        left, right = right, left ^ words_at(seed, right + np.uint64(each << 32)) & mask
    return left << half | right
