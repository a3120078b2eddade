"""A source that reads symbols from the bytes of a body: the range coder's decoding end.

Four codes are followed: the body's, with all missing bytes 0 and with all 255; and both for the body without its last
byte, which tells whether that byte was needed.
"""

from __future__ import annotations

from tests.format_walk.symbols import Alphabet, MalformedError, Source, UndeterminedError

WINDOW = 6  # bytes of a code


class Reading(Source):
    """Symbols of a body."""

    def __init__(self, body: bytes, n: int) -> None:
        super().__init__(n)
        self._body, self._at, self._range = body, WINDOW, (1 << 8 * WINDOW) - 1
        ends = (len(body), len(body), len(body) - 1, len(body) - 1)
        self._fills = list(zip(ends, (0, 255, 0, 255), strict=True))
        self._codes = [0, 0, 0, 0]  # while all bytes so far are there, only the first is kept
        for at in range(WINDOW):
            self._append(at)
        self.needed = False

    def symbol(self, name: str, alphabet: Alphabet, wish: int | None = None) -> int:
        total = alphabet.total
        unit = self._range // total
        codes = self._codes if self._at >= len(self._body) else self._codes[:1]
        if codes[min(1, len(codes) - 1)] >= self._range:
            if len(self._body) >= WINDOW:
                raise MalformedError("a code that is not below the range")
            raise UndeterminedError
        found, *others = [alphabet.at(min(code // unit, total - 1)) for code in codes]
        if others:
            if others[0] != found:
                raise UndeterminedError
            self.needed |= codes[3] >= self._range or others[1] != found or others[2] != found
        value, below, own = found
        for i in range(len(codes)):
            self._codes[i] -= unit * below
        self._range = self._range - unit * below if below + own == total else unit * own
        while self._range < 1 << 8 * (WINDOW - 1):
            self._append(self._at)
            self._at, self._range = self._at + 1, self._range << 8
            self.credit += 1 << 10
        return value

    def choose(self, name: str, least: int, most: int) -> int | None:
        return None

    def _append(self, at: int) -> None:
        """One more byte of the codes."""
        if at < len(self._body) - 1:
            self._codes[0] = self._codes[0] << 8 | self._body[at]
            return
        codes = [self._codes[0]] * 4 if at == len(self._body) - 1 else self._codes
        self._codes = [
            code << 8 | (self._body[at] if at < end else fill)
            for code, (end, fill) in zip(codes, self._fills, strict=True)
        ]
