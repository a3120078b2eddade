"""What both ends of a message hold: the layers' shapes, the levels of their rows and columns, what changed lately.

Turns coordinates into cells of layers and back. Knows levels; not where they come from, and not bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surp_fl._compile import njit
from surp_fl.types import Integers, Signs

STEPS = 256  # of a level, per octave


class Shared(NamedTuple):
    """What both ends hold; all int64, one entry a layer in the order of coding unless said otherwise.

    `hot`: ascending coordinates that changed lately, and so will again; where there are any, they are the first layer,
    and `hot_negative` (bool) says which of them fell. `hot_keys`: the same coordinates, ascending, as keys: the
    cell within its layer, plus the cells of all later layers.
    `start`, `rows`, `columns`: where the layer lies in the vector, and its shape. `first_row`, `first_column`: where
    its entries begin in the level and order tables, or −1. `row_level`, `column_level`: at most 0, in 1/256 octaves, by
    rank. `row_order`, `column_order`: which row or column has a rank. `row_rank`, `column_rank`: the inverse.
    """

    hot: Integers
    hot_negative: Signs
    hot_keys: Integers
    start: Integers
    rows: Integers
    columns: Integers
    first_row: Integers
    first_column: Integers
    row_level: Integers
    column_level: Integers
    row_order: Integers
    column_order: Integers
    row_rank: Integers
    column_rank: Integers


@njit(cache=True)
def is_hot(layer: int, shared: Shared) -> bool:
    """Whether a layer is that of the coordinates that changed lately."""
    return bool(layer == 0 and shared.hot.size > 0)


@njit(cache=True)
def rooms_of(shared: Shared) -> Integers:
    """Cells from each layer on."""
    rooms = np.zeros(shared.start.size + 1, np.int64)
    for layer in range(shared.start.size - 1, -1, -1):
        rooms[layer] = rooms[layer + 1] + shared.rows[layer] * shared.columns[layer]
    return rooms


@njit(cache=True)
def layers_of(coordinates: Integers, shared: Shared) -> Integers:
    """The layer that each coordinate is coded in."""
    cold = 1 if shared.hot.size > 0 else 0
    by_start = np.argsort(shared.start[cold:])
    layers = cold + by_start[np.searchsorted(shared.start[cold:][by_start], coordinates, side="right") - 1]
    if cold > 0:
        place = np.minimum(np.searchsorted(shared.hot, coordinates), shared.hot.size - 1)
        layers[shared.hot[place] == coordinates] = 0
    return layers


@njit(cache=True)
def cell_of(coordinate: int, layer: int, shared: Shared) -> int:
    """The place of a coordinate among its layer's cells: rows and columns by rank."""
    if is_hot(layer, shared):
        return int(np.searchsorted(shared.hot, coordinate))
    offset = coordinate - shared.start[layer]
    if shared.first_row[layer] < 0:
        return int(offset)
    columns = shared.columns[layer]
    row = shared.row_rank[shared.first_row[layer] + offset // columns]
    return int(row * columns + shared.column_rank[shared.first_column[layer] + offset % columns])


@njit(cache=True)
def coordinate_of(cell: int, layer: int, shared: Shared) -> int:
    """The inverse of `cell_of`."""
    if is_hot(layer, shared):
        return int(shared.hot[cell])
    if shared.first_row[layer] < 0:
        return int(shared.start[layer] + cell)
    columns = shared.columns[layer]
    row = shared.row_order[shared.first_row[layer] + cell // columns]
    column = shared.column_order[shared.first_column[layer] + cell % columns]
    return int(shared.start[layer] + row * columns + column)


@njit(cache=True)
def keys_of(coordinates: Integers, shared: Shared) -> Integers:
    """Cells of coordinates within their layers, plus the cells of all later layers; ascending."""
    rooms, layer_of = rooms_of(shared), layers_of(coordinates, shared)
    keys = np.empty(coordinates.size, np.int64)
    for i in range(coordinates.size):
        keys[i] = rooms[layer_of[i] + 1] + cell_of(coordinates[i], layer_of[i], shared)
    return np.sort(keys)


@njit(cache=True)
def tables_of(layer: int, shared: Shared) -> tuple[Integers, Integers]:
    """Levels of a layer's rows and columns, by rank; nothing for a layer without."""
    r, c = shared.first_row[layer], shared.first_column[layer]
    if r < 0:
        return shared.row_level[:0], shared.column_level[:0]
    return shared.row_level[r : r + shared.rows[layer]], shared.column_level[c : c + shared.columns[layer]]
