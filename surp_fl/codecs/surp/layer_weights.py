"""Weights of a layer's rows and columns: the largest |w| of the row or column, raised to one of four exponents.

The encoder chooses the exponents of a layer once a message, and sends them if there are enough picks to pay for it.
Knows log2 weights. Does not know where they come from, or which cells are coded.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Integers

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
_EXPONENTS = 4  # 0 to 3
DEFAULT_EXPONENT = 2
MIN_PICKS = 8  # in a layer, for which sending its exponents saves more bits than it costs
_EXPONENT_CUM_FREQ = np.array([0, 2, 5, 11, 16], np.int64)  # probabilities 2, 3, 6 and 5 sixteenths
_WEIGHT_BITS = 14  # the largest weight is 2^14
STEPS_PER_OCTAVE = 256  # of a log2 weight
_EXP2 = np.array([round(2 ** (_WEIGHT_BITS - f / STEPS_PER_OCTAVE)) for f in range(STEPS_PER_OCTAVE)], np.int64)
_FRACTIONS = np.array([2.0 ** (-f / STEPS_PER_OCTAVE) for f in range(STEPS_PER_OCTAVE)])
_OCTAVES = np.array([2.0**-octaves for octaves in range(64)])  # of a weight, with the largest exponent: 60 at most
_NOTHING = np.empty(0, np.int64)
_OCTAVES_PER_STEP = 1.0 / STEPS_PER_OCTAVE
# as C numbers
_STEPS, _DEFAULT, _MIN_PICKS, _INFINITY = STEPS_PER_OCTAVE, DEFAULT_EXPONENT, MIN_PICKS, float("inf")


class WeightTable:
    """The weights of a layer's rows (or columns) by rank, under each exponent; computed once, where they are asked for.

    Args:
        log2_weights: log2 of each row's largest |w| over that of the layer's largest, by rank, in 1/256 octaves; int64,
            shape (rows,); empty for a layer without tables.
    """

    def __init__(self, log2_weights: Integers) -> None:
        self._log2_weights = log2_weights
        self._totals = np.full(_EXPONENTS, -1.0)
        self._sums = [_NOTHING if len(log2_weights) == 0 else None] * _EXPONENTS

    def size(self) -> int:
        """Number of rows."""
        return len(self._log2_weights)

    def log2_weight(self, rank: int) -> int:
        """Log2 weight of a row, in 1/256 octaves."""
        return int(self._log2_weights[rank])

    def cumulative(self, exponent: int) -> Integers:
        """Cumulative weights 2^(exponent·log2_weight/256), the largest weight being 2^14 and the smallest 1.

        Returns:
            int64, shape (rows + 1,); empty for a layer without tables.
        """
        found = self._sums[exponent]
        if found is None:
            found = self._sums[exponent] = _cumulative(self._log2_weights, exponent)
        return found

    def total(self, exponent: int) -> float:
        """The sum of 2^(exponent·log2_weight/256), a float, without lower bound."""
        if self._totals[exponent] < 0.0:
            total = 0.0
            for i in range(len(self._log2_weights)):
                below = -exponent * self._log2_weights[i]
                total += _FRACTIONS[below & (_STEPS - 1)] * _OCTAVES[below // _STEPS]
            self._totals[exponent] = total
        return float(self._totals[exponent])

    def best_exponent(self, ranks: Integers) -> int:
        """The exponent with which picks in the layer's rows are coded in the fewest bits.

        Args:
            ranks: of the row of each pick; int64, shape (k,).

        Returns:
            0 to 3; the default one if there are fewer than MIN_PICKS picks.
        """
        best = _DEFAULT
        if len(ranks) < _MIN_PICKS:
            return best
        steps = 0
        for i in range(len(ranks)):
            steps += self._log2_weights[ranks[i]]
        fewest_bits = _INFINITY
        for exponent in range(_EXPONENTS):
            bits = len(ranks) * math.log2(self.total(exponent)) - exponent * steps * _OCTAVES_PER_STEP
            bits -= math.log2(_EXPONENT_CUM_FREQ[exponent + 1] - _EXPONENT_CUM_FREQ[exponent])
            if bits < fewest_bits:
                best, fewest_bits = exponent, bits
        return best


def _cumulative(log2_weights: Integers, exponent: int) -> Integers:
    found = np.empty(len(log2_weights) + 1, np.int64)
    sums = found
    sums[0] = 0
    for i in range(len(log2_weights)):
        below = -exponent * log2_weights[i]
        sums[i + 1] = sums[i] + max(1, _EXP2[below & (_STEPS - 1)] >> min(below // _STEPS, 62))
    return found


def encode_exponent(encoder: RangeEncoder, exponent: int) -> None:
    """Encode an exponent, 0 to 3."""
    cum_freq = _EXPONENT_CUM_FREQ[exponent]
    encoder.encode(cum_freq, _EXPONENT_CUM_FREQ[exponent + 1] - cum_freq, 16)


def decode_exponent(decoder: RangeDecoder) -> int:
    """Decode an exponent."""
    target = decoder.decode_target(16)
    exponent = 0
    while _EXPONENT_CUM_FREQ[exponent + 1] <= target:
        exponent += 1
    cum_freq = _EXPONENT_CUM_FREQ[exponent]
    decoder.decode_update(cum_freq, _EXPONENT_CUM_FREQ[exponent + 1] - cum_freq, 16)
    return exponent
