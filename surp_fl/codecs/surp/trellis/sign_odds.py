"""Signs ↔ a range coder: the odds of a sign are those of its row times those of its column.

Counts of a row begin with the row, those of columns with the layer. Encoder and decoder mirror each other. Knows the
range coder. Does not know levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder

_SIGN_STEP, _SIGNS_BEGIN, _MOST_SIGNS = 1, 12, 1 << 14  # what a sign adds; each count at first; the most of both


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
