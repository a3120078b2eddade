"""Signs ↔ a range coder: the odds of a sign are those of its row times those of its column times those by signs nearby.

Counts of a row begin with the row, those of columns with the layer. Nearby are the signs so many columns back, by the
layer's lags and weights: in a convolution those of the same kernel, in a layer behind one those of the same map.
Encoder and decoder mirror each other. Knows the range coder. Does not know levels.
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.surp.trellis.sign_lags import FARTHEST
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Integers

EIGHTHS = (4096, 4467, 4871, 5312, 5793, 6317, 6889, 7512)  # 2^(i / 8), in 1/4096
_MOST_EIGHTHS = 48  # that signs nearby tell: odds of 64 to 1
_FARTHEST, _EVEN = FARTHEST, 4096  # as C numbers
SIGNS_BEGIN = 12  # each count at first
_SIGN_STEP, _SIGNS_BEGIN, _MOST_SIGNS = 1, SIGNS_BEGIN, 1 << 14  # what a sign adds to its count; the most of both
_TOTAL, _TOTAL_BITS = 1 << 16, 16  # of frequencies


class SignOdds:
    """The odds of a layer's signs: what was counted in the row, times that in the column, times what is nearby.

    Args:
        rows: of the layer.
        columns: of the layer.
        lags: how many columns back signs tell something, at most FARTHEST; int64, shape (k,).
        weights: what they tell, in eighths of an octave of the odds of the same sign; int64, shape (k,).
    """

    def __init__(self, rows: int, columns: int, lags: Integers, weights: Integers) -> None:
        self._last = columns if rows > 1 else 0  # of one row, columns tell nothing
        # Counts above _SIGNS_BEGIN: memory of zeros costs nothing until it is used.
        self._columns = np.zeros(2 * self._last + 2, np.int64)
        self._row = np.zeros(2, np.int64)
        self._lags, self._weights = lags, weights
        self._signs = np.zeros(_FARTHEST + columns, np.int8)  # of the row, behind as many that do not exist
        self._eighths = np.array(EIGHTHS, np.int64)

    def begin_row(self) -> None:
        """Go to the next row."""
        self._row[0] = self._row[1] = 0
        if len(self._lags) > 0:
            for column in range(_FARTHEST, len(self._signs)):
                self._signs[column] = 0

    def told(self, column: int) -> int:
        """What signs nearby tell of the one in a column of the row: eighths of an octave of the odds of a plus."""
        told: int = 0
        for each in range(len(self._lags)):
            told += self._weights[each] * self._signs[_FARTHEST + column - self._lags[each]]
        return min(max(told, -_MOST_EIGHTHS), _MOST_EIGHTHS)

    def encode(self, encoder: RangeEncoder, column: int, told: int, negative: int) -> None:
        """Encode the sign of a level that is not 0, of which signs nearby told so much."""
        minus = self._minus_of(column, told)
        if negative:
            encoder.encode(_TOTAL - minus, minus, _TOTAL)
        else:
            encoder.encode(0, _TOTAL - minus, _TOTAL)
        self._learn(column, negative)

    def decode(self, decoder: RangeDecoder, column: int, told: int) -> int:
        """Decode a sign, 1 for negative; not to be used if the decoder is exhausted after it."""
        minus = self._minus_of(column, told)
        negative = decoder.decode_flag(_TOTAL - minus, _TOTAL)
        self._learn(column, negative)
        return negative

    def _minus_of(self, column: int, told: int) -> int:
        """How likely the sign is negative, of _TOTAL."""
        place = min(column, self._last)
        plus: int = (_SIGNS_BEGIN + self._row[0]) * (_SIGNS_BEGIN + self._columns[2 * place])
        minus: int = (_SIGNS_BEGIN + self._row[1]) * (_SIGNS_BEGIN + self._columns[2 * place + 1])
        size = told if told >= 0 else -told
        more = self._eighths[size & 7] << (size >> 3)
        plus *= more if told > 0 else _EVEN
        minus *= more if told < 0 else _EVEN
        return min(max((minus << _TOTAL_BITS) // (plus + minus), 1), _TOTAL - 1)

    def _learn(self, column: int, negative: int) -> None:
        self._signs[_FARTHEST + column] = -1 if negative else 1
        self._count(self._row, 0, negative)
        if self._last > 0:
            self._count(self._columns, 2 * column, negative)

    def _count(self, counts: Integers, at: int, negative: int) -> None:
        counts[at + (1 if negative else 0)] += _SIGN_STEP
        plus, minus = _SIGNS_BEGIN + counts[at], _SIGNS_BEGIN + counts[at + 1]
        if plus + minus > _MOST_SIGNS:
            counts[at] -= plus >> 1
            counts[at + 1] -= minus >> 1
