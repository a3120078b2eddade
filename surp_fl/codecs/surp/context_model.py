"""What both ends know before a message: the layers' shapes, and which rows and columns of the model are large.

Large weights sit where training moved the model before, and will move it again: the probability of an update at row i,
column j of a layer goes with a power of the row's largest |w| and a power of the column's. The tables hold the
logarithms as integers, read off the bits of the floats, so that both ends have the same on every machine. Knows layouts
and a reference vector. Does not know bits.
"""

from __future__ import annotations

import math
import weakref
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.codecs.surp.layers import STEPS, Shared, keys_of
from surp_fl.immutable import is_immutable
from surp_fl.layout import Layout
from surp_fl.types import Integers, Reference, Vector

FLAT = -1  # a layer without tables: all of its cells are alike
_SPARSE = 16  # a change of more than one coordinate in so many tells nothing
_ROUNDING = 16  # units in the last place
_LOWEST = -20 * STEPS  # a row of zeros counts as this
_LOG2 = np.array([round(STEPS * math.log2(1 + m / STEPS)) for m in range(STEPS)], np.int64)


@dataclass(frozen=True)
class Context:
    """What a message is coded against.

    Attributes:
        shared: layers, smallest first, and their tables.
        digest: 32 bits of the tables; 0 without a reference.
    """

    shared: Shared
    digest: int

    @classmethod
    def of(cls, layout: Layout, reference: Reference) -> Context:
        """Read the tables off a model and the model before it; without a model, all cells of a layer are alike.

        The last context of a model alone, and the last of a model and the one before, are kept for as long as these
        live, if nobody can ever write to them (`immutable`): the messages of a round share them, whichever they name.
        """
        if reference is None:
            return _without_reference(layout)
        model, before = reference if isinstance(reference, tuple) else (reference, None)
        if not is_immutable(model) or (before is not None and not is_immutable(before)):
            return cls._read_off(layout, model, before)
        kept = _kept.get(before is None)  # read once: other threads may replace it
        if kept is None or not kept.holds(layout, model, before):
            context = cls._read_off(layout, model, before)
            kept = _Kept(layout, weakref.ref(model), None if before is None else weakref.ref(before), context)
            _kept[before is None] = kept
        return kept.context

    @classmethod
    def _read_off(cls, layout: Layout, reference: Vector | None, before: Vector | None) -> Context:
        filled = [spec for spec in layout.floats if spec.size > 0]
        sizes = np.array([spec.size for spec in filled], np.int64)
        order = np.argsort(sizes, kind="stable")
        rows = np.array([spec.shape[0] if len(spec.shape) > 1 else 1 for spec in filled], np.int64)[order]
        start, columns = (np.cumsum(sizes) - sizes)[order], sizes[order] // rows
        first = np.full((2, sizes.size), FLAT, np.int64)
        tables = (_Table(), _Table())
        for layer in range(sizes.size if reference is not None else 0):
            r, c = int(rows[layer]), int(columns[layer])
            if r < 2 or c < 2 or 4 * (r + c) > r * c:  # tables as large as the layer would not pay
                continue
            assert reference is not None
            bits = reference[start[layer] : start[layer] + r * c].view(np.int32)
            for axis, largest in enumerate(_largest(bits, c)):
                first[axis, layer] = tables[axis].add(_levels(largest))
        by_row, by_column = (table.joined() for table in tables)
        digest = 0
        if reference is not None:
            for table in (by_row[0], by_column[0], by_row[1], by_column[1]):
                digest = zlib.crc32(table.astype("<i4").tobytes(), digest)
        shared = Shared(
            start[:0], np.empty(0, np.bool_), start[:0], start, rows, columns, first[0], first[1],
            by_row[0], by_column[0], by_row[1], by_column[1], by_row[2], by_column[2],
        )  # fmt: skip
        hot, hot_negative = _hot(reference, before)
        if hot.size > 0:  # a layer of their own, in front
            digest = zlib.crc32(np.packbits(hot_negative).tobytes(), zlib.crc32(hot.astype("<i8").tobytes(), digest))
            shared = shared._replace(
                hot=hot,
                hot_negative=hot_negative,
                hot_keys=keys_of(hot, shared),
                start=np.append(0, start),
                rows=np.append(1, rows),
                columns=np.append(hot.size, columns),
                first_row=np.append(FLAT, first[0]),
                first_column=np.append(FLAT, first[1]),
            )
        return cls(shared, digest)


@lru_cache(maxsize=8)
def _without_reference(layout: Layout) -> Context:
    return Context._read_off(layout, None, None)


@dataclass(frozen=True)
class _Kept:
    layout: Layout
    model: weakref.ref[Vector]
    before: weakref.ref[Vector] | None
    context: Context

    def holds(self, layout: Layout, model: Vector, before: Vector | None) -> bool:
        held = None if self.before is None else self.before()
        return (
            self.layout == layout
            and self.model() is model
            and held is before
            and (self.before is None) == (before is None)
        )


_kept: dict[bool, _Kept] = {}  # by whether there is no model before


class _Table:
    """Levels by rank, orders and ranks of the rows (or columns) of all layers, one layer after the other."""

    def __init__(self) -> None:
        self._parts: list[tuple[Integers, Integers, Integers]] = []
        self._size = 0

    def add(self, level: Integers) -> int:
        order = np.argsort(-level, kind="stable")
        self._parts.append((level[order], order, np.argsort(order, kind="stable")))
        self._size += level.size
        return self._size - level.size

    def joined(self) -> tuple[Integers, Integers, Integers]:
        empty = np.empty(0, np.int64)
        levels, orders, ranks = zip(*self._parts, strict=True) if self._parts else ([empty], [empty], [empty])
        return np.concatenate(levels), np.concatenate(orders), np.concatenate(ranks)


def _hot(model: Vector | None, before: Vector | None) -> tuple[Integers, NDArray[np.bool_]]:
    """Where the last change of the model was, if it was sparse, and where it was negative."""
    if model is None or before is None:
        return np.empty(0, np.int64), np.empty(0, np.bool_)
    hot = _changed(model.view(np.int32), before.view(np.int32), model.size // _SPARSE)
    return hot, model[hot] < before[hot]


@njit(cache=True)
def _changed(after: NDArray[np.int32], before: NDArray[np.int32], most: int) -> Integers:
    """Where two float vectors differ by more than an average's rounding; none, where that is in too many places."""
    found = np.empty(most, np.int64)
    size = 0
    for i in range(after.size):
        if after[i] == before[i]:
            continue
        a, b = np.int64(after[i] & np.int32(0x7FFFFFFF)), np.int64(before[i] & np.int32(0x7FFFFFFF))
        apart = abs(a - b) if (after[i] < 0) == (before[i] < 0) else a + b
        if apart > _ROUNDING:
            if size == most:
                return found[:0]
            found[size] = i
            size += 1
    return found[:size].copy()


@njit(cache=True)
def _largest(bits: NDArray[np.int32], columns: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Largest |w| of each row and column, as float32 bits, which order like the magnitudes."""
    rows = bits.size // columns
    by_row, by_column = np.zeros(rows, np.int32), np.zeros(columns, np.int32)
    for row in range(rows):
        largest = np.int32(0)
        for column in range(columns):
            magnitude = bits[row * columns + column] & np.int32(0x7FFFFFFF)
            largest = max(largest, magnitude)
            by_column[column] = max(by_column[column], magnitude)
        by_row[row] = largest
    return by_row, by_column


def _levels(largest: NDArray[np.int32]) -> Integers:
    """log2 of positive floats in 1/256 octaves, by their bits, relative to the largest of them."""
    bits = largest.astype(np.int64)
    level = np.where(bits >> 23 > 0, (bits >> 23) * STEPS + _LOG2[(bits >> 15) & 255], 0)
    relative: Integers = np.maximum(level - level.max(initial=0), _LOWEST)
    return relative
