"""Levels of quantised values, positive and negative ↔ a range coder, with adaptive models of what comes how often.

Levels that are not zero are coded one by one: the number of zeros before it, its magnitude, its sign; so decoding takes
time for each bit and not for each zero. Knows integers and the range coder. Does not know what a level stands for.
"""

from __future__ import annotations

from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.integers import decode_bits, encode_bits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Levels

# Part of the format.
_GAP_CONTEXTS = 34  # mean bit length of the two gaps before, rounded down
_MAGNITUDE_CONTEXTS = 17  # the same of the two magnitudes before
_GAP_DEPTH, _MAGNITUDE_DEPTH = 3, 2  # of 2 to 6 each, tried on levels of recorded updates: at most 2 % apart


class SignedLevels:
    """The adaptive models of gaps and magnitudes; one object codes one message. Encoder and decoder mirror each other.

    Args:
        max_level: the largest magnitude, 1 to 32,767; of 1, no magnitudes are coded.
    """

    def __init__(self, max_level: int) -> None:
        self._max_level = max_level
        self._gaps = [AdaptiveInteger(_GAP_DEPTH) for _ in range(_GAP_CONTEXTS)]
        self._magnitudes = [AdaptiveInteger(_MAGNITUDE_DEPTH) for _ in range(_MAGNITUDE_CONTEXTS)]

    def encode(self, encoder: RangeEncoder, levels: Levels) -> None:
        """Encode all levels of a vector.

        Args:
            encoder: of the message.
            levels: int16, shape (n,); none beyond the largest magnitude.
        """
        gap, gap_before, gap_context, before, context = 0, 0, 0, 0, 0
        for place in range(len(levels)):
            level = int(levels[place])
            if level == 0:
                gap += 1
                continue
            self._gap_model(gap_context).encode(encoder, gap)
            length = _bit_length(gap)
            gap_context, gap_before = (length + gap_before) >> 1, length
            gap = 0
            magnitude = -level if level < 0 else level
            if self._max_level > 1:
                self._magnitude_model(context).encode(encoder, magnitude - 1)
                length = _bit_length(magnitude)
                context, before = (length + before) >> 1, length
            encode_bits(encoder, 1 if level < 0 else 0, 1)
        if gap > 0:
            self._gap_model(gap_context).encode(encoder, gap)

    def decode(self, decoder: RangeDecoder, levels: Levels) -> bool:
        """Decode all levels of a vector.

        Args:
            decoder: of the message.
            levels: receives them; zeros, int16, shape (n,).

        Returns:
            Whether there are n; False if the message ends before, or a level is not one.
        """
        gap_before, gap_context, before, context = 0, 0, 0, 0
        size = len(levels)
        place = 0
        while place < size:
            gap = self._gap_model(gap_context).decode(decoder)
            if gap > size - place or decoder.exhausted():
                return False
            place += gap
            if place == size:
                return True
            length = _bit_length(gap)
            gap_context, gap_before = (length + gap_before) >> 1, length
            magnitude = 1
            if self._max_level > 1:
                magnitude = 1 + self._magnitude_model(context).decode(decoder)
                if magnitude > self._max_level:
                    return False
                length = _bit_length(magnitude)
                context, before = (length + before) >> 1, length
            negative = decode_bits(decoder, 1)
            if decoder.exhausted():
                return False
            levels[place] = -magnitude if negative == 1 else magnitude
            place += 1
        return True

    def _gap_model(self, context: int) -> AdaptiveInteger:
        return self._gaps[context]

    def _magnitude_model(self, context: int) -> AdaptiveInteger:
        return self._magnitudes[context]


def _bit_length(value: int) -> int:
    length = 0
    while value >> length > 0:
        length += 1
    return length
