"""What a walk of the format asks for: symbols of an alphabet, by name; and the credit that it spends.

Does not know whether symbols are read or chosen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

Found = tuple[int, int, int]  # a value, the frequencies of smaller ones, its own

LONGEST_UINT = 24  # bits


class UndeterminedError(Exception):
    """The bytes do not determine the next symbol."""


class MalformedError(Exception):
    """The message breaks a limit of the format."""


class OverdrawnError(MalformedError):
    """The message asks for more work than its bytes pay for."""


class Alphabet(Protocol):
    """The values that a symbol may have, and their frequencies."""

    @property
    def total(self) -> int: ...

    def at(self, target: int) -> Found: ...

    def of(self, value: int) -> Found: ...


class Equal:
    """Values from 0 to total − 1, each of frequency 1."""

    __slots__ = ("total",)

    def __init__(self, total: int) -> None:
        self.total = total

    def at(self, target: int) -> Found:
        return target, target, 1

    def of(self, value: int) -> Found:
        return value, value, 1


class Flag:
    """0 is [0, zeros), 1 the rest."""

    __slots__ = ("ones", "total", "zeros")

    def __init__(self, zeros: int, ones: int) -> None:
        self.zeros, self.ones, self.total = zeros, ones, zeros + ones

    def at(self, target: int) -> Found:
        return (1, self.zeros, self.ones) if target >= self.zeros else (0, 0, self.zeros)

    def of(self, value: int) -> Found:
        return (1, self.zeros, self.ones) if value else (0, 0, self.zeros)


class Between:
    """Values from first to last − 1; `sums[v]` are the frequencies of all values below v, also of those below first."""

    def __init__(self, sums: Sequence[int], first: int, last: int) -> None:
        self._sums, self._first, self._last, self._base = sums, first, last, int(sums[first])
        self.total = int(sums[last]) - self._base

    @classmethod
    def of_frequencies(cls, own: Sequence[int]) -> Between:
        return cls(list(accumulate(own, initial=0)), 0, len(own))

    def at(self, target: int) -> Found:
        return self.of(bisect_right(self._sums, target + self._base, self._first, self._last) - 1)

    def of(self, value: int) -> Found:
        below = int(self._sums[value]) - self._base
        return value, below, int(self._sums[value + 1]) - self._base - below


class Source(ABC):
    """Where the symbols of one message come from.

    Attributes:
        credit: of work; the page's section "Credit".
        visited: names of the features that the walk has come by.
        needed: whether the symbols so far need the last byte of the body.
    """

    def __init__(self, n: int) -> None:
        self.credit = (1 << 18) + n // 16
        self.visited: Counter[str] = Counter()
        self.needed = True

    @abstractmethod
    def symbol(self, name: str, alphabet: Alphabet, wish: int | None = None) -> int:
        """The next symbol; a source that chooses takes the wish, if there is one."""

    @abstractmethod
    def choose(self, name: str, least: int, most: int) -> int | None:
        """A wish for a value in this range, from a source that chooses; None from one that reads."""

    def bits(self, name: str, width: int, wish: int | None = None) -> int:
        return self.symbol(name, Equal(1 << width), wish) if width else 0

    def flag(self, name: str, zeros: int, ones: int, wish: int | None = None) -> int:
        return self.symbol(name, Flag(zeros, ones), wish)

    def uint(self, name: str, least: int, most: int) -> int:
        """A number with its length in front; a source that chooses keeps to the range."""
        return self.uint_of(self.choose(name, least, most))

    def uint_of(self, wish: int | None) -> int:
        length = self.bits("length of a uint", 5, None if wish is None else wish.bit_length())
        self.check(length <= LONGEST_UINT, "a uint is too long")
        if length < 2:
            return length
        top = 1 << (length - 1)
        return top + self.bits("uint", length - 1, None if wish is None else wish - top)

    def spend(self, work: int) -> None:
        if self.credit < work:
            raise OverdrawnError("overdrawn credit")
        self.credit -= work

    def note(self, feature: str, seen: bool = True) -> None:
        if seen:
            self.visited[feature] += 1

    @staticmethod
    def check(holds: bool, what: str) -> None:
        if not holds:
            raise MalformedError(what)
