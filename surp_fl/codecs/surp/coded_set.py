"""The set of cells that a message has coded so far, with fast *ranks*: how many coded cells have a smaller key.

A small set is an array of ascending keys, where a rank is found by bisection. A large one is a bitmap over all cells,
with a Fenwick tree of the counts of its 64-bit words. Both represent the same set, and no message depends on which it
is. Knows keys. Does not know what they stand for.
"""

from __future__ import annotations

import numpy as np

from surp_fl.types import Integers

# Set by hand: where bisection becomes slower than the Fenwick tree. It changes no message, but FORMAT.md's "Credit".
_MIN_MAX_KEYS, _CELLS_PER_KEY = 4096, 1024  # keys in any model; cells of the model for one key more
# as 64-bit integers, for C; _BITS_1 has every other bit, _BITS_2 every other two, _BITS_4 every other four
_ONE, _ALL_ONES, _EVERY_BYTE = 1, 0xFFFFFFFFFFFFFFFF, 0x0101010101010101
_BITS_1, _BITS_2, _BITS_4 = 0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F


def max_keys(cells: int) -> int:
    """Largest number of cells that are kept as keys, in a model of so many cells."""
    return _MIN_MAX_KEYS + cells // _CELLS_PER_KEY


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


def _popcount(word: int) -> int:
    """Number of bits that are set, of 64."""
    word -= (word >> 1) & _BITS_1
    word = (word & _BITS_2) + ((word >> 2) & _BITS_2)
    word = (word + (word >> 4)) & _BITS_4
    return ((word * _EVERY_BYTE) & _ALL_ONES) >> 56


class CodedCells:
    """Coded cells, by their keys.

    Args:
        cells: of the model.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._keys = np.empty(0, np.int64)  # ascending; empty if there is a bitmap
        self._is_bitmap = False
        self._bits = np.empty(0, np.uint64)  # words of 64 cells
        self._counts = np.empty(0, np.int32)  # Fenwick tree over the words

    def copy(self) -> CodedCells:
        """The same set, which can grow by itself."""
        other = CodedCells(self._cells)
        other._keys, other._is_bitmap = self._keys, self._is_bitmap  # keys are never changed in place
        if self._is_bitmap:
            other._bits, other._counts = np.array(self._bits), np.array(self._counts)
        return other

    def max_rank(self) -> int:
        """An upper bound of the number of coded cells."""
        return 64 * len(self._bits) if self._is_bitmap else len(self._keys)

    def rank(self, low: int, high: int, key: int) -> int:
        """Number of coded cells with a smaller key.

        Args:
            low: a lower bound of the result.
            high: an upper bound of the result.
            key: of the cell.
        """
        if not self._is_bitmap:
            return bisect(self._keys, low, high, key)
        if low == high:
            return low
        word = key >> 6
        bit = int(key & 63)
        bits = int(self._bits[word]) if bit > 0 else 0
        found = _popcount(bits & ((_ONE << bit) - 1))
        while word > 0:
            found += self._counts[word - 1]
            word &= word - 1
        return int(found)

    def add(self, new: Integers) -> None:
        """Add cells.

        Args:
            new: their keys, in any order; may contain cells of the set.
        """
        if not self._is_bitmap and len(self._keys) + len(new) <= max_keys(self._cells):
            self._keys = _merged(self._keys, np.sort(new))
            return
        if not self._is_bitmap:
            self._is_bitmap = True
            words = self._cells // 64 + 1
            self._bits, self._counts = np.zeros(words, np.uint64), np.zeros(words, np.int32)
            self._set_bits(self._keys)
            self._keys = np.empty(0, np.int64)
        self._set_bits(new)

    def _set_bits(self, keys: Integers) -> None:
        """Add keys to the bitmap and its Fenwick tree."""
        for i in range(len(keys)):
            word = keys[i] >> 6
            place = int(keys[i] & 63)
            bit = _ONE << place
            bits = int(self._bits[word])
            if bits & bit:
                continue
            self._bits[word] = bits | bit
            word += 1
            while word <= len(self._counts):
                self._counts[word - 1] += 1
                word += word & -word


def _merged(coded: Integers, new: Integers) -> Integers:
    """The union of two arrays of ascending keys, ascending."""
    union = np.empty(len(coded) + len(new), np.int64)
    merged = union
    size = i = j = 0
    while i < len(coded) or j < len(new):
        if j == len(new) or (i < len(coded) and coded[i] <= new[j]):
            key = coded[i]
            i += 1
        else:
            key = new[j]
            j += 1
        if size == 0 or merged[size - 1] != key:
            merged[size] = key
            size += 1
    return union[:size]
