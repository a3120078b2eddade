"""Side information, which encoder and decoder both hold: layers, weights of their rows and columns, recent changes.

Maps coordinates to cells of layers, and back. Knows log2 weights. Does not know where they come from, and not bits.
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.surp.coded_set import bisect
from surp_fl.codecs.surp.layer_weights import WeightTable
from surp_fl.types import Flags, Integers

NO_TABLES = -1  # in place of a first row or column, of a layer all of whose cells are alike
_NOTHING, _NO_FLAGS = np.empty(0, np.int64), np.empty(0, np.uint8)


class SideInformation:
    """What encoder and decoder both hold; int64, one entry a layer in the order of coding unless said otherwise.

    Attributes:
        start: the layer's first coordinate in the vector.
        rows: of the layer: its first axis.
        columns: of the layer: all other axes.
        first_row: where the layer's rows begin in the row tables; −1 if it has no tables.
        first_column: where its columns begin in the column tables; −1 if it has no tables.
        row_log2_weight: log2 of each row's largest |w| over that of the layer's largest, by rank; in 1/256 octaves.
        column_log2_weight: the same of columns.
        row_order: the row of each rank, largest weight first.
        column_order: the column of each rank.
        row_rank: the rank of each row.
        column_rank: the rank of each column.
        recent: ascending coordinates that changed in the last update, therefore likely to change again; shape (r,).
            If there are any, they are coded as the first layer.
        recent_negative: whether each of them decreased; uint8, shape (r,).
        recent_keys: ascending keys of the same coordinates in their own layers; a key is a cell's place in its layer,
            plus the cells of all later layers.
    """

    def __init__(
        self,
        start: Integers,
        rows: Integers,
        columns: Integers,
        first_row: Integers,
        first_column: Integers,
        row_log2_weight: Integers,
        column_log2_weight: Integers,
        row_order: Integers,
        column_order: Integers,
        row_rank: Integers,
        column_rank: Integers,
        recent: Integers = _NOTHING,
        recent_negative: Flags = _NO_FLAGS,
        recent_keys: Integers = _NOTHING,
    ) -> None:
        self.start, self.rows, self.columns = start, rows, columns
        self.first_row, self.first_column = first_row, first_column
        self.row_log2_weight, self.column_log2_weight = row_log2_weight, column_log2_weight
        self.row_order, self.column_order = row_order, column_order
        self.row_rank, self.column_rank = row_rank, column_rank
        self.recent, self.recent_negative, self.recent_keys = recent, recent_negative, recent_keys
        self._has_recent = len(recent) > 0
        self._row_tables = _tables(row_log2_weight, first_row, rows)
        self._column_tables = _tables(column_log2_weight, first_column, columns)
        first = 1 if self._has_recent else 0
        by_start = np.argsort(start[first:])
        self._by_start, self._starts = by_start + first, start[first:][by_start]

    def with_recent(self, recent: Integers, negative: Flags) -> SideInformation:
        """The same, with recently changed coordinates as a layer of their own in front.

        Args:
            recent: ascending coordinates, at least one; int64, shape (r,).
            negative: whether each decreased; uint8, shape (r,).
        """
        return SideInformation(
            np.append(0, self.start), np.append(1, self.rows), np.append(len(recent), self.columns),
            np.append(NO_TABLES, self.first_row), np.append(NO_TABLES, self.first_column),
            self.row_log2_weight, self.column_log2_weight, self.row_order, self.column_order,
            self.row_rank, self.column_rank, recent, negative, self.keys_of(recent),
        )  # fmt: skip

    def layer_count(self) -> int:
        """Number of layers, that of recently changed coordinates included."""
        return len(self.start)

    def is_recent(self, layer: int) -> bool:
        """Whether a layer is that of the recently changed coordinates."""
        return self._has_recent and layer == 0

    def recent_position(self, coordinate: int) -> int:
        """The place of a coordinate among the recently changed ones; −1 if it is none of them."""
        position = bisect(self.recent, 0, len(self.recent), coordinate)
        return position if position < len(self.recent) and self.recent[position] == coordinate else -1

    def layer_of(self, coordinate: int) -> int:
        """The layer in which a coordinate is coded."""
        if self._has_recent and self.recent_position(coordinate) >= 0:
            return 0
        return int(self._by_start[bisect(self._starts, 0, len(self._starts), coordinate + 1) - 1])

    def layers_of(self, coordinates: Integers) -> Integers:
        """The layer in which each coordinate is coded; shape (k,) for shape (k,)."""
        found = np.empty(len(coordinates), np.int64)
        layers = found
        for i in range(len(coordinates)):
            layers[i] = self.layer_of(coordinates[i])
        return found

    def cells_from_each_layer(self) -> Integers:
        """Cells of each layer and all later ones; shape (layers + 1,)."""
        found = np.zeros(len(self.start) + 1, np.int64)
        cells_from = found
        for layer in range(len(self.start) - 1, -1, -1):
            cells_from[layer] = cells_from[layer + 1] + self.rows[layer] * self.columns[layer]
        return found

    def cell_of(self, coordinate: int, layer: int) -> int:
        """The place of a coordinate among its layer's cells, with rows and columns ordered by rank."""
        if self.is_recent(layer):
            return self.recent_position(coordinate)
        offset = coordinate - self.start[layer]
        if self.first_row[layer] < 0:
            return int(offset)
        columns = self.columns[layer]
        row = offset // columns
        rank_of_row = self.row_rank[self.first_row[layer] + row]
        return int(rank_of_row * columns + self.column_rank[self.first_column[layer] + offset - row * columns])

    def coordinate_of(self, cell: int, layer: int) -> int:
        """The inverse of `cell_of`."""
        if self.is_recent(layer):
            return int(self.recent[cell])
        if self.first_row[layer] < 0:
            return int(self.start[layer] + cell)
        columns = self.columns[layer]
        rank_of_row = cell // columns
        row = self.row_order[self.first_row[layer] + rank_of_row]
        column = self.column_order[self.first_column[layer] + cell - rank_of_row * columns]
        return int(self.start[layer] + row * columns + column)

    def keys_of(self, coordinates: Integers) -> Integers:
        """Keys of coordinates, ascending: the cell within its layer, plus the cells of all later layers."""
        cells_from = self.cells_from_each_layer()
        found = np.empty(len(coordinates), np.int64)
        keys = found
        for i in range(len(coordinates)):
            layer = self.layer_of(coordinates[i])
            keys[i] = cells_from[layer + 1] + self.cell_of(coordinates[i], layer)
        return np.sort(found)

    def row_table(self, layer: int) -> WeightTable:
        """Weights of a layer's rows, by rank."""
        return self._row_tables[layer]

    def column_table(self, layer: int) -> WeightTable:
        """Weights of a layer's columns, by rank."""
        return self._column_tables[layer]


def _tables(log2_weights: Integers, first: Integers, size: Integers) -> list[WeightTable]:
    """The table of each layer, empty where `first` is −1."""
    return [WeightTable(log2_weights[at : at + n] if at >= 0 else _NOTHING) for at, n in zip(first, size, strict=True)]
