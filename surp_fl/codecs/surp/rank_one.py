"""Rank-one terms of a layer ↔ a range coder: a magnitude times the product of a sign for each row and for each column.

A row or column whose sign is zero is left out. Where training moves all weights of a layer by little, as AdamW does, a
term says in a bit for each row and column what an index set could not say in a bit for each coordinate. Encoder and
decoder mirror each other; the format is described in `decoder.py`. Knows layers. Does not know gains, or budgets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.entropy.integers import decode_bits, decode_uint, encode_bits, encode_uint
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Floats, Integers

Trits = NDArray[np.int8]  # −1, 0 or 1

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
MIN_SIDE = 4  # rows and columns, of a layer that may have terms
MAX_TERMS = 4096  # in a message
CODE_BITS = 13
_ZEROS, _OTHERS = 40, 24  # counts before the first sign of a factor, in units of which each sign adds one step
_STEP, _MAX_COUNT = 24, 2048  # beyond it, both counts are halved
# Work units (see "Credit" in FORMAT.md): for each term, and one more for so many signs and for so many cells of the
# rows that are not 0; where fewer than one column in 8 is not 0, products are scattered, each like 8 such cells
_WORK_OF_TERM, _SIGNS_PER_WORK, _CELLS_PER_WORK, _CELLS_PER_PRODUCT = 64, 2, 32, 8
# as C numbers
_CODE_BITS, _MIN_SIDE = CODE_BITS, MIN_SIDE


class Density:
    """How likely a sign is zero: adaptive, and soon forgetting, since rows of like weight follow each other."""

    def __init__(self) -> None:
        self._zeros, self._others = _ZEROS, _OTHERS

    def encode(self, encoder: RangeEncoder, sign: int) -> None:
        """Encode a sign: −1, 0 or 1."""
        total = self._zeros + self._others
        if sign == 0:
            encoder.encode(0, self._zeros, total)
        else:
            encoder.encode(self._zeros, self._others, total)
            encode_bits(encoder, 1 if sign < 0 else 0, 1)
        self._update(sign == 0)

    def decode(self, decoder: RangeDecoder) -> int:
        """Decode a sign; not to be used if the decoder is exhausted then."""
        total = self._zeros + self._others
        zero = not decoder.decode_flag(self._zeros, total)
        self._update(zero)
        if zero:
            return 0
        return -1 if decode_bits(decoder, 1) == 1 else 1

    def _update(self, zero: bool) -> None:
        if zero:
            self._zeros += _STEP
        else:
            self._others += _STEP
        if self._zeros + self._others > _MAX_COUNT:
            self._zeros, self._others = (self._zeros >> 1) + 1, (self._others >> 1) + 1


def layers_with_terms(side: SideInformation) -> Integers:
    """The layers that may have terms, in the order of coding; int64, shape (layers,)."""
    found = np.empty(side.layer_count(), np.int64)
    layers = found
    count = 0
    for layer in range(side.layer_count()):
        if not side.is_recent(layer) and side.rows[layer] >= _MIN_SIDE and side.columns[layer] >= _MIN_SIDE:
            layers[count] = layer
            count += 1
    return found[:count]


def write_term(
    encoder: RangeEncoder, side: SideInformation, layers: Integers, place: int, previous_code: int, code: int,
    row_signs: Trits, column_signs: Trits,
) -> None:  # fmt: skip
    """Write a term.

    Args:
        encoder: of the message.
        side: what the decoder holds.
        layers: that may have terms.
        place: of the term's layer among them.
        previous_code: of the magnitude of the term before it; 0 for none.
        code: of its magnitude, 13 bits.
        row_signs: int8, shape (rows,).
        column_signs: int8, shape (columns,).
    """
    encoder.encode(place, 1, len(layers))
    layer = layers[place]
    if previous_code == 0:
        encode_bits(encoder, code, _CODE_BITS)
    else:
        rise = code - previous_code
        encode_uint(encoder, 2 * rise if rise >= 0 else -2 * rise - 1)
    encoder.spend(_WORK_OF_TERM + (side.rows[layer] + side.columns[layer]) // _SIGNS_PER_WORK)
    rows, columns = Density(), Density()
    for i in range(side.rows[layer]):
        rows.encode(encoder, row_signs[_row(side, layer, i)])
    for i in range(side.columns[layer]):
        columns.encode(encoder, column_signs[_column(side, layer, i)])
    encoder.spend(_work_of_sum(_count_signs(row_signs), _count_signs(column_signs), side.columns[layer]))


class TermReader:
    """Reads terms one by one.

    Args:
        side: what the encoder held.

    Attributes:
        layer: of the last term.
        code: of its magnitude; 0 for one that is not valid.
        row_signs: int8, shape (rows,).
        column_signs: int8, shape (columns,).
        sign_bits: bits of its signs that are not zero.
        magnitude_bits: bits of its magnitude.
    """

    def __init__(self, side: SideInformation) -> None:
        self._side = side
        self._layers = layers_with_terms(side)
        self.layer = self.code = 0
        self.sign_bits = self.magnitude_bits = 0.0
        self.row_signs, self.column_signs = np.empty(0, np.int8), np.empty(0, np.int8)

    def read(self, decoder: RangeDecoder) -> None:
        """Read a term; not to be used if the decoder is exhausted then, or if its code is 0."""
        previous, self.code = self.code, 0
        if len(self._layers) == 0:
            return
        place = decoder.decode_target(len(self._layers))
        decoder.decode_update(place, 1, len(self._layers))
        if decoder.exhausted():
            return
        layer = self._layers[place]
        self.layer = layer
        bits_before = decoder.bits_read()
        if previous == 0:
            code = decode_bits(decoder, _CODE_BITS)
        else:
            change = decode_uint(decoder)
            rise = change >> 1 if change & 1 == 0 else -((change + 1) >> 1)
            code = 0 if change < 0 else previous + rise
        self.magnitude_bits = decoder.bits_read() - bits_before
        rows, columns = self._side.rows[layer], self._side.columns[layer]
        decoder.spend(_WORK_OF_TERM + (rows + columns) // _SIGNS_PER_WORK)
        if decoder.exhausted() or code <= 0 or code >> _CODE_BITS > 0:
            return
        self.row_signs, self.column_signs = np.zeros(rows, np.int8), np.zeros(columns, np.int8)
        row_signs, column_signs = self.row_signs, self.column_signs
        of_rows, of_columns = Density(), Density()
        for i in range(rows):
            row_signs[_row(self._side, layer, i)] = of_rows.decode(decoder)
            if decoder.exhausted():
                return
        for i in range(columns):
            column_signs[_column(self._side, layer, i)] = of_columns.decode(decoder)
            if decoder.exhausted():
                return
        chosen_rows, chosen_columns = _count_signs(row_signs), _count_signs(column_signs)
        decoder.spend(_work_of_sum(chosen_rows, chosen_columns, columns))
        self.sign_bits = chosen_rows + chosen_columns
        self.code = code

    def add_to(self, sums: Floats, value: float) -> None:
        """Add the last term, with this magnitude, to a whole vector; float64, shape (n,)."""
        columns = self._side.columns[self.layer]
        row_signs, column_signs = self.row_signs, self.column_signs
        chosen = np.flatnonzero(column_signs)
        scattered = _CELLS_PER_PRODUCT * len(chosen) < columns
        for i in range(len(row_signs)):
            if row_signs[i] != 0:
                at = self._side.start[self.layer] + i * columns
                signed = value if row_signs[i] > 0 else -value
                if scattered:
                    for j in range(len(chosen)):
                        sums[at + chosen[j]] += signed * column_signs[chosen[j]]
                else:
                    for j in range(columns):
                        sums[at + j] += signed * column_signs[j]


def _row(side: SideInformation, layer: int, rank: int) -> int:
    """The row that is coded at this place: those with large weights first."""
    first = side.first_row[layer]
    return int(side.row_order[first + rank]) if first >= 0 else rank


def _column(side: SideInformation, layer: int, rank: int) -> int:
    """The column that is coded at this place."""
    first = side.first_column[layer]
    return int(side.column_order[first + rank]) if first >= 0 else rank


def _work_of_sum(rows: int, chosen: int, columns: int) -> int:
    """Work units of adding a term with so many rows and columns that are not zero; columns: of the layer."""
    return rows * min(columns, _CELLS_PER_PRODUCT * chosen) // _CELLS_PER_WORK


def _count_signs(signs: Trits) -> int:
    """How many signs are not zero."""
    count = 0
    for i in range(len(signs)):
        count += signs[i] != 0
    return count
