"""Levels of a layer ↔ a range coder: adaptive probabilities, in the contexts of `magnitude_context.py`.

A level is its bit length, a flag for each bit ("is it longer?"), then the bits below its leading one: the first of them
by context, the second by length, the rest as they are. Its sign has the odds of its row times those of its column. A
row begins with whether it has a level but 0, unless it is the only one. What was learnt of levels and rows holds for
all layers; signs begin anew in each. Encoder and decoder mirror each other. Knows contexts, states and the range coder.
Does not know steps.

Source: for the adaptive flags, the Krichevsky–Trofimov estimator (1981), with counts that are halved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.trellis.magnitude_context import CONTEXTS, MagnitudeContext, mean_of
from surp_fl.codecs.surp.trellis.transitions import after_zeros, next_state
from surp_fl.entropy.integers import decode_bits, encode_bits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Floats, Integers, Vector

LENGTHS = 24  # bits of the longest level
_CONTEXTS, _LENGTHS = CONTEXTS, LENGTHS
_STEP, _MOST_COUNTS = 16, 1 << 12  # what a flag adds to its count; the most of both counts together
_LENGTHS_BEGIN, _BITS_BEGIN = 48, 16  # both counts together, of lengths; each count, of bits and rows
_SIGN_STEP, _SIGNS_BEGIN, _MOST_SIGNS = 1, 12, 1 << 14  # what a sign adds; each count at first; the most of both
_RAW_BITS = 16  # at most, in one symbol
_MEAN_ONE = 32  # the context of an expected level of 1
# see "Credit" in FORMAT.md: each row of several; each coordinate of others, a run at a time; each level but 0
_WORK_OF_ROW, _WORK_OF_CELL, _WORK_OF_LEVEL, _RUN = 2, 2, 20, 4096


def _first_counts() -> Integers:
    """Counts of "not longer" and "longer" by context and length: those of a geometric distribution."""
    found = np.empty((CONTEXTS, LENGTHS, 2), np.int64)
    for context in range(CONTEXTS):
        mean = mean_of(context + 64 - _MEAN_ONE)
        longer = (mean << 16) // (mean + 4096)
        for length in range(LENGTHS):
            ones = max(1, _LENGTHS_BEGIN * longer >> 16)
            found[context, length] = max(1, _LENGTHS_BEGIN - ones), ones
            if length > 0:  # 1 and 2, of what is less, are a factor each; from 2^l to 2^(l + 1) there are 2^l of them
                longer = longer * longer >> 16
    return found


_FIRST_COUNTS = _first_counts()


class LevelModels:
    """What both ends have learnt of levels so far; shared by all layers of a message.

    Attributes:
        state: of the trellis, after the coordinates so far.
    """

    def __init__(self) -> None:
        self._lengths = np.concatenate([_FIRST_COUNTS, _FIRST_COUNTS]).reshape(-1)
        self._first_bits = np.full(_CONTEXTS * _LENGTHS * 2, _BITS_BEGIN, np.int64)
        self._second_bits = np.full(_LENGTHS * 4, _BITS_BEGIN, np.int64)
        self._rows, self._row = np.full(4, _BITS_BEGIN, np.int64), 0
        self.state = 0
        self.sign_bits = 0.0

    def encode(self, encoder: RangeEncoder, level: int, context: int) -> None:
        """Encode a level, 0 to 2^LENGTHS − 1, without its sign; and go to the next state."""
        at = ((self.state & 1) * _CONTEXTS + context) * _LENGTHS
        length = 0
        while length < _LENGTHS:
            longer = level >> length > 0
            self._encode_flag(encoder, self._lengths, at + length, longer)
            if not longer:
                break
            length += 1
        if length > 1:
            first = (level >> (length - 2)) & 1
            self._encode_flag(encoder, self._first_bits, context * _LENGTHS + length - 1, first)
            if length > 2:
                second = (level >> (length - 3)) & 1
                self._encode_flag(encoder, self._second_bits, 2 * (length - 1) + first, second)
                left = length - 3
                if left > _RAW_BITS:
                    left -= _RAW_BITS
                    encode_bits(encoder, (level >> left) & ((1 << _RAW_BITS) - 1), _RAW_BITS)
                encode_bits(encoder, level & ((1 << left) - 1), left)
        self.state = next_state(self.state, level & 1)

    def decode(self, decoder: RangeDecoder, context: int) -> int:
        """Decode a level, and go to the next state; not to be used if the decoder is exhausted after it."""
        at = ((self.state & 1) * _CONTEXTS + context) * _LENGTHS
        length = 0
        while length < _LENGTHS and self._decode_flag(decoder, self._lengths, at + length):
            length += 1
        level = 1 if length > 0 else 0
        if length > 1:
            first = self._decode_flag(decoder, self._first_bits, context * _LENGTHS + length - 1)
            level = 2 + first
            if length > 2:
                level = 2 * level + self._decode_flag(decoder, self._second_bits, 2 * (length - 1) + first)
                left = length - 3
                if left > _RAW_BITS:
                    left -= _RAW_BITS
                    level = (level << _RAW_BITS) + decode_bits(decoder, _RAW_BITS)
                level = (level << left) + decode_bits(decoder, left)
        self.state = next_state(self.state, level & 1)
        return level

    def encode_row(self, encoder: RangeEncoder, columns: int, other: bool) -> None:
        """Encode whether a row has a level other than 0; if it has none, go to the state after it."""
        encoder.spend(_WORK_OF_ROW)
        self._encode_flag(encoder, self._rows, self._row, other)
        self._row = 1 if other else 0
        if not other:
            self.state = after_zeros(self.state, columns)

    def decode_row(self, decoder: RangeDecoder, columns: int) -> int:
        """Decode that; not to be used if the decoder is exhausted after it."""
        decoder.spend(_WORK_OF_ROW)
        self._row = self._decode_flag(decoder, self._rows, self._row)
        if not self._row:
            self.state = after_zeros(self.state, columns)
        return self._row

    def _encode_flag(self, encoder: RangeEncoder, counts: Integers, place: int, flag: int) -> None:
        zeros, ones = counts[2 * place], counts[2 * place + 1]
        if flag:
            encoder.encode(zeros, ones, zeros + ones)
        else:
            encoder.encode(0, zeros, zeros + ones)
        self._learn(counts, 2 * place, flag)

    def _decode_flag(self, decoder: RangeDecoder, counts: Integers, place: int) -> int:
        zeros, ones = counts[2 * place], counts[2 * place + 1]
        flag = 1 if decoder.decode_target(zeros + ones) >= zeros else 0
        if flag:
            decoder.decode_update(zeros, ones, zeros + ones)
        else:
            decoder.decode_update(0, zeros, zeros + ones)
        self._learn(counts, 2 * place, flag)
        return flag

    def _learn(self, counts: Integers, at: int, flag: int) -> None:
        counts[at + (1 if flag else 0)] += _STEP
        if counts[at] + counts[at + 1] > _MOST_COUNTS:
            counts[at] -= counts[at] >> 1
            counts[at + 1] -= counts[at + 1] >> 1


class SignOdds:
    """The odds of a layer's signs: what was counted in the row, times what was counted in the column.

    Args:
        rows: of the layer.
        columns: of the layer.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._last = columns if rows > 1 else 0  # of one row, columns tell nothing
        self._columns = np.full(2 * self._last + 2, _SIGNS_BEGIN, np.int32)
        self._row = np.full(2, _SIGNS_BEGIN, np.int32)

    def begin_row(self) -> None:
        """Go to the next row."""
        self._row[0] = self._row[1] = _SIGNS_BEGIN

    def encode(self, encoder: RangeEncoder, column: int, negative: int) -> None:
        """Encode the sign of a level that is not 0."""
        column = min(column, self._last)
        plus, minus = self._row[0] * self._columns[2 * column], self._row[1] * self._columns[2 * column + 1]
        if negative:
            encoder.encode(plus, minus, plus + minus)
        else:
            encoder.encode(0, plus, plus + minus)
        self._learn(column, negative)

    def decode(self, decoder: RangeDecoder, column: int) -> int:
        """Decode a sign, 1 for negative; not to be used if the decoder is exhausted after it."""
        column = min(column, self._last)
        plus, minus = self._row[0] * self._columns[2 * column], self._row[1] * self._columns[2 * column + 1]
        negative = 1 if decoder.decode_target(plus + minus) >= plus else 0
        if negative:
            decoder.decode_update(plus, minus, plus + minus)
        else:
            decoder.decode_update(0, plus, plus + minus)
        self._learn(column, negative)
        return negative

    def _learn(self, column: int, negative: int) -> None:
        self._count(self._row, 0, negative)
        if self._last > 0:
            self._count(self._columns, 2 * column, negative)

    def _count(self, counts: NDArray[np.int32], at: int, negative: int) -> None:
        counts[at + (1 if negative else 0)] += _SIGN_STEP
        if counts[at] + counts[at + 1] > _MOST_SIGNS:
            counts[at] -= counts[at] >> 1
            counts[at + 1] -= counts[at + 1] >> 1


def encode_layer(
    encoder: RangeEncoder, models: LevelModels, levels: NDArray[np.int32], values: Vector, columns: int, mean_code: int
) -> None:
    """Encode the levels of a layer, not all of which are 0.

    Args:
        encoder: of the message.
        models: after the layers before; updated.
        levels: from 0 on, row by row; int32, shape (n,).
        values: whose signs they have; float32, shape (n,).
        columns: n is a multiple of it.
        mean_code: of the layer's mean level, which the decoder knows.
    """
    rows = len(levels) // columns
    contexts, signs = MagnitudeContext(rows, columns, mean_code), SignOdds(rows, columns)
    for start in range(0, len(levels), columns):
        contexts.begin_row()
        if rows > 1:
            other = False
            for i in range(start, start + columns):
                if levels[i] != 0:
                    other = True
                    break
            models.encode_row(encoder, columns, other)
            if not other:
                continue
        signs.begin_row()
        for column in range(columns):
            if column % _RUN == 0:
                encoder.spend(_WORK_OF_CELL * min(_RUN, columns - column))
            level = int(levels[start + column])
            models.encode(encoder, level, contexts.context(column))
            if level > 0:
                encoder.spend(_WORK_OF_LEVEL)
                signs.encode(encoder, column, values[start + column] < 0)
            contexts.add(column, level)


def decode_layer(
    decoder: RangeDecoder, models: LevelModels, values: Vector, columns: int, mean_code: int, magnitudes: Floats,
    unit: float, most: float, measured: bool,
) -> int:  # fmt: skip
    """Decode a layer.

    Args:
        decoder: of the message.
        models: after the layers before; updated.
        values: filled in, from its beginning on; float32, shape (n,), of zeros.
        columns: n is a multiple of it.
        mean_code: as the encoder was given.
        magnitudes: of level 1 in both quantisers, in units; float64, shape (2,).
        unit: of magnitudes; a step has 16.
        most: the largest magnitude.
        measured: whether to add up the bits of signs.

    Returns:
        How many coordinates were decoded before the decoder was exhausted.
    """
    rows = len(values) // columns
    contexts, signs = MagnitudeContext(rows, columns, mean_code), SignOdds(rows, columns)
    for start in range(0, len(values), columns):
        contexts.begin_row()
        if rows > 1:
            other = models.decode_row(decoder, columns)
            if decoder.exhausted():
                return start
            if not other:
                continue
        signs.begin_row()
        for column in range(columns):
            if column % _RUN == 0:
                decoder.spend(_WORK_OF_CELL * min(_RUN, columns - column))
            quantiser = models.state & 1
            level = models.decode(decoder, contexts.context(column))
            if decoder.exhausted():
                return start + column
            if level > 0:
                decoder.spend(_WORK_OF_LEVEL)
                bits_before = decoder.bits_read() if measured else 0.0
                negative = signs.decode(decoder, column)
                if decoder.exhausted():
                    return start + column
                if measured:
                    models.sign_bits += decoder.bits_read() - bits_before
                magnitude = magnitudes[quantiser] if level == 1 else 16.0 * (2 * level - quantiser)
                magnitude = min(magnitude * unit, most)
                values[start + column] = -magnitude if negative else magnitude
            contexts.add(column, level)
    return len(values)
