"""Weights of a layer's rows and columns: the largest |w| of the row or column, raised to one of four exponents.

The encoder chooses the exponents of a layer once a message, and sends them if there are enough picks to pay for it.
Knows log2 weights. Does not know where they come from, or which cells are coded.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp.layers import STEPS_PER_OCTAVE
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Integers

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
_EXPONENTS = 4  # 0 to 3
DEFAULT_EXPONENT = 2
MIN_PICKS = 8  # in a layer, for which sending its exponents saves more bits than it costs
_EXPONENT_CUM_FREQ = np.array([0, 2, 5, 11, 16], np.int64)  # probabilities 2, 3, 6 and 5 sixteenths
_WEIGHT_BITS = 14  # the largest weight is 2^14
_EXP2 = np.array([round(2 ** (_WEIGHT_BITS - f / STEPS_PER_OCTAVE)) for f in range(STEPS_PER_OCTAVE)], np.int64)
_OCTAVES_PER_STEP = 1.0 / STEPS_PER_OCTAVE
# as C numbers
_STEPS, _DEFAULT, _MIN_PICKS, _INFINITY = STEPS_PER_OCTAVE, DEFAULT_EXPONENT, MIN_PICKS, float("inf")


def cumulative_weights(log2_weights: Integers, exponent: int) -> Integers:
    """Cumulative weights 2^(exponent·log2_weight/256), the largest weight being 2^14 and the smallest 1.

    Args:
        log2_weights: of rows or columns; shape (rows,).
        exponent: 0 to 3.

    Returns:
        int64, shape (rows + 1,); empty for a layer without tables.
    """
    if len(log2_weights) == 0:
        return log2_weights
    found = np.empty(len(log2_weights) + 1, np.int64)
    sums = found
    sums[0] = 0
    for i in range(len(log2_weights)):
        below = -exponent * log2_weights[i]
        sums[i + 1] = sums[i] + max(1, _EXP2[below & (_STEPS - 1)] >> min(below // _STEPS, 62))
    return found


def total_weight(log2_weights: Integers, exponent: int) -> float:
    """The sum of 2^(exponent·log2_weight/256)."""
    total = 0.0
    for i in range(len(log2_weights)):
        total += math.pow(2.0, exponent * log2_weights[i] * _OCTAVES_PER_STEP)
    return total


def best_exponent(log2_weights: Integers, ranks: Integers) -> int:
    """The exponent with which picks in a layer's rows (or columns) are coded in the fewest bits.

    Args:
        log2_weights: of the rows by rank, in 1/256 octaves; shape (rows,).
        ranks: of the row of each pick; shape (k,).

    Returns:
        0 to 3; the default one if there are fewer than MIN_PICKS picks.
    """
    best = _DEFAULT
    if len(ranks) < _MIN_PICKS:
        return best
    fewest_bits = _INFINITY
    for exponent in range(_EXPONENTS):
        bits = len(ranks) * math.log2(total_weight(log2_weights, exponent))
        for i in range(len(ranks)):
            bits -= exponent * log2_weights[ranks[i]] * _OCTAVES_PER_STEP
        bits -= math.log2(_EXPONENT_CUM_FREQ[exponent + 1] - _EXPONENT_CUM_FREQ[exponent])
        if bits < fewest_bits:
            best, fewest_bits = exponent, bits
    return best


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
