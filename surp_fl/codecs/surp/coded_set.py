"""The set of cells that a message has coded so far, with fast *ranks*: how many coded cells have a smaller key.

A small set is an array of ascending keys, where a rank is found by bisection. A large one is a bitmap over all cells,
with a Fenwick tree of the counts of its 64-bit words. Both represent the same set, and no message depends on which it
is. Knows keys. Does not know what they stand for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.types import Integers

Words = NDArray[np.uint64]  # of 64 cells each; empty while the set is small
Counts = NDArray[np.int32]  # a Fenwick tree over the words, of the same length

# Set by hand: where bisection becomes slower than the Fenwick tree. It changes no message, but FORMAT.md's "Credit".
_MIN_MAX_KEYS, _CELLS_PER_KEY = 4096, 1024  # keys in any model; cells of the model for one key more
_1 = np.uint64(1)


@njit(cache=True)
def max_keys(cells: int) -> int:
    """Largest number of cells that are kept as keys, in a model of so many cells."""
    return _MIN_MAX_KEYS + cells // _CELLS_PER_KEY


@njit(cache=True)
def bisect(keys: Integers, low: int, high: int, key: int) -> int:
    """The first position in [low, high) whose key is at least `key`; high if there is none.

    >>> bisect(np.array([2, 4, 8]), 0, 3, 5)
    2
    """
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def max_coded(keys: Integers, bits: Words) -> int:
    """An upper bound of the number of coded cells."""
    return keys.size if bits.size == 0 else 64 * bits.size


@njit(cache=True)
def rank(keys: Integers, bits: Words, counts: Counts, low: int, high: int, key: int) -> int:
    """Number of coded cells with a smaller key.

    Args:
        keys: ascending keys; empty if there is a bitmap.
        bits: the bitmap, in words of 64 cells; empty if there are keys.
        counts: Fenwick tree over its words.
        low: a lower bound of the result.
        high: an upper bound of the result.
        key: of the cell.
    """
    if bits.size == 0:
        return bisect(keys, low, high, key)
    if low == high:
        return low
    word = key >> 6
    found = 0 if key & 63 == 0 else _popcount(bits[word] & ((_1 << np.uint64(key & 63)) - _1))
    while word > 0:
        found += int(counts[word - 1])
        word &= word - 1
    return found


@njit(cache=True)
def _popcount(word: int) -> int:
    """Number of bits that are set."""
    x = np.uint64(word)
    x -= (x >> _1) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int(np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56)))


@njit(cache=True)
def with_keys(keys: Integers, bits: Words, counts: Counts, new: Integers, cells: int) -> tuple[Integers, Words, Counts]:
    """The set with more cells; what is given is not to be used any more.

    Args:
        keys: ascending keys so far.
        bits: bitmap so far.
        counts: Fenwick tree so far.
        new: keys of the cells to add, in any order; may contain cells of the set.
        cells: of the model.

    Returns:
        Keys, bitmap and Fenwick tree.
    """
    if bits.size == 0 and keys.size + new.size <= max_keys(cells):
        return _merged(keys, new), bits, counts
    if bits.size == 0:
        bits, counts = np.zeros(cells // 64 + 1, np.uint64), np.zeros(cells // 64 + 1, np.int32)
        _set_bits(bits, counts, keys)
    _set_bits(bits, counts, new)
    return keys[:0], bits, counts


@njit(cache=True)
def _set_bits(bits: Words, counts: Counts, keys: Integers) -> None:
    """Add keys to the bitmap and its Fenwick tree."""
    for key in keys:
        word, bit = key >> 6, _1 << np.uint64(key & 63)
        if bits[word] & bit:
            continue
        bits[word] |= bit
        word += 1
        while word <= counts.size:
            counts[word - 1] += 1
            word += word & -word


@njit(cache=True)
def _merged(already_coded: Integers, keys: Integers) -> Integers:
    """The union of ascending keys and new ones, ascending."""
    keys = np.sort(keys)
    merged = np.empty(already_coded.size + keys.size, np.int64)
    size = i = j = 0
    while i < already_coded.size or j < keys.size:
        if j == keys.size or (i < already_coded.size and already_coded[i] <= keys[j]):
            key = already_coded[i]
            i += 1
        else:
            key = keys[j]
            j += 1
        if size == 0 or merged[size - 1] != key:
            merged[size] = key
            size += 1
    return merged[:size].copy()
