"""A set: which k cells of the layers a group has, and the sign of each."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from math import isqrt

from tests.format_walk.layers import Integers, Layer
from tests.format_walk.split import LARGEST_ONE, LARGEST_SUM, limited, read_split
from tests.format_walk.symbols import Between, Source

Add = Callable[[int, int], None]  # a coordinate, and whether its sign is negative

EXPONENTS = Between.of_frequencies([2, 3, 6, 5])
WITH_EXPONENTS = 8  # picks of a layer
POWERS = [round(2 ** (14 - f / 256)) for f in range(256)]


def sums_of(log2_weights: Integers | None, size: int, exponent: int) -> Sequence[int]:
    """Sums of the weights of all ranks below each rank."""
    if log2_weights is None:
        return range(size + 1)
    depths = (-exponent * log2_weights).tolist()
    return list(accumulate((max(1, POWERS[d & 255] >> (d >> 8)) for d in depths), initial=0))


class Cells:
    """A layer while a message is read: what was coded in it."""

    def __init__(self, layer: Layer) -> None:
        self.layer, self.picks, self.coded = layer, 0, list[int]()  # coded: ascending, each once
        self.exponents: tuple[int, int] | None = None
        self.sums = lru_cache(None)(self._sums)
        self._ranked = layer.ranked.ravel()

    def free(self, first: int, last: int, disjoint: bool) -> int:
        """How many cells of a range may be picked."""
        taken = self.coded_in(first, last) if disjoint else 0
        if self.layer.marked:
            taken = self.marked_in(first, last) + taken
        return last - first - taken

    def coded_in(self, first: int, last: int) -> int:
        return bisect_left(self.coded, last) - bisect_left(self.coded, first)

    def marked_in(self, first: int, last: int) -> int:
        return bisect_left(self.layer.marked, last) - bisect_left(self.layer.marked, first)

    def coordinate(self, cell: int) -> int:
        return int(self._ranked[cell])

    def _sums(self, exponents: tuple[int, int] | None) -> tuple[Sequence[int], Sequence[int]]:
        rows, columns = (None, None) if self.layer.tables is None else self.layer.tables.weights
        of_rows, of_columns = exponents or (2, 2)
        return sums_of(rows, self.layer.rows, of_rows), sums_of(columns, self.layer.columns, of_columns)


def read_set(source: Source, cells: Sequence[Cells], picks: int, disjoint: bool, add: Add) -> None:
    sizes = [each.layer.size for each in cells]
    distinct = sum(len(each.coded) for each in cells)
    source.spend(64 + len(cells) + min(distinct, 4096 + sum(sizes) // 1024) // 4)
    free = [each.free(0, each.layer.size, disjoint) for each in cells]
    source.check(picks <= sum(free), "more picks than free cells")
    shares = [max(1, isqrt(16 * size)) for size in sizes]
    before = sum(each.picks for each in cells)
    total = sum(shares)
    weights = [2 * share + total * each.picks for share, each in zip(shares, cells, strict=True)]
    free_later, weight_later = sum(free), sum(weights)
    found = []
    for i, each in enumerate(cells):
        if picks == 0:
            break
        free_later, weight_later = free_later - free[i], weight_later - weights[i]
        here = (free[i], free_later), (weights[i], weight_later)
        mine = read_split(source, picks, *here, 2 + min(before // 4, 400))
        if mine:
            found.append((each, Tree(source, each, disjoint, add).read(mine)))
        picks -= mine
    for each, picked in found:
        each.picks += len(picked)
        each.coded = sorted({*each.coded, *picked})


class Tree:
    """The picks of one layer in one set, as a tree of ranges of cells."""

    def __init__(self, source: Source, cells: Cells, disjoint: bool, add: Add) -> None:
        self._source, self._cells, self._disjoint, self._add = source, cells, disjoint, add
        start = [1, 1] if cells.layer.fell is None else [6, 1]
        self._signs = defaultdict[int, list[int]](lambda: list(start))
        self._picked: list[int] = []

    def read(self, picks: int) -> list[int]:
        layer = self._cells.layer
        if layer.tables is None:
            self._source.spend(32)
            self._source.note("layer without tables")
        else:
            self._source.spend(32 + (layer.rows + layer.columns) // 4)
            self._source.note("layer with tables")
            if picks >= WITH_EXPONENTS and self._cells.exponents is None:
                rows = self._source.symbol("exponent", EXPONENTS)
                self._cells.exponents = rows, self._source.symbol("exponent", EXPONENTS)
                self._source.note("exponents of rows and columns")
        self._source.note("recent layer", layer.fell is not None)
        self._source.note("picks beside the recent layer", bool(layer.marked))
        self._range(0, layer.size, picks)
        return self._picked

    def _range(self, first: int, last: int, picks: int) -> None:
        if picks == 0:
            return
        if picks == last - first:
            self._all(first, last)
            return
        columns = self._cells.layer.columns
        several = last - first > columns
        unit, base = (columns, 0) if several else (1, first - first % columns)
        sums = self._cells.sums(self._cells.exponents)[0 if several else 1]
        low, high = (first - base) // unit, (last - base) // unit
        coded, marked = self._cells.coded_in(first, last), self._cells.marked_in(first, last)
        if picks == 1 and not coded and not marked and sums[high] - sums[low] <= LARGEST_ONE:
            self._source.spend(8)
            self._source.note("row as one symbol" if several else "column as one symbol")
            low = self._source.symbol("row" if several else "column", Between(sums, low, high))
            self._range(base + low * unit, base + (low + 1) * unit, 1)
            return
        self._source.spend(12)
        self._source.note("one pick, but too large weights", sums[high] - sums[low] > LARGEST_ONE)
        middle = (low + high) // 2
        cut = base + middle * unit
        weights = sums[middle] - sums[low], sums[high] - sums[middle]
        free = self._cells.free(first, cut, self._disjoint), self._cells.free(cut, last, self._disjoint)
        concentration = 24 if several else 200
        if coded or marked:
            self._source.note("range with cells of the recent layer", marked > 0)
            self._source.note("range with coded cells", coded > 0)
            weights, concentration = self._expected_again((first, cut, last), free, weights, concentration)
        left = read_split(self._source, picks, free, weights, concentration)
        self._range(first, cut, left)
        self._range(cut, last, picks - left)

    def _expected_again(
        self, ends: tuple[int, int, int], free: tuple[int, int], weights: tuple[int, int], concentration: int
    ) -> tuple[tuple[int, int], int]:
        """Weights and concentration where some cells were coded before or are in the recent layer."""
        pair = list(limited(*weights, LARGEST_SUM))
        told = []
        for i in (0, 1):
            first, last = ends[i], ends[i + 1]
            if free[i] != last - first:
                pair[i] = max(1, pair[i] * ((free[i] << 16) // (last - first)) >> 16)
            told.append(16 * self._cells.coded_in(first, last) + 4 * self._cells.marked_in(first, last))
        left, right = (16 * concentration * own + t * sum(pair) for own, t in zip(pair, told, strict=True))
        self._source.note("weights limited", left + right > LARGEST_SUM)
        return limited(left, right, LARGEST_SUM), concentration + sum(told) // 16

    def _all(self, first: int, last: int) -> None:
        """Every cell of a range is picked."""
        self._source.spend(16 * (last - first))
        self._source.note("range of which all cells are picked", last - first > 1)
        for cell in range(first, last):
            counts = self._signs[cell // self._cells.layer.columns]
            flag = self._source.flag("sign", *counts)
            counts[flag] += 1
            coordinate = self._cells.coordinate(cell)
            fell = self._cells.layer.fell
            self._add(coordinate, flag if fell is None else flag ^ int(fell[cell]))
            self._picked.append(cell)
