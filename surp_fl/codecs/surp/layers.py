"""What both ends of a message hold: the layers' shapes, the levels of their rows and columns, what changed lately.

Turns coordinates into cells of layers and back. Knows levels; not where they come from, and not bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surp_fl._compile import njit
from surp_fl.types import Integers, Signs

STEPS_PER_OCTAVE = 256  # of a level, per octave


class SideInformation(NamedTuple):
    """What both ends hold; all int64, one entry a layer in the order of coding unless said otherwise.

    `hot`: ascending coordinates that changed lately, and so will again; where there are any, they are the first layer,
    and `hot_negative` (bool) says which of them fell. `hot_keys`: the same coordinates, ascending, as keys: the
    cell within its layer, plus the cells of all later layers.
    `start`, `rows`, `columns`: where the layer lies in the vector, and its shape. `first_row`, `first_column`: where
    its entries begin in the level and order tables, or −1. `row_level`, `column_level`: at most 0, in 1/256 octaves, by
    rank. `row_order`, `column_order`: which row or column has a rank. `row_rank`, `column_rank`: the inverse.
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
    """Whether a layer is that of the coordinates that changed lately."""
    return bool(layer == 0 and side.recent.size > 0)


@njit(cache=True)
def cells_from_each_layer(side: SideInformation) -> Integers:
    """Cells from each layer on."""
    cells_from = np.zeros(side.start.size + 1, np.int64)
    for layer in range(side.start.size - 1, -1, -1):
        cells_from[layer] = cells_from[layer + 1] + side.rows[layer] * side.columns[layer]
    return cells_from


@njit(cache=True)
def layers_of(coordinates: Integers, side: SideInformation) -> Integers:
    """The layer that each coordinate is coded in."""
    first = 1 if side.recent.size > 0 else 0
    by_start = np.argsort(side.start[first:])
    layers = first + by_start[np.searchsorted(side.start[first:][by_start], coordinates, side="right") - 1]
    if first > 0:
        place = np.minimum(np.searchsorted(side.recent, coordinates), side.recent.size - 1)
        layers[side.recent[place] == coordinates] = 0
    return layers


@njit(cache=True)
def cell_of(coordinate: int, layer: int, side: SideInformation) -> int:
    """The place of a coordinate among its layer's cells: rows and columns by rank."""
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
    """Cells of coordinates within their layers, plus the cells of all later layers; ascending."""
    cells_from, layer_of = cells_from_each_layer(side), layers_of(coordinates, side)
    keys = np.empty(coordinates.size, np.int64)
    for i in range(coordinates.size):
        keys[i] = cells_from[layer_of[i] + 1] + cell_of(coordinates[i], layer_of[i], side)
    return np.sort(keys)


@njit(cache=True)
def tables_of(layer: int, side: SideInformation) -> tuple[Integers, Integers]:
    """Levels of a layer's rows and columns, by rank; nothing for a layer without."""
    r, c = side.first_row[layer], side.first_column[layer]
    if r < 0:
        return side.row_log2_weight[:0], side.column_log2_weight[:0]
    return side.row_log2_weight[r : r + side.rows[layer]], side.column_log2_weight[c : c + side.columns[layer]]
