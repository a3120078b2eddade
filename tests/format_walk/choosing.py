"""A source that chooses every symbol and writes it: the range coder's encoding end, and no encoder's choices."""

from __future__ import annotations

from random import Random

from tests.format_walk.reading import WINDOW
from tests.format_walk.symbols import Alphabet, Source
from tests.format_walk.taste import Taste


class Choosing(Source):
    """Symbols as a taste has them, else drawn by their frequencies."""

    def __init__(self, n: int, taste: Taste, rng: Random) -> None:
        super().__init__(n)
        self._taste, self._rng = taste, rng
        self._out, self._low, self._range = bytearray(), 0, (1 << 8 * WINDOW) - 1

    def symbol(self, name: str, alphabet: Alphabet, wish: int | None = None) -> int:
        if wish is None:
            wish = self._taste.symbol(name, alphabet, self._rng)
        if wish is None:
            wish = alphabet.at(self._rng.randrange(alphabet.total))[0]
        self._write(*alphabet.of(wish)[1:], alphabet.total)
        return wish

    def choose(self, name: str, least: int, most: int) -> int | None:
        return self._taste.number(name, least, most, self._rng)

    def finish(self) -> bytes:
        """The fewest bytes with which some continuation of the message, drawn at random, determines all symbols."""
        if not self._out and self._range == (1 << 8 * WINDOW) - 1:
            return b""
        low = int.from_bytes(self._out, "big") << 8 * WINDOW | self._low
        point, size = low + self._rng.randrange(self._range), len(self._out) + WINDOW
        for length in range(size):
            unknown = 8 * (size - length)
            first = point >> unknown << unknown
            if low <= first and first + (1 << unknown) <= low + self._range:
                return (point >> unknown).to_bytes(length, "big")
        return point.to_bytes(size, "big")

    def _write(self, below: int, own: int, total: int) -> None:
        unit = self._range // total
        self._low += unit * below
        self._range = self._range - unit * below if below + own == total else unit * own
        if self._low >> 8 * WINDOW:
            self._carry()
        while self._range < 1 << 8 * (WINDOW - 1):
            self._out.append(self._low >> 8 * (WINDOW - 1))
            self._low = (self._low << 8) & ((1 << 8 * WINDOW) - 1)
            self._range <<= 8
            self.credit += 1 << 10

    def _carry(self) -> None:
        self._low &= (1 << 8 * WINDOW) - 1
        at = len(self._out) - 1
        while self._out[at] == 255:
            self._out[at] = 0
            at -= 1
        self._out[at] += 1
        self.note("carry")
