"""Integers of unknown distribution as symbols of a range coder: an adaptive model that learns it from what was coded.

An integer is its bit length, a symbol of adaptive frequency, and the bits below its leading one, each with a
probability that adapts to the bits before it; far down they count as equally likely. Values that come again and again
thus become cheap, whatever they are. Encoder and decoder mirror each other. Knows the range coder. Does not know what
the integers mean.

Source: the Krichevsky–Trofimov estimator (1981) for the bits; lengths apart as in Elias' gamma code (1975).
"""

from __future__ import annotations

import numpy as np

from surp_fl.entropy.integers import decode_bits, encode_bits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder

_LENGTHS = 34  # bit lengths 0 to 33
_STEP = 24  # by which the frequency of a length grows
_MOST = 1 << 16  # sum of frequencies, or of a bit's counts, at which they are halved


class AdaptiveInteger:
    """The model of integers from 0 to 2**33 − 1.

    Args:
        depth: bits below the leading one that have probabilities of their own; 0 to 12.

    >>> encoder, model = RangeEncoder(16), AdaptiveInteger(4)
    >>> for value in (5, 5, 5, 70_000):
    ...     model.encode(encoder, value)
    >>> decoder, model = RangeDecoder(encoder.finish()), AdaptiveInteger(4)
    >>> [int(model.decode(decoder)) for _ in range(4)]
    [5, 5, 5, 70000]
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._frequencies = np.ones(_LENGTHS, np.int64)
        self._total = _LENGTHS
        self._counts = np.zeros((_LENGTHS << depth, 2), np.int64)  # of 0 and 1, by length and the bits before

    def encode(self, encoder: RangeEncoder, value: int) -> None:
        """Encode an integer.

        Args:
            encoder: of the message.
            value: 0 to 2**33 − 1.
        """
        length, below = 0, 0
        while value >> length > 0:
            length += 1
        for each in range(length):
            below += self._frequencies[each]
        encoder.encode(below, self._frequencies[length], self._total)
        self._learn(length)
        node, left = 1, length - 1
        while left > 0 and node >> self._depth == 0:
            left -= 1
            bit = (value >> left) & 1
            place = (length << self._depth) + node
            zeros, ones = 2 * self._counts[place, 0] + 1, 2 * self._counts[place, 1] + 1
            if bit:
                encoder.encode(zeros, ones, zeros + ones)
            else:
                encoder.encode(0, zeros, zeros + ones)
            self._learn_bit(place, bit)
            node = 2 * node + bit
        while left > 0:
            width = min(left, 16)
            left -= width
            encode_bits(encoder, (value >> left) & ((1 << width) - 1), width)

    def decode(self, decoder: RangeDecoder) -> int:
        """Decode an integer; not to be used if the decoder is exhausted after it."""
        target = decoder.decode_target(self._total)
        length, below = 0, 0
        while below + self._frequencies[length] <= target:
            below += self._frequencies[length]
            length += 1
        decoder.decode_update(below, self._frequencies[length], self._total)
        self._learn(length)
        if length == 0:
            return 0
        value, node, left = 1, 1, length - 1
        while left > 0 and node >> self._depth == 0:
            left -= 1
            place = (length << self._depth) + node
            zeros, ones = 2 * self._counts[place, 0] + 1, 2 * self._counts[place, 1] + 1
            bit = decoder.decode_flag(zeros, zeros + ones)
            self._learn_bit(place, bit)
            node = 2 * node + bit
            value = 2 * value + bit
        while left > 0:
            width = min(left, 16)
            left -= width
            value = value << width | decode_bits(decoder, width)
        return value

    def _learn(self, length: int) -> None:
        self._frequencies[length] += _STEP
        self._total += _STEP
        if self._total > _MOST:
            self._total = 0
            for each in range(_LENGTHS):
                self._frequencies[each] = (self._frequencies[each] + 1) >> 1
                self._total += self._frequencies[each]

    def _learn_bit(self, place: int, bit: int) -> None:
        self._counts[place, bit] += 1
        if self._counts[place, 0] + self._counts[place, 1] > _MOST:
            self._counts[place, 0] >>= 1
            self._counts[place, 1] >>= 1
