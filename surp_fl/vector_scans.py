"""Loops over whole vectors: the largest magnitudes, the largest of each row and column, what changed; one pass each.

They read float32 vectors as their bits: as integers, magnitudes have the order of their numbers, and NaN is above
infinity. Long passes release Python's global lock. Does not know what the coordinates are for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.types import Floats, Integers, Vector

try:
    import cython
except ImportError:  # uncompiled, and Cython is not installed
    from surp_fl import _no_cython as cython

Bits = NDArray[np.int32]

_MAGNITUDE = 0x7FFFFFFF  # clears the sign bit
_BLOCK = 256  # coordinates; set by hand, simulations.benchmarks.codec measures the time
_BIN_SHIFT = 20  # bits below the exponent and 3 bits of the mantissa: eight bins for each factor of two
_BINS = 1 << 11
_CHUNK = 1 << 20  # coordinates at a time, where the loops are not compiled: bounds the memory
_ROUNDING_ULPS = 16  # units in the last place; a smaller change is the rounding of an average


def at_least(bits: Bits, threshold: int, count: int) -> Integers:
    """Find where |v| is at least a threshold, in one pass.

    If there are far more than `count`, the smaller ones are dropped on the way, and among equals the later ones.

    Args:
        bits: of a float32 vector; int32, shape (n,).
        threshold: of the magnitude, as bits; at least 1.
        count: how many of the largest are needed.

    Returns:
        Ascending coordinates; int64, shape (found,).
    """
    if not cython.compiled:
        return np.flatnonzero((bits & np.int32(_MAGNITUDE)) >= threshold)
    found = np.empty(4 * count + 1024, np.int64)
    place, size = 0, 0
    while True:
        place, size = _gather(bits, place, threshold - 1, found, size)
        if place == len(bits):
            return found[:size]
        size, threshold = _keep_largest(np.asarray(bits), found, count)


def _gather(bits: Bits, start: int, limit: int, found: Integers, size: int) -> tuple[int, int]:
    """Append coordinates from `start` on whose magnitude is above a limit; gives where it stopped, and the new size.

    A block is skipped at a few instructions a coordinate where nothing is above: the sign bit of limit − magnitude
    says so, for all of its coordinates at once.
    """
    with cython.nogil:
        n, capacity = len(bits), len(found)
        while start < n:
            end = min(start + _BLOCK, n)
            signs = 0
            for i in range(start, end):
                signs |= limit - (bits[i] & _MAGNITUDE)
            if signs < 0:
                for i in range(start, end):
                    if (bits[i] & _MAGNITUDE) > limit:
                        if size == capacity:
                            return i, size
                        found[size] = i
                        size += 1
            start = end
    return start, size


def _keep_largest(bits: Any, found: Any, count: int) -> tuple[int, int]:
    """Keep the `count` largest of `found`, in place; give their number, and the least magnitude of later ones."""
    magnitudes = bits[found] & np.int32(_MAGNITUDE)
    last = int(np.partition(magnitudes, magnitudes.size - count)[magnitudes.size - count])
    kept = magnitudes > last
    equals = np.flatnonzero(magnitudes == last)
    kept[equals[: count - int(kept.sum())]] = True
    found[:count] = found[kept]
    return count, last + 1


def changed(after: Bits, before: Bits, max_changes: int) -> Integers:
    """Find where two vectors differ by more than rounding.

    Args:
        after: bits of a float32 vector; int32, shape (n,).
        before: the same of another.
        max_changes: places that are looked for.

    Returns:
        Ascending coordinates; int64, shape (changes,); none if there are more than `max_changes`.
    """
    if not cython.compiled:
        where = np.flatnonzero(after != before)
        where = where[_ulps_apart(after[where], before[where]) > _ROUNDING_ULPS]
        return where if where.size <= max_changes else where[:0]
    found = np.empty(max_changes, np.int64)
    size = _gather_changes(after, before, found)
    return found[: max(size, 0)]


def _ulps_apart(after: Bits, before: Bits) -> Integers:
    """Units in the last place between numbers, zeros of both signs being the same number."""
    a, b = ((bits & np.int32(_MAGNITUDE)).astype(np.int64) for bits in (after, before))
    return np.where((after < 0) == (before < 0), np.abs(a - b), a + b)


def _gather_changes(after: Bits, before: Bits, found: Integers) -> int:
    """Fill `found` with the places of changes; gives how many, −1 for more than fit."""
    size = 0
    with cython.nogil:
        n, capacity, start = len(after), len(found), 0
        while start < n:
            end = min(start + _BLOCK, n)
            differing = 0  # bits
            for i in range(start, end):
                differing |= after[i] ^ before[i]
            for i in range(start, end if differing else start):
                a, b = after[i] & _MAGNITUDE, before[i] & _MAGNITUDE
                apart = (a - b if a > b else b - a) if (after[i] < 0) == (before[i] < 0) else a + b
                if apart > _ROUNDING_ULPS:
                    if size == capacity:
                        return -1
                    found[size] = i
                    size += 1
            start = end
    return size


def largest_of_rows_and_columns(bits: Bits, columns: int) -> tuple[Bits, Bits]:
    """Largest |w| of each row and of each column, as bits.

    Args:
        bits: of a float32 matrix, row after row; int32, shape (rows·columns,).
        columns: of the matrix.
    """
    rows = len(bits) // columns
    if not cython.compiled:
        magnitudes = (bits & np.int32(_MAGNITUDE)).reshape(rows, columns)
        return magnitudes.max(axis=1), magnitudes.max(axis=0)
    by_row, by_column = np.zeros(rows, np.int32), np.zeros(columns, np.int32)
    _largest(bits, by_row, by_column)
    return by_row, by_column


def _largest(bits: Bits, by_row: Bits, by_column: Bits) -> None:
    """Fill in the largest of each row and column.

    Columns are written only where a block of a row has a larger one, which after the first rows is seldom.
    """
    with cython.nogil:
        columns = len(by_column)
        for row in range(len(by_row)):
            first, start, largest = row * columns, 0, 0
            while start < columns:
                end = min(start + _BLOCK, columns)
                signs = 0
                for column in range(start, end):
                    magnitude = bits[first + column] & _MAGNITUDE
                    signs |= by_column[column] - magnitude
                    largest = magnitude if magnitude > largest else largest
                for column in range(start, end if signs < 0 else start):
                    magnitude = bits[first + column] & _MAGNITUDE
                    by_column[column] = max(by_column[column], magnitude)
                start = end
            by_row[row] = largest


def histogram(vector: Vector) -> tuple[Floats, Floats]:
    """Count magnitudes in bins, eight for each factor of two, and sum up their squares; one pass.

    Args:
        vector: float32, shape (n,), contiguous.

    Returns:
        Coordinates of each bin, and the sum of their squares, smallest magnitudes first; float64, shape (2048,).
    """
    counts, energies = np.zeros(_BINS), np.zeros(_BINS)
    bits = vector.view(np.int32)
    if not cython.compiled:
        for start in range(0, vector.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            bins = (bits[part] & np.int32(_MAGNITUDE)) >> _BIN_SHIFT
            counts += np.bincount(bins, minlength=_BINS)
            energies += np.bincount(bins, np.square(vector[part], dtype=np.float64), _BINS)
        return counts, energies
    _count(vector, bits, counts, energies)
    return counts, energies


def _count(vector: Vector, bits: Bits, counts: Floats, energies: Floats) -> None:
    """Fill in the histogram."""
    with cython.nogil:
        for i in range(len(bits)):
            place = (bits[i] & _MAGNITUDE) >> _BIN_SHIFT
            value = vector[i]
            counts[place] += 1.0
            energies[place] += value * value
