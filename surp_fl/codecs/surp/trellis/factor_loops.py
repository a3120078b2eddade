"""The loops of low-rank factors: products of them, for decoders, and what levels stand for, for the encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.trellis.transitions import next_state
from surp_fl.types import Floats, Vector

_TILE = 2048  # columns, whose sums stay in the cache


def add_products(values: Vector, columns: int, lefts: Vector, rights: Vector, magnitudes: Floats) -> None:
    """Add the product of left and right factors, summed in the order of components, to what levels say of a layer.

    Args:
        values: of the layer; float32, shape (rows·columns,).
        columns: of the layer.
        lefts: row by row; float32, shape (rank·rows,).
        rights: float32, shape (rank·columns,).
        magnitudes: of the components; float64, shape (rank,).
    """
    rank = len(magnitudes)
    rows = len(lefts) // rank
    sums = np.empty(_TILE)
    for begin in range(0, columns, _TILE):
        width = min(_TILE, columns - begin)
        for row in range(rows):
            at = row * columns + begin
            for column in range(width):
                sums[column] = 0.0
            for component in range(rank):
                left = lefts[component * rows + row] * magnitudes[component]
                if left != 0:
                    first = component * columns + begin
                    for column in range(width):
                        sums[column] += left * rights[first + column]
            for column in range(width):
                values[at + column] = sums[column] + values[at + column]


def values_of_levels(
    levels: NDArray[np.int32], signed: Vector, magnitudes: Floats, unit: float, most: float, state: int, values: Vector
) -> None:
    """What a decoder makes of the levels of a layer.

    Args:
        levels: from 0 on; int32, shape (n,).
        signed: whose signs they have; float32, shape (n,).
        magnitudes: of level 1 in both quantisers, in units; float64, shape (2,).
        unit: of magnitudes; a step has 16.
        most: the largest magnitude.
        state: of the trellis before them.
        values: filled in; float32, shape (n,).
    """
    for i in range(len(levels)):
        level = int(levels[i])
        quantiser = state & 1
        magnitude = 0.0
        if level > 0:
            magnitude = magnitudes[quantiser] if level == 1 else 16.0 * (2 * level - quantiser)
            magnitude = min(magnitude * unit, most)
        values[i] = -magnitude if signed[i] < 0 else magnitude
        state = next_state(state, level & 1)
