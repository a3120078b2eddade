"""Levels ↔ a range coder: adaptive probabilities, in the contexts of `magnitude_context.py`.

A level is its bit length, a flag for each bit ("is it longer?"), then the bits below its leading one: the first of them
by context, the second by length, the rest as they are. A row begins with whether it has a level but 0. What was learnt
holds for all layers. Encoder and decoder mirror each other. Knows contexts, states and the range coder. Does not know
layers.

Source: for the adaptive flags, the Krichevsky–Trofimov estimator (1981), with counts that are halved.
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.surp.trellis.magnitude_context import CONTEXTS, mean_of
from surp_fl.codecs.surp.trellis.transitions import after_zeros, next_state
from surp_fl.entropy.integers import decode_bits, encode_bits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Integers

LENGTHS = 24  # bits of the longest level
_CONTEXTS, _LENGTHS = CONTEXTS, LENGTHS
_STEP, _MOST_COUNTS = 16, 1 << 12  # what a flag adds to its count; the most of both counts together
_LENGTHS_BEGIN, _BITS_BEGIN = 48, 16  # both counts together, of lengths; each count, of bits and rows
_RAW_BITS = 16  # at most, in one symbol
_MEAN_ONE = 32  # the context of an expected level of 1
_WORK_OF_ROW = 2  # see "Credit" in FORMAT.md


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
        sign_bits: bits of their signs, where a reader adds them up.
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
        flag = decoder.decode_flag(counts[2 * place], counts[2 * place] + counts[2 * place + 1])
        self._learn(counts, 2 * place, flag)
        return flag

    def _learn(self, counts: Integers, at: int, flag: int) -> None:
        counts[at + (1 if flag else 0)] += _STEP
        if counts[at] + counts[at + 1] > _MOST_COUNTS:
            counts[at] -= counts[at] >> 1
            counts[at + 1] -= counts[at + 1] >> 1
