"""Levels and signs of a layer in trellis mode, and what is expected of each."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tests.format_walk.adaptive import Counts, counted, halve
from tests.format_walk.sign_lags import Lags, factor, told
from tests.format_walk.symbols import Source

LONGEST = 24  # bits of a level
RUN = 4096  # columns whose work is paid for at a time
MOST_SUM = 1 << 38


@lru_cache(None)
def log2(x: int) -> int:
    """l(x): about 16·log2 x."""
    return log2(x // 16) + 64 if x >= 4096 else (x**16).bit_length() - 1


def mean_of(m: int) -> int:
    scaled, octave = (4096, 4871, 5793, 6889)[m % 4], m // 4 - 16
    return max(1, scaled << octave if octave >= 0 else scaled >> -octave)


def after(state: int, level: int) -> int:
    low = state % 4
    return 2 * low + (level ^ low ^ low // 2 ^ state // 4) % 2


class LevelModels:
    """All that is learnt of levels and rows, and the state of the trellis."""

    def __init__(self) -> None:
        self.state, self._row = 0, 0
        self._lengths: dict[tuple[int, int, int], Counts] = {}
        self._bits = defaultdict[tuple[int, ...], Counts](lambda: [16, 16])

    def row_has_any(self, source: Source) -> int:
        self._row = counted(source, "row has levels", self._bits[(self._row,)])
        return self._row

    def skip(self, columns: int) -> None:
        for _ in range(columns):
            self.state = after(self.state, 0)

    def read(self, source: Source, context: int) -> int:
        """A level."""
        length = counted(source, "level is not 0", self._counts(context, 0))
        while 0 < length < LONGEST and counted(source, "level is longer", self._counts(context, length)):
            length += 1
        level = min(length, 1)
        if length > 1:
            level = 2 + counted(source, "second bit of a level", self._bits[0, context, length])
        if length > 2:
            level = 2 * level + counted(source, "third bit of a level", self._bits[1, length, level % 2, 0])
            left = length - 3
            if left > 16:
                level, left = level << 16 | source.bits("upper bits of a level", 16), left - 16
                source.note("a level with more than 16 lower bits")
            level = level << left | source.bits("lower bits of a level", left)
        source.note("a level of 24 bits", length == LONGEST)
        self.state = after(self.state, level)
        return level

    def _counts(self, context: int, length: int) -> Counts:
        key = (self.state % 2, context, length)
        if key not in self._lengths:
            mean = mean_of(context + 32)
            longer = (mean << 16) // (mean + 4096)
            for _ in range(length - 1):
                longer = longer * longer >> 16
            ones = max(1, 48 * longer >> 16)
            self._lengths[key] = [max(1, 48 - ones), ones]
        return self._lengths[key]


class LayerOfLevels:
    """Sums and counts of one layer while it is read."""

    def __init__(self, source: Source, models: LevelModels, m: int, lags: Lags) -> None:
        self._source, self._models, self._lags = source, models, lags
        self._mean = mean_of(m)
        self._prior = max(2 * self._mean, 8192)
        self._known = self._prior // self._mean  # columns, or rows, that the prior counts for

    def read(self, values: NDArray[np.float32], sixteenths: tuple[int, int], unit: float) -> None:
        """Fill the layer's values.

        Args:
            values: float32, zeros, shape (rows, columns).
            sixteenths: how many sixteenths of a step a level of 1 stands for, in even and in odd states.
            unit: a sixteenth of a step.
        """
        source, (rows, columns) = self._source, values.shape
        column_sums, column_signs = [0] * columns, [[12, 12] for _ in range(columns)]
        largest = float(np.finfo(np.float32).max)
        source.note("a layer of one row" if rows == 1 else "a layer of several rows")
        for r in range(rows):
            if rows > 1:
                source.spend(2)
                if not self._models.row_has_any(source):
                    source.note("a row of zeros")
                    self._models.skip(columns)
                    continue
            near, row_sum, row_signs, sent = self._mean, 0, [12, 12], [0] * columns
            of_row = log2(r + self._known) + log2(self._mean)
            for c in range(columns):
                if c % RUN == 0:
                    source.spend((3 if self._lags else 2) * min(RUN, columns - c))
                    source.note("a row of several runs", c > 0)
                t = told(self._lags, sent, c) if self._lags else 0
                e = self._along(row_sum, near, c) + 10 * abs(t) // 16 - of_row
                e += log2(min(column_sums[c], MOST_SUM) * 4096 + self._prior if rows > 1 else self._prior)
                odd = self._models.state % 2
                level = self._models.read(source, min(103, (e - 64) // 4) if e >= 64 else 0)
                if level:
                    source.spend(20)
                    counts = column_signs[c] if rows > 1 else [12, 12]
                    negative = self._sign(row_signs, counts, t)
                    sent[c] = 1 - 2 * negative
                    size = unit * (sixteenths[odd] if level == 1 else 16 * (2 * level - odd))
                    source.note("a level limited to float32's range", size > largest)
                    values[r, c] = sent[c] * min(size, largest)
                near = (3 * near + 4096 * level + 2) // 4
                row_sum, column_sums[c] = row_sum + level, column_sums[c] + level

    def _along(self, row_sum: int, near: int, column: int) -> int:
        """What the row so far says of a level's size."""
        u = log2(min(row_sum, MOST_SUM) * 4096 + self._prior) - log2(column + self._known)
        v = log2(10 * near + 3 * self._mean) - 59
        return (11 * max(0, u) + 5 * max(0, v)) // 16

    def _sign(self, row: Counts, column: Counts, t: int) -> int:
        plus, minus = row[0] * column[0], row[1] * column[1]
        plus *= factor(t) if t > 0 else 4096
        minus *= factor(-t) if t < 0 else 4096
        share = max(1, min((1 << 16) - 1, (minus << 16) // (plus + minus)))
        negative = self._source.flag("negative", (1 << 16) - share, share)
        for counts in (row, column):
            counts[negative] += 1
            self._source.note("counts of signs halved", halve(counts, 1 << 14))
        return negative
