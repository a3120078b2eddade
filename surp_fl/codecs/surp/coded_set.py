"""Which cells a message named so far, and how many of them lie in front of a cell.

Few are ascending keys, where a cell's *rank* (how many lie in front of it) is found by bisection; many are bits, one
for each cell of the model, with a Fenwick tree that counts those of 64 cells each. What both hold is the same. Knows
keys; not what they stand for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.types import Integers

Words = NDArray[np.uint64]  # of 64 cells each; none while keys are kept
Counts = NDArray[np.int32]  # a Fenwick tree over the words; as long as they

_MIN_MAX_KEYS, _CELLS_PER_KEY = 4096, 1024  # so many keys are few, and one more for so many cells
_1 = np.uint64(1)


@njit(cache=True)
def max_keys(cells: int) -> int:
    """How many keys are kept as such."""
    return _MIN_MAX_KEYS + cells // _CELLS_PER_KEY


@njit(cache=True)
def bisect(keys: Integers, low: int, high: int, key: int) -> int:
    """The first place in [low, high) whose ascending key is at least this; high where there is none."""
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def max_coded(keys: Integers, bits: Words) -> int:
    """No fewer cells than were named."""
    return keys.size if bits.size == 0 else 64 * bits.size


@njit(cache=True)
def rank(keys: Integers, bits: Words, counts: Counts, low: int, high: int, key: int) -> int:
    """How many named cells lie in front of this one: at least `low` and at most `high`."""
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
    """How many bits are set."""
    x = np.uint64(word)
    x -= (x >> _1) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int(np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56)))


@njit(cache=True)
def with_keys(keys: Integers, bits: Words, counts: Counts, new: Integers, cells: int) -> tuple[Integers, Words, Counts]:
    """Name more cells, in any order, some of them again; what is given is not to be used any more."""
    if bits.size == 0 and keys.size + new.size <= max_keys(cells):
        return _merged(keys, new), bits, counts
    if bits.size == 0:
        bits, counts = np.zeros(cells // 64 + 1, np.uint64), np.zeros(cells // 64 + 1, np.int32)
        _set_bits(bits, counts, keys)
    _set_bits(bits, counts, new)
    return keys[:0], bits, counts


@njit(cache=True)
def _set_bits(bits: Words, counts: Counts, keys: Integers) -> None:
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
    """Ascending keys, each once, of ascending ones and new ones."""
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
