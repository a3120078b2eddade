"""Rates for rate–distortion selection: the expected bits of a coordinate's index and sign, given side information.

A set with μ expected picks in a cell pays −log2 μ bits for one there, and about a bit for its sign. Knows side
information. Does not know gains.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp.layer_weights import STEPS_PER_OCTAVE
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.types import Flags, Floats, Integers

_MIN_RATE_BITS = 2.0  # set by hand: lower bound; simulations.experiments.messages measures what a change does
_SAME_SIGN_BITS, _TURNED_SIGN_BITS = 0.2, 2.8  # derived: −log2 of 6/7 and 1/7, index_set.py's initial counts
_OCTAVES_PER_STEP = 1.0 / STEPS_PER_OCTAVE


class RateModel:
    """Rates of candidate coordinates.

    Args:
        candidates: coordinates; int64, shape (k,).
        negative: whether each is negative; uint8, shape (k,).
        side: what the decoder holds.
    """

    def __init__(self, candidates: Integers, negative: Flags, side: SideInformation) -> None:
        k = len(candidates)
        self._side = side
        self._layers = side.layers_of(candidates)
        self._layer = self._layers
        self._row, self._column = np.zeros(k, np.int64), np.empty(k, np.int64)  # ranks within the layer
        self._sign_bits = np.ones(k)
        self._place(candidates, negative)

    def _place(self, candidates: Integers, negative: Flags) -> None:
        """Fill in rows, columns and bits of signs."""
        for i in range(len(candidates)):
            layer = self._layer[i]
            cell = self._side.cell_of(candidates[i], layer)
            if self._side.is_recent(layer):
                self._column[i] = cell
                same = negative[i] == self._side.recent_negative[cell]
                self._sign_bits[i] = _SAME_SIGN_BITS if same else _TURNED_SIGN_BITS
            else:
                self._row[i] = cell // self._side.columns[layer]
                self._column[i] = cell - self._row[i] * self._side.columns[layer]

    def rate_bits_given(self, chosen: Integers) -> Floats:
        """Expected bits of each candidate, if as many coordinates of each layer are sent as there are among the chosen.

        Args:
            chosen: positions among the candidates; int64, shape (m,).

        Returns:
            Bits; float64, shape (k,).
        """
        found = np.empty(len(self._layer))
        by_layer = np.argsort(self._layers, kind="stable")
        chosen_by_layer = chosen[np.argsort(self._layers[chosen], kind="stable")]
        members, chosen_members = by_layer, chosen_by_layer
        start = chosen_start = 0
        while start < len(members):
            layer = self._layer[members[start]]
            end = self._end_of_layer(members, start, layer)
            chosen_end = self._end_of_layer(chosen_members, chosen_start, layer)
            self._rate_layer(found, members[start:end], chosen_by_layer[chosen_start:chosen_end], layer)
            start, chosen_start = end, chosen_end
        return found

    def _end_of_layer(self, members: Integers, start: int, layer: int) -> int:
        """Where the candidates of a layer end, which begin at `start`."""
        while start < len(members) and self._layer[members[start]] == layer:
            start += 1
        return start

    def _rate_layer(self, rate_bits: Floats, members: Integers, chosen: Integers, layer: int) -> None:
        """Fill in the bits of a layer's candidates."""
        side = self._side
        rows, columns = side.rows[layer], side.columns[layer]
        index_bits = math.log2(rows * columns / max(len(chosen), 0.5))
        if side.first_row[layer] < 0:
            for i in range(len(members)):
                rate_bits[members[i]] = max(index_bits + self._sign_bits[members[i]], _MIN_RATE_BITS)
            return
        row_table, column_table = side.row_table(layer), side.column_table(layer)
        by_row = row_table.best_exponent(np.asarray(self._row)[chosen])
        by_column = column_table.best_exponent(np.asarray(self._column)[chosen])
        index_bits += math.log2(row_table.total(by_row) / rows) + math.log2(column_table.total(by_column) / columns)
        for i in range(len(members)):
            member = members[i]
            log2_weight = by_row * row_table.log2_weight(self._row[member])
            log2_weight += by_column * column_table.log2_weight(self._column[member])
            bits = index_bits + self._sign_bits[member] - log2_weight * _OCTAVES_PER_STEP
            rate_bits[member] = max(bits, _MIN_RATE_BITS)
