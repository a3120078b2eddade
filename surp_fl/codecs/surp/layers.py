"""Side information, which encoder and decoder both hold: layers, weights of their rows and columns, recent changes.

Maps coordinates to cells of layers, and back. Knows log2 weights. Does not know where they come from, and not bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surp_fl._compile import njit
from surp_fl.types import Integers, Signs

STEPS_PER_OCTAVE = 256  # of a log2 weight; part of the format


class SideInformation(NamedTuple):
    """What encoder and decoder both hold; int64, one entry a layer in the order of coding unless said otherwise.

    Attributes:
        recent: ascending coordinates that changed in the last update, therefore likely to change again; shape (r,).
            If there are any, they are coded as the first layer.
        recent_negative: whether each of them decreased; bool, shape (r,).
        recent_keys: ascending keys of the same coordinates in their own layers; a key is a cell's place in its layer,
            plus the cells of all later layers.
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
    """

    recent: Integers
    recent_negative: Signs
    recent_keys: Integers
    start: Integers
    rows: Integers
    columns: Integers
    first_row: Integers
    first_column: Integers
    row_log2_weight: Integers
    column_log2_weight: Integers
    row_order: Integers
    column_order: Integers
    row_rank: Integers
    column_rank: Integers


@njit(cache=True)
def is_recent(layer: int, side: SideInformation) -> bool:
    """Whether a layer is that of the recently changed coordinates."""
    return bool(layer == 0 and side.recent.size > 0)


@njit(cache=True)
def cells_from_each_layer(side: SideInformation) -> Integers:
    """Cells of each layer and all later ones; shape (layers + 1,)."""
    cells_from = np.zeros(side.start.size + 1, np.int64)
    for layer in range(side.start.size - 1, -1, -1):
        cells_from[layer] = cells_from[layer + 1] + side.rows[layer] * side.columns[layer]
    return cells_from


@njit(cache=True)
def layers_of(coordinates: Integers, side: SideInformation) -> Integers:
    """The layer in which each coordinate is coded; shape (k,) for shape (k,)."""
    first = 1 if side.recent.size > 0 else 0
    by_start = np.argsort(side.start[first:])
    layers = first + by_start[np.searchsorted(side.start[first:][by_start], coordinates, side="right") - 1]
    if first > 0:
        position = np.minimum(np.searchsorted(side.recent, coordinates), side.recent.size - 1)
        layers[side.recent[position] == coordinates] = 0
    return layers


@njit(cache=True)
def cell_of(coordinate: int, layer: int, side: SideInformation) -> int:
    """The place of a coordinate among its layer's cells, with rows and columns ordered by rank."""
    if is_recent(layer, side):
        return int(np.searchsorted(side.recent, coordinate))
    offset = coordinate - side.start[layer]
    if side.first_row[layer] < 0:
        return int(offset)
    columns = side.columns[layer]
    row = side.row_rank[side.first_row[layer] + offset // columns]
    return int(row * columns + side.column_rank[side.first_column[layer] + offset % columns])


@njit(cache=True)
def coordinate_of(cell: int, layer: int, side: SideInformation) -> int:
    """The inverse of `cell_of`."""
    if is_recent(layer, side):
        return int(side.recent[cell])
    if side.first_row[layer] < 0:
        return int(side.start[layer] + cell)
    columns = side.columns[layer]
    row = side.row_order[side.first_row[layer] + cell // columns]
    column = side.column_order[side.first_column[layer] + cell % columns]
    return int(side.start[layer] + row * columns + column)


@njit(cache=True)
def keys_of(coordinates: Integers, side: SideInformation) -> Integers:
    """Keys of coordinates, ascending: the cell within its layer, plus the cells of all later layers."""
    cells_from, layer_of = cells_from_each_layer(side), layers_of(coordinates, side)
    keys = np.empty(coordinates.size, np.int64)
    for i in range(coordinates.size):
        keys[i] = cells_from[layer_of[i] + 1] + cell_of(coordinates[i], layer_of[i], side)
    return np.sort(keys)


@njit(cache=True)
def tables_of(layer: int, side: SideInformation) -> tuple[Integers, Integers]:
    """Log2 weights of a layer's rows and columns, by rank; empty for a layer without tables."""
    r, c = side.first_row[layer], side.first_column[layer]
    if r < 0:
        return side.row_log2_weight[:0], side.column_log2_weight[:0]
    return side.row_log2_weight[r : r + side.rows[layer]], side.column_log2_weight[c : c + side.columns[layer]]
