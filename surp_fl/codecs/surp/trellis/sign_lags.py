"""Lags ↔ a range coder: how many columns back the signs of a row speak for, or against, the same sign.

A layer has none, those of the last layer that had some, or its own, ascending. Encoder and decoder mirror each other.
Knows the range coder. Does not know signs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import decode_bits, encode_bits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Integers

_NUMBER_BITS, _LAG_BITS, _SIZE_BITS = 3, 8, 5  # of how many lags there are; of a lag; of a weight without its sign
MOST_LAGS, FARTHEST, MOST_WEIGHT = 1 << _NUMBER_BITS, 1 << _LAG_BITS, 1 << _SIZE_BITS
_STEP, _BEGIN, _MOST_COUNTS = 16, 16, 1 << 12  # of flags, those of "Flag" in FORMAT.md


class SignLags(NamedTuple):
    """Lags of a layer.

    Attributes:
        lags: columns back, ascending, 1 to FARTHEST; int64, shape (k,), at most MOST_LAGS.
        weights: how much a sign speaks for the same one, in eighths of an octave of its odds; from −MOST_WEIGHT to
            MOST_WEIGHT, not 0; int64, shape (k,).
    """

    lags: Integers
    weights: Integers

    def same(self, other: SignLags) -> bool:
        """Whether both are the same lags and weights."""
        return np.array_equal(self.lags, other.lags) and np.array_equal(self.weights, other.weights)


NO_LAGS = SignLags(np.zeros(0, np.int64), np.zeros(0, np.int64))


def may_have_lags(rows: int, columns: int) -> bool:
    """Whether a layer of this shape tells its lags, or that it has none."""
    return rows > 1 and columns > 1


class LagModels:
    """What both ends know of the lags of layers so far.

    Attributes:
        before: those of the last layer that had some.
    """

    def __init__(self) -> None:
        self._any, self._same = _Flag(), _Flag()
        self.before = NO_LAGS

    def encode(self, encoder: RangeEncoder, found: SignLags) -> None:
        """Encode a layer's lags."""
        self._any.encode(encoder, found.lags.size > 0)
        if not found.lags.size:
            return
        if self.before.lags.size:
            same = found.same(self.before)
            self._same.encode(encoder, same)
            if same:
                return
        encode_bits(encoder, found.lags.size - 1, _NUMBER_BITS)
        for lag, weight in zip(found.lags.tolist(), found.weights.tolist(), strict=True):
            encode_bits(encoder, lag - 1, _LAG_BITS)
            encode_bits(encoder, 2 * (abs(weight) - 1) + (weight < 0), _SIZE_BITS + 1)
        self.before = found

    def decode(self, decoder: RangeDecoder) -> SignLags:
        """Decode a layer's lags; not to be used if the decoder is exhausted after it.

        Raises:
            MalformedBits: no encoder writes them.
        """
        if not self._any.decode(decoder):
            return NO_LAGS
        if self.before.lags.size and self._same.decode(decoder):
            return self.before
        number = decode_bits(decoder, _NUMBER_BITS) + 1
        lags, weights = np.zeros(number, np.int64), np.zeros(number, np.int64)
        for place in range(number):
            lags[place] = decode_bits(decoder, _LAG_BITS) + 1
            code = decode_bits(decoder, _SIZE_BITS + 1)
            weights[place] = -(code >> 1) - 1 if code & 1 else (code >> 1) + 1
        if decoder.exhausted():
            return NO_LAGS
        if (np.diff(lags) <= 0).any():
            raise MalformedBits("lags that do not ascend")
        self.before = SignLags(lags, weights)
        return self.before


class _Flag:
    """A flag that comes once for a layer, by how often it was 0 and 1."""

    def __init__(self) -> None:
        self._counts = [_BEGIN, _BEGIN]

    def encode(self, encoder: RangeEncoder, flag: bool) -> None:
        zeros, ones = self._counts
        encoder.encode(zeros if flag else 0, ones if flag else zeros, zeros + ones)
        self._learn(flag)

    def decode(self, decoder: RangeDecoder) -> bool:
        zeros, ones = self._counts
        flag = bool(decoder.decode_flag(zeros, zeros + ones))
        self._learn(flag)
        return flag

    def _learn(self, flag: bool) -> None:
        self._counts[1 if flag else 0] += _STEP
        if sum(self._counts) > _MOST_COUNTS:
            self._counts = [count - (count >> 1) for count in self._counts]
