"""A decoder of SuRP's trellis mode, written from FORMAT.md alone; slow. It shares no code with `surp_fl`.

Whole bodies and cut ones, without terms. Credit is not looked at, nor whether anything is malformed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Counts = list[int]
Found = tuple[int, int, int]  # a symbol, the frequencies of smaller ones, its own


class UndeterminedError(Exception):
    """The bytes do not determine the next symbol."""


class Symbols:
    """A range coder's reading end, twice: as if missing bytes were 0, and as if they were 255."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._range = data, 6, (1 << 48) - 1
        self._low, self._high = (int.from_bytes((data[:6] + fill * 6)[:6], "big") for fill in (b"\0", b"\xff"))

    def symbol(self, total: int, at: Callable[[int], Found]) -> int:
        if self._high >= self._range:
            raise UndeterminedError
        unit = self._range // total
        found, other = (at(min(code // unit, total - 1)) for code in (self._low, self._high))
        if found != other:
            raise UndeterminedError
        value, below, own = found
        self._low, self._high = self._low - unit * below, self._high - unit * below
        self._range = self._range - unit * below if below + own == total else unit * own
        while self._range < 1 << 40:
            missing = self._at >= len(self._data)
            low, high = (0, 255) if missing else (self._data[self._at],) * 2
            self._low, self._high = self._low << 8 | low, self._high << 8 | high
            self._at, self._range = self._at + 1, self._range << 8
        return value

    def bits(self, width: int) -> int:
        return self.symbol(1 << width, lambda target: (target, target, 1)) if width else 0

    def flag(self, zeros: int, ones: int) -> int:
        return self.symbol(zeros + ones, lambda target: (0, 0, zeros) if target < zeros else (1, zeros, ones))

    def counted(self, counts: Counts) -> int:
        """A flag whose counts adapt."""
        found = self.flag(*counts)
        counts[found] += 16
        halve(counts, 1 << 12)
        return found


def halve(counts: Counts, most: int) -> None:
    if sum(counts) > most:
        counts[:] = [count - count // 2 for count in counts]


class MeanCodes:
    """The integers of entropy/adaptive_integer.py, of depth 4."""

    def __init__(self) -> None:
        self._lengths, self._bits = [1] * 34, defaultdict[tuple[int, int], Counts](lambda: [0, 0])

    def read(self, symbols: Symbols) -> int:
        def at(target: int) -> Found:
            below = 0
            for length, own in enumerate(self._lengths):
                if target < below + own:
                    return length, below, own
                below += own
            raise AssertionError

        length = symbols.symbol(sum(self._lengths), at)
        self._lengths[length] += 24
        value = min(length, 1)
        for left in range(length - 2, -1, -1):
            if value >> 4:  # further bits are as they are; no code is that long
                return value << (left + 1) | symbols.bits(left + 1)
            counts = self._bits[length, value]
            bit = symbols.flag(2 * counts[0] + 1, 2 * counts[1] + 1)
            counts[bit] += 1
            value = 2 * value + bit
        return value


@lru_cache(None)
def log2(x: int) -> int:
    return log2(x // 16) + 64 if x >= 4096 else (x**16).bit_length() - 1


def mean_of(m: int) -> int:
    scaled, octave = (4096, 4871, 5793, 6889)[m % 4], m // 4 - 16
    return max(1, scaled << octave if octave >= 0 else scaled >> -octave)


def after(state: int, level: int) -> int:
    low = state % 4
    return 2 * low + (level ^ low ^ low // 2 ^ state // 4) % 2


class Levels:
    """All that is learnt of levels and rows."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols, self.state, self._row = symbols, 0, 0
        self._lengths: dict[tuple[int, int, int], Counts] = {}
        self._bits = defaultdict[tuple[int, ...], Counts](lambda: [16, 16])

    def row_has_any(self) -> int:
        self._row = self._symbols.counted(self._bits[(self._row,)])
        return self._row

    def read(self, context: int) -> int:
        length = 0
        while length < 24 and self._symbols.counted(self._counts(context, length)):
            length += 1
        level = min(length, 1)
        if length > 1:
            level = 2 + self._symbols.counted(self._bits[0, context, length])
        if length > 2:
            level = 2 * level + self._symbols.counted(self._bits[1, length, level % 2, 0])
            left = length - 3
            if left > 16:
                level, left = level << 16 | self._symbols.bits(16), left - 16
            level = level << left | self._symbols.bits(left)
        self.state = after(self.state, level)
        return level

    def _counts(self, context: int, length: int) -> Counts:
        key = (self.state % 2, context, length)
        if key not in self._lengths:
            longer = (mean_of(context + 32) << 16) // (mean_of(context + 32) + 4096)
            for _ in range(length - 1):
                longer = longer * longer >> 16
            ones = max(1, 48 * longer >> 16)
            self._lengths[key] = [max(1, 48 - ones), ones]
        return self._lengths[key]


class Lags:
    """Lags and weights of a layer."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols, self._any, self._same = symbols, [16, 16], [16, 16]
        self._last: list[tuple[int, int]] = []

    def read(self) -> list[tuple[int, int]]:
        if not self._symbols.counted(self._any):
            return []
        if not self._last or not self._symbols.counted(self._same):
            codes = [(self._symbols.bits(8), self._symbols.bits(6)) for _ in range(self._symbols.bits(3) + 1)]
            self._last = [(lag + 1, (w // 2 + 1) * (-1) ** w) for lag, w in codes]
        return self._last


def decoded(body: bytes, shapes: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
    """The vector that a body of trellis mode says, for arrays of these shapes."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    vector, starts = np.zeros(sum(sizes), np.float32), np.cumsum([0, *sizes])
    order = sorted((size, i) for i, size in enumerate(sizes) if size)
    symbols = Symbols(body)
    try:
        head = [symbols.bits(width) for width in (2, 2, 2, 20, 1)]
        assert head[:3] == [3, 3, 0]
        step = (2048 + head[3] % 2048) * 2.0 ** (head[3] // 2048 - 267)
        ones = (24 + symbols.bits(4), 16 + symbols.bits(4)) if head[4] else (31, 21)
        codes, lags, levels, m = MeanCodes(), Lags(symbols), Levels(symbols), 64
        for size, i in order:
            z = codes.read(symbols)
            if z:
                m += (z - 1) // 2 if z % 2 else -(z // 2)
                rows = shapes[i][0] if len(shapes[i]) > 1 else 1
                layer = vector[starts[i] : starts[i] + size].reshape(rows, size // rows)
                read_layer(symbols, levels, layer, m, step / 16, ones, lags.read() if min(layer.shape) > 1 else [])
    except UndeterminedError:
        pass
    return vector


def factor(told: int) -> int:
    return (4096, 4467, 4871, 5312, 5793, 6317, 6889, 7512)[told % 8] << told // 8


def read_layer(
    symbols: Symbols,
    levels: Levels,
    layer: NDArray[np.float32],
    m: int,
    unit: float,
    ones: tuple[int, int],
    lags: list[tuple[int, int]],
) -> None:
    rows, columns = layer.shape
    mean = mean_of(m)
    prior = max(2 * mean, 8192)
    column_sums, column_signs = [0] * columns, [[12, 12] for _ in range(columns)]
    for r in range(rows):
        row_sum, row_signs, near, sent = 0, [12, 12], mean, [0] * columns
        if rows > 1 and not levels.row_has_any():
            for _ in range(columns):
                levels.state = after(levels.state, 0)
            continue
        for c in range(columns):
            u = max(0, log2(4096 * row_sum + prior) - log2(c + prior // mean))
            v = max(0, log2(10 * near + 3 * mean) - 59)
            e = (11 * u + 5 * v) // 16 + log2(4096 * column_sums[c] * (rows > 1) + prior)
            e -= log2(r + prior // mean) + log2(mean)
            told = sum(weight * sent[c - lag] for lag, weight in lags if lag <= c)
            told = min(48, max(-48, told))
            e += 10 * abs(told) // 16
            q = levels.state % 2
            level = levels.read(min(103, (e - 64) // 4) if e >= 64 else 0)
            if level:
                signs = column_signs[c] if rows > 1 else [12, 12]
                plus, minus = (row * column * 4096 for row, column in zip(row_signs, signs, strict=True))
                plus, minus = (
                    (plus // 4096 * factor(told), minus) if told > 0 else (plus, minus // 4096 * factor(-told))
                )
                share = max(1, min(2**16 - 1, 2**16 * minus // (plus + minus)))
                negative = symbols.flag(2**16 - share, share)
                sent[c] = 1 - 2 * negative
                for counts in (row_signs, signs):
                    counts[negative] += 1
                    halve(counts, 1 << 14)
                size = min(unit * (ones[q] if level == 1 else 16 * (2 * level - q)), float(np.finfo(np.float32).max))
                layer[r, c] = -size if negative else size
            near = (3 * near + 4096 * level + 2) // 4
            row_sum, column_sums[c] = row_sum + level, column_sums[c] + level
