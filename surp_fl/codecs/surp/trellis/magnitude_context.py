"""How large the level of a coordinate is expected to be, by the levels before it: of its row, its column, and nearby.

Gradients of a layer are sums of products of what comes in and what comes back: a coordinate's size is close to that of
its row times that of its column. Both are means of the levels so far, each begun with some at the layer's mean; the
row's is mixed with one of the last few levels. Their product over the layer's mean, on a logarithmic scale, is the
context in which a level is coded. Integers alone, as they set probabilities. Knows rows and columns. Does not know
bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CONTEXTS = 104  # quarters of an octave, from an expected level of 2^-8
MEAN_CODES = 128  # of a layer's mean level: quarters of an octave around code 64, which is 1; 0 is a layer of zeros
_CONTEXTS = CONTEXTS
_UNIT = 4096  # of means: levels times this
TABLE = 4096  # logarithms that are looked up
_TABLE = TABLE  # as a C number
_SHIFT, _SHIFT_LOG = 4, 64  # of larger numbers; their logarithm, in sixteenths of an octave
_MOST_SUM = 1 << 38  # of levels, which 64 bits hold in the unit
_PRIOR_SUM = 8192  # in the unit, with which sums begin, unless twice the mean is more
_LOG_13 = 59  # log2 13, in sixteenths of an octave
_PER_AGREEMENT = 10  # sixteenths, of a sixteenth of an octave, for an eighth of one of odds
_FIRST_LOG = 64  # the logarithm at which contexts begin: of 2^-8 times the unit


def _log2_table() -> list[int]:
    """Sixteenths of an octave of 1 to 4,095, rounded down; exact: 2^(16·log2 n) = n^16."""
    numbers = list(range(1, TABLE))  # Python's integers, of any length
    return [0] + [(number**16).bit_length() - 1 for number in numbers]


_LOG2 = np.array(_log2_table(), np.int64)
_QUARTERS = (4096, 4871, 5793, 6889)  # of an octave, in the unit of means


def mean_of(code: int) -> int:
    """The mean level of a code, 1 to MEAN_CODES − 1, in 1/4096; at least 1.

    >>> mean_of(64), mean_of(68), mean_of(1)
    (4096, 8192, 1)
    """
    octave = (code >> 2) - 16
    scaled = _QUARTERS[code & 3]
    return max(1, scaled << octave if octave >= 0 else scaled >> -octave)


def code_of_mean(mean: float) -> int:
    """The code nearest to a mean level above 0, on a logarithmic scale.

    >>> code_of_mean(1.0), code_of_mean(2.0)
    (64, 68)
    """
    return int(min(max(round(64 + 4 * np.log2(mean)), 1), MEAN_CODES - 1))


class MagnitudeContext:
    """The contexts of a layer's coordinates, row by row.

    Args:
        rows: of the layer.
        columns: of the layer.
        mean_code: of its mean level.
    """

    def __init__(self, rows: int, columns: int, mean_code: int) -> None:
        self._logs = _LOG2
        self._mean = mean_of(mean_code)
        self._log_mean = self.log2(self._mean)
        self._prior_sum = max(2 * self._mean, _PRIOR_SUM)
        self._prior = self._prior_sum // self._mean  # coordinates that it stands for, at the mean
        self._last = columns if rows > 1 else 0  # of one row, columns tell nothing
        self._column_sums = np.zeros(self._last + 1, np.int64)
        self._log_prior = self.log2(self._prior_sum)
        self._column_logs = np.zeros(self._last + 1, np.int32)  # above it: zeros cost no memory until they are used
        self._rows = self._log_rows = 0  # rows begun; the logarithm of their number and one
        self._row_sum = self._row_log = 0
        self._near = self._log_near = 0  # mean of the last few levels of the row, in the unit; about its logarithm

    def begin_row(self) -> None:
        """Go to the next row."""
        self._rows += 1
        self._log_rows = self.log2(self._rows - 1 + self._prior)
        self._row_sum, self._row_log = 0, self._log_prior
        self._set_near(self._mean)

    def context(self, column: int, told: int) -> int:
        """The context of the row's next coordinate: 0 to CONTEXTS − 1.

        Args:
            column: in which it is.
            told: how much signs nearby agree on its sign, in eighths of an octave of odds.
        """
        row = self._row_log - self.log2(column + self._prior)
        if row < 0:
            row = 0
        expected = ((11 * row + 5 * self._log_near) >> 4) + self._log_prior + self._column_logs[min(column, self._last)]
        expected += (_PER_AGREEMENT * told >> 4) - self._log_rows - self._log_mean
        if expected < _FIRST_LOG:
            return 0
        expected = (expected - _FIRST_LOG) >> 2
        return expected if expected < _CONTEXTS else _CONTEXTS - 1

    def add(self, column: int, level: int) -> None:
        """Note the level, from 0 on, of that coordinate."""
        near = (3 * self._near + _UNIT * level + 2) >> 2
        if near != self._near:
            self._set_near(near)
        if level > 0:
            self._row_sum = min(self._row_sum + level, _MOST_SUM)
            self._row_log = self.log2(_UNIT * self._row_sum + self._prior_sum)
            if self._last > 0:
                self._column_sums[column] = min(self._column_sums[column] + level, _MOST_SUM)
                log = self.log2(_UNIT * self._column_sums[column] + self._prior_sum)
                self._column_logs[column] = log - self._log_prior

    def _set_near(self, near: int) -> None:
        self._near, self._log_near = near, max(self.log2(10 * near + 3 * self._mean) - _LOG_13, 0)

    def log2(self, number: int) -> int:
        """Sixteenths of an octave of a number from 1 on, rounded down; of a large one, of its highest bits."""
        found = 0
        while number >= _TABLE:
            number >>= _SHIFT
            found += _SHIFT_LOG
        log: int = self._logs[number]
        return found + log


def contexts_of(levels: NDArray[np.int32], columns: int, mean_code: int, contexts: NDArray[np.int16]) -> None:
    """The context of each coordinate of a layer, given all levels.

    Args:
        levels: from 0 on, row by row; int32, shape (n,).
        columns: n is a multiple of it.
        mean_code: of the layer's mean level.
        contexts: filled in; int16, shape (n,).
    """
    found = MagnitudeContext(len(levels) // columns, columns, mean_code)
    for row in range(len(levels) // columns):
        found.begin_row()
        for column in range(columns):
            i = row * columns + column
            contexts[i] = found.context(column, 0)
            found.add(column, int(levels[i]))
