"""What adapts in trellis mode: counts of flags, and the integers of depth 4 that give a layer its mean."""

from __future__ import annotations

from collections import defaultdict

from tests.format_walk.symbols import Between, Source

Counts = list[int]  # of zeros, and of ones

INCREMENT, MOST = 16, 1 << 12  # of the counts of a flag


def halve(counts: Counts, most: int) -> bool:
    """Take half of each away where they exceed this."""
    if sum(counts) <= most:
        return False
    counts[:] = [count - count // 2 for count in counts]
    return True


def counted(source: Source, name: str, counts: Counts) -> int:
    """A flag whose counts adapt."""
    found = source.flag(name, *counts)
    counts[found] += INCREMENT
    source.note("counts of flags halved", halve(counts, MOST))
    return found


class AdaptiveIntegers:
    """A bit length, then the four bits below the leading one in counts of their own, then the rest as they are."""

    DEPTH, LENGTHS = 4, 34

    def __init__(self) -> None:
        self._lengths = [1] * self.LENGTHS
        self._bits = defaultdict[tuple[int, int], Counts](lambda: [0, 0])

    def read(self, source: Source, wish: int | None) -> int:
        alphabet = Between.of_frequencies(self._lengths)
        length = source.symbol("length of an integer", alphabet, None if wish is None else wish.bit_length())
        self._lengths[length] += 24
        value = min(length, 1)
        for left in range(length - 2, -1, -1):
            if value >> self.DEPTH:
                rest = None if wish is None else wish & ((1 << (left + 1)) - 1)
                return value << (left + 1) | source.bits("rest of an integer", left + 1, rest)
            counts = self._bits[length, value]
            bit = None if wish is None else wish >> left & 1
            bit = source.flag("bit of an integer", 2 * counts[0] + 1, 2 * counts[1] + 1, bit)
            counts[bit] += 1
            value = 2 * value + bit
        return value
