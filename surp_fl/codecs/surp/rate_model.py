"""Rates for rate–distortion selection: the expected bits of a coordinate's index and sign, given side information.

A set with μ expected picks in a cell pays −log2 μ bits for one there, and about a bit for its sign. Knows side
information. Does not know gains.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl._compile import njit
from surp_fl.codecs.surp.layer_weights import best_exponents
from surp_fl.codecs.surp.layers import STEPS_PER_OCTAVE, SideInformation, layers_of
from surp_fl.types import Floats, Integers, Signs

_MIN_RATE_BITS = 2.0  # set by hand: lower bound; simulations.experiments.messages measures what a change does
_SAME_SIGN_BITS, _TURNED_SIGN_BITS = 0.2, 2.8  # derived: −log2 of 6/7 and 1/7, index_set.py's initial counts


class RateModel:
    """Rates of candidate coordinates.

    Args:
        candidates: coordinates; int64, shape (k,).
        negative: whether each is negative; bool, shape (k,).
        side: what the decoder holds.
    """

    def __init__(self, candidates: Integers, negative: Signs, side: SideInformation) -> None:
        self._side = side
        self._layer = layers_of(candidates, side)
        self._row, self._column, self._sign_bits = _positions_and_sign_bits(candidates, negative, self._layer, side)

    def rate_bits_given(self, chosen: Integers) -> Floats:
        """Expected bits of each candidate, if as many coordinates of each layer are sent as there are among the chosen.

        Args:
            chosen: positions among the candidates; shape (m,).

        Returns:
            Bits; float64, shape (k,).
        """
        return _rate_bits(self._layer, self._row, self._column, self._sign_bits, chosen, self._side)


@njit(cache=True)
def _positions_and_sign_bits(
    candidates: Integers, negative: Signs, layer_of: Integers, side: SideInformation
) -> tuple[Integers, Integers, Floats]:
    """Rows and columns of candidates within their layers, by rank, and expected bits of their signs."""
    row, column = np.empty(candidates.size, np.int64), np.empty(candidates.size, np.int64)
    sign_bits = np.ones(candidates.size)
    for i in range(candidates.size):
        layer = layer_of[i]
        if side.recent.size > 0 and layer == 0:
            rank = np.searchsorted(side.recent, candidates[i])
            row[i], column[i] = 0, rank
            sign_bits[i] = _SAME_SIGN_BITS if negative[i] == side.recent_negative[rank] else _TURNED_SIGN_BITS
            continue
        row[i], column[i] = divmod(candidates[i] - side.start[layer], side.columns[layer])
        if side.first_row[layer] >= 0:
            row[i] = side.row_rank[side.first_row[layer] + row[i]]
            column[i] = side.column_rank[side.first_column[layer] + column[i]]
    return row, column, sign_bits


@njit(cache=True)
def _rate_bits(
    layer_of: Integers, row: Integers, column: Integers, sign_bits: Floats, chosen: Integers, side: SideInformation
) -> Floats:
    """As `RateModel.rate_bits_given`."""
    rate_bits = np.empty(layer_of.size)
    for layer in range(side.start.size):
        in_layer = np.flatnonzero(layer_of == layer)
        if in_layer.size == 0:
            continue
        chosen_here = chosen[layer_of[chosen] == layer]
        rows, columns = side.rows[layer], side.columns[layer]
        index_bits = math.log2(rows * columns / max(chosen_here.size, 0.5))
        r, c = side.first_row[layer], side.first_column[layer]
        if r < 0:
            for i in in_layer:
                rate_bits[i] = max(index_bits + sign_bits[i], _MIN_RATE_BITS)
            continue
        row_log2_weight = side.row_log2_weight[r : r + rows]
        column_log2_weight = side.column_log2_weight[c : c + columns]
        by_row, by_column = best_exponents(row_log2_weight, column_log2_weight, row[chosen_here], column[chosen_here])
        index_bits += _log2_mean_weight(row_log2_weight, by_row) + _log2_mean_weight(column_log2_weight, by_column)
        for i in in_layer:
            log2_weight_of_cell = by_row * row_log2_weight[row[i]] + by_column * column_log2_weight[column[i]]
            rate_bits[i] = max(index_bits + sign_bits[i] - log2_weight_of_cell / STEPS_PER_OCTAVE, _MIN_RATE_BITS)
    return rate_bits


@njit(cache=True)
def _log2_mean_weight(log2_weights: Integers, exponent: int) -> float:
    """log2 of the mean of 2^(exponent·log2_weight/256)."""
    total_weight = 0.0
    for log2_weight in log2_weights:
        total_weight += 2.0 ** (exponent * log2_weight / STEPS_PER_OCTAVE)
    return math.log2(total_weight / log2_weights.size)
