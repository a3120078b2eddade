"""Places of changed values and what changed there ↔ a range coder: the loops of a merged change.

Knows integers and the range coder. Does not know models.
"""

from __future__ import annotations

from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Integers

# Part of the format.
_GAP_CONTEXTS = 34  # mean bit length of the two gaps before, rounded down
_GAP_DEPTH, _STEP_DEPTH, _CORRECTION_DEPTH = 3, 10, 3


class ChangedValues:
    """The adaptive models of gaps between places, of steps, and of corrections; one object codes one message.

    Gaps are modelled given the two gaps before, because changes come in rows; a correction given whether the change
    before had one. Encoder and decoder mirror each other.
    """

    def __init__(self) -> None:
        self._gaps = [AdaptiveInteger(_GAP_DEPTH) for _ in range(_GAP_CONTEXTS)]
        self._steps = AdaptiveInteger(_STEP_DEPTH)
        self._corrections = [AdaptiveInteger(_CORRECTION_DEPTH), AdaptiveInteger(_CORRECTION_DEPTH)]

    def encode(self, encoder: RangeEncoder, gaps: Integers, steps: Integers, corrections: Integers) -> None:
        """Encode the changes of a vector.

        Args:
            encoder: of the message.
            gaps: the number of unchanged values before each change; int64, shape (k,).
            steps: of each change, zigzag, 0 to 2**33 − 1; the same.
            corrections: the same.
        """
        context, before, corrected = 0, 0, 0
        for place in range(len(gaps)):
            self._gap_model(context).encode(encoder, gaps[place])
            length = _bit_length(gaps[place])
            context, before = (length + before) >> 1, length
            self._steps.encode(encoder, steps[place])
            self._correction_model(corrected).encode(encoder, corrections[place])
            corrected = 1 if corrections[place] > 0 else 0

    def decode(
        self, decoder: RangeDecoder, size: int, places: Integers, steps: Integers, corrections: Integers
    ) -> bool:
        """Decode the changes of a vector.

        Args:
            decoder: of the message.
            size: values of the vector.
            places: receives the place of each change, ascending; int64, shape (k,).
            steps: receives zigzag steps; the same.
            corrections: receives zigzag corrections; the same.

        Returns:
            Whether there are k changes; False if the message ends before, or a place lies outside of the vector.
        """
        context, before, corrected, end = 0, 0, 0, 0
        for place in range(len(places)):
            gap = self._gap_model(context).decode(decoder)
            if gap >= size - end:
                return False
            length = _bit_length(gap)
            context, before = (length + before) >> 1, length
            places[place] = end + gap
            end += gap + 1
            steps[place] = self._steps.decode(decoder)
            corrections[place] = self._correction_model(corrected).decode(decoder)
            if decoder.exhausted():
                return False
            corrected = 1 if corrections[place] > 0 else 0
        return True

    def _gap_model(self, context: int) -> AdaptiveInteger:
        return self._gaps[context]

    def _correction_model(self, corrected: int) -> AdaptiveInteger:
        return self._corrections[corrected]


def _bit_length(value: int) -> int:
    length = 0
    while value >> length > 0:
        length += 1
    return length
