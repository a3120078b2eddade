"""The context model: which rows and columns of the model have large weights, and which coordinates changed recently.

Large weights are where training moved the model before, and where it is likely to move it again: the probability that
row i, column j of a layer is sent is proportional to a power of the row's largest |w| times a power of the column's.
The tables hold logarithms as integers, computed from the bits of the floats, so that they are the same on every
machine. Knows layouts and references. Does not know bits.
"""

from __future__ import annotations

import math
import weakref
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.layer_weights import STEPS_PER_OCTAVE
from surp_fl.codecs.surp.layers import NO_TABLES, SideInformation
from surp_fl.immutable import is_immutable
from surp_fl.layout import Layout
from surp_fl.types import Flags, Integers, Reference, Vector
from surp_fl.vector_scans import changed, largest_of_rows_and_columns

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
_COORDINATES_PER_CHANGE = 16  # at most one coordinate in so many may have changed, for the changes to be a layer
_CELLS_PER_TABLE_ENTRY = 4  # fewer cells a row or column, and a layer has no tables
_MIN_LOG2_WEIGHT = -20 * STEPS_PER_OCTAVE  # of a row or column of zeros
_LOG2 = np.array(
    [round(STEPS_PER_OCTAVE * math.log2(1 + m / STEPS_PER_OCTAVE)) for m in range(STEPS_PER_OCTAVE)], np.int64
)


@dataclass(frozen=True)
class Context:
    """What a message is coded against.

    Attributes:
        side: layers, smallest first, and their tables.
        digest: 32 bits of the tables; 0 without a reference.
    """

    side: SideInformation
    digest: int

    @classmethod
    def of(cls, layout: Layout, reference: Reference) -> Context:
        """Compute the context of a reference; without one, all cells of a layer are alike.

        The last context of a model alone, and the last of a pair, are cached while these live, if they are `immutable`:
        the messages of a round share them.

        Args:
            layout: of the model, n coordinates.
            reference: float32, shape (n,); or a pair of the model and an earlier one; or None.
        """
        if reference is None:
            return _without_reference(layout)
        model, before = reference if isinstance(reference, tuple) else (reference, None)
        if not is_immutable(model) or (before is not None and not is_immutable(before)):
            return cls._compute(layout, model, before)
        cached = _cache.get(before is None)  # read once: other threads may replace it
        if cached is None or not cached.is_of(layout, model, before):
            context = cls._compute(layout, model, before)
            cached = _Cached(layout, weakref.ref(model), None if before is None else weakref.ref(before), context)
            _cache[before is None] = cached
        return cached.context

    @classmethod
    def _compute(cls, layout: Layout, reference: Vector | None, before: Vector | None) -> Context:
        filled = [spec for spec in layout.floats if spec.size > 0]
        sizes = np.array([spec.size for spec in filled], np.int64)
        order = np.argsort(sizes, kind="stable")
        rows = np.array([spec.shape[0] if len(spec.shape) > 1 else 1 for spec in filled], np.int64)[order]
        start, columns = (np.cumsum(sizes) - sizes)[order], sizes[order] // rows
        first_entry = np.full((2, sizes.size), NO_TABLES, np.int64)
        tables = (_Table(), _Table())
        for layer in range(sizes.size if reference is not None else 0):
            r, c = int(rows[layer]), int(columns[layer])
            if r < 2 or c < 2 or _CELLS_PER_TABLE_ENTRY * (r + c) > r * c:
                continue
            assert reference is not None
            bits = reference[start[layer] : start[layer] + r * c].view(np.int32)
            for axis, largest in enumerate(largest_of_rows_and_columns(bits, c)):
                first_entry[axis, layer] = tables[axis].add(_log2_weights(largest))
        by_row, by_column = (table.joined() for table in tables)
        digest = 0
        if reference is not None:
            for table in (by_row[0], by_column[0], by_row[1], by_column[1]):
                digest = zlib.crc32(table.astype("<i4").tobytes(), digest)
        side = SideInformation(
            start, rows, columns, first_entry[0], first_entry[1],
            by_row[0], by_column[0], by_row[1], by_column[1], by_row[2], by_column[2],
        )  # fmt: skip
        recent, recent_negative = _recently_changed(reference, before)
        if recent.size > 0:  # a layer of their own, in front
            digest = zlib.crc32(
                np.packbits(recent_negative).tobytes(), zlib.crc32(recent.astype("<i8").tobytes(), digest)
            )
            side = side.with_recent(recent, recent_negative)
        return cls(side, digest)


@lru_cache(maxsize=8)
def _without_reference(layout: Layout) -> Context:
    return Context._compute(layout, None, None)


@dataclass(frozen=True)
class _Cached:
    """A context, and the arrays that it was computed from."""

    layout: Layout
    model: weakref.ref[Vector]
    before: weakref.ref[Vector] | None
    context: Context

    def is_of(self, layout: Layout, model: Vector, before: Vector | None) -> bool:
        known_before = None if self.before is None else self.before()
        return (
            self.layout == layout
            and self.model() is model
            and known_before is before
            and (self.before is None) == (before is None)
        )


_cache: dict[bool, _Cached] = {}  # by whether there is no model before


class _Table:
    """Log2 weights by rank, orders and ranks of the rows (or columns) of all layers, one after the other."""

    def __init__(self) -> None:
        self._parts: list[tuple[Integers, Integers, Integers]] = []
        self._size = 0

    def add(self, log2_weight: Integers) -> int:
        order = np.argsort(-log2_weight, kind="stable")
        self._parts.append((log2_weight[order], order, np.argsort(order, kind="stable")))
        self._size += log2_weight.size
        return self._size - log2_weight.size

    def joined(self) -> tuple[Integers, Integers, Integers]:
        empty = np.empty(0, np.int64)
        log2_weights, orders, ranks = zip(*self._parts, strict=True) if self._parts else ([empty], [empty], [empty])
        return np.concatenate(log2_weights), np.concatenate(orders), np.concatenate(ranks)


def _recently_changed(model: Vector | None, before: Vector | None) -> tuple[Integers, Flags]:
    """Coordinates of the last change of the model, if it was sparse, and whether each decreased."""
    if model is None or before is None:
        return np.empty(0, np.int64), np.empty(0, np.uint8)
    recent = changed(model.view(np.int32), before.view(np.int32), model.size // _COORDINATES_PER_CHANGE)
    return recent, (model[recent] < before[recent]).view(np.uint8)


def _log2_weights(largest: NDArray[np.int32]) -> Integers:
    """log2 of positive floats, relative to the largest of them, in 1/256 octaves; from their bits."""
    bits = largest.astype(np.int64)
    log2_weight = np.where(bits >> 23 > 0, (bits >> 23) * STEPS_PER_OCTAVE + _LOG2[(bits >> 15) & 255], 0)
    relative: Integers = np.maximum(log2_weight - log2_weight.max(initial=0), _MIN_LOG2_WEIGHT)
    return relative
