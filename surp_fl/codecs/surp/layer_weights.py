"""Weights of a layer's rows and columns: the largest |w| of the row or column, raised to one of four exponents.

The encoder chooses the exponents of a layer once a message, and sends them if there are enough picks to pay for it.
Knows log2 weights. Does not know where they come from, or which cells are coded.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl._compile import njit
from surp_fl.codecs.surp.layers import STEPS_PER_OCTAVE
from surp_fl.entropy.range_coder import Bytes, CoderState, decode_target, decode_update, encode
from surp_fl.types import Integers

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
_EXPONENTS = 4  # 0 to 3
DEFAULT_EXPONENT = 2
MIN_PICKS = 8  # in a layer, for which sending its exponents saves more bits than it costs
_EXPONENT_CUM_FREQ = np.array([0, 2, 5, 11, 16], np.int64)  # probabilities 2, 3, 6 and 5 sixteenths
_WEIGHT_BITS = 14  # the largest weight is 2^14
_EXP2 = np.array([round(2 ** (_WEIGHT_BITS - f / STEPS_PER_OCTAVE)) for f in range(STEPS_PER_OCTAVE)], np.int64)


@njit(cache=True)
def _cumulative(log2_weights: Integers, exponent: int) -> Integers:
    """Cumulative weights 2^(exponent·log2_weight/256), the largest weight being 2^14 and the smallest 1."""
    sums = np.empty(log2_weights.size + 1, np.int64)
    sums[0] = 0
    for i in range(log2_weights.size):
        below = -exponent * log2_weights[i]
        sums[i + 1] = sums[i] + max(1, _EXP2[below & (STEPS_PER_OCTAVE - 1)] >> min(below // STEPS_PER_OCTAVE, 62))
    return sums


@njit(cache=True)
def _best_exponent(log2_weights: Integers, ranks: Integers) -> int:
    """The exponent with the shortest code for picks in rows (or columns) of these ranks."""
    best, fewest_bits = 0, math.inf
    for exponent in range(_EXPONENTS):
        total_weight = 0.0
        for log2_weight in log2_weights:
            total_weight += 2.0 ** (exponent * log2_weight / STEPS_PER_OCTAVE)
        bits = float(ranks.size) * math.log2(total_weight)
        for rank_of_pick in ranks:
            bits -= exponent * log2_weights[rank_of_pick] / STEPS_PER_OCTAVE
        bits -= math.log2(_EXPONENT_CUM_FREQ[exponent + 1] - _EXPONENT_CUM_FREQ[exponent])
        if bits < fewest_bits:
            best, fewest_bits = exponent, bits
    return best


@njit(cache=True)
def best_exponents(
    row_log2_weights: Integers, column_log2_weights: Integers, rows: Integers, columns: Integers
) -> tuple[int, int]:
    """The exponents with which the picks of a layer are coded in the fewest bits.

    Args:
        row_log2_weights: of the layer's rows by rank, in 1/256 octaves; shape (rows,).
        column_log2_weights: of its columns; shape (columns,).
        rows: the rank of each pick's row; shape (k,).
        columns: the rank of each pick's column; shape (k,).

    Returns:
        The exponents for rows and for columns; the default ones if there are fewer than MIN_PICKS picks.
    """
    if rows.size < MIN_PICKS:
        return DEFAULT_EXPONENT, DEFAULT_EXPONENT
    return _best_exponent(row_log2_weights, rows), _best_exponent(column_log2_weights, columns)


@njit(cache=True)
def cumulative_weights(log2_weights: Integers, exponent: int) -> Integers:
    """Cumulative weights, shape (rows + 1,), for shape (rows,); empty for a layer without tables."""
    return _cumulative(log2_weights, exponent) if log2_weights.size > 0 else log2_weights


@njit(cache=True)
def encode_exponent(state: CoderState, out: Bytes, exponent: int) -> None:
    """Encode an exponent, 0 to 3."""
    cum_freq = _EXPONENT_CUM_FREQ[exponent]
    encode(state, out, cum_freq, _EXPONENT_CUM_FREQ[exponent + 1] - cum_freq, 16)


@njit(cache=True)
def decode_exponent(state: CoderState, data: Bytes) -> int:
    """Decode an exponent."""
    exponent = int(np.searchsorted(_EXPONENT_CUM_FREQ, decode_target(state, 16), side="right")) - 1
    cum_freq = _EXPONENT_CUM_FREQ[exponent]
    decode_update(state, data, cum_freq, _EXPONENT_CUM_FREQ[exponent + 1] - cum_freq, 16)
    return exponent
