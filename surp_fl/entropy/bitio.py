"""Fixed-width integers, most significant bit first, in one growing bitarray.

The writer and the reader mirror each other, method for method. The reader never reads, or allocates for, more
than the bits that are there.
"""

from __future__ import annotations

import numpy as np
from bitarray import bitarray
from numpy.typing import NDArray

from surp_fl._compile import njit

_VARINT_GROUPS = 5  # 35 bits: more than any count that fits a message


class MalformedBits(ValueError):  # noqa: N818  (the bits' own name for it; codecs make it a MalformedMessage)
    """The bits end too early, too late, or say something that no writer writes."""


def width_of(count: int) -> int:
    """Bits that tell `count` values apart: ⌈log2 count⌉, and 0 where there is nothing to tell."""
    return max(count - 1, 0).bit_length()


class BitWriter:
    """Bits in the order they are written."""

    def __init__(self) -> None:
        self._bits = bitarray(endian="big")

    def write(self, values: NDArray[np.int64], width: int) -> None:
        """Append each value (shape (k,), non-negative, below 2**width) in `width` bits."""
        shifts = np.arange(width - 1, -1, -1, dtype=np.int64)
        self.append(((values[:, None] >> shifts) & 1).astype(np.uint8))

    def append(self, flags: NDArray[np.uint8]) -> None:
        """Append one bit for each flag."""
        self._bits.pack(flags.tobytes())

    def write_one(self, value: int, width: int) -> None:
        """Append one value in `width` bits."""
        self.write(np.array([value], np.int64), width)

    def write_varint(self, value: int) -> None:
        """Append a count: groups of 7 bits, lowest first, each after a bit that says whether more follow."""
        while True:
            more = value > 0x7F
            self.write_one(more << 7 | value & 0x7F, 8)
            value >>= 7
            if not more:
                return

    def to_bytes(self) -> bytes:
        """Give all bits, the last byte filled up with zeros."""
        return self._bits.tobytes()


class BitReader:
    """The bits of a writer, from the front."""

    def __init__(self, body: bytes) -> None:
        self._bytes = np.frombuffer(body, np.uint8)
        self._at = 0

    @property
    def left(self) -> int:
        """How many bits there are still."""
        return 8 * self._bytes.size - self._at

    def read(self, count: int, width: int) -> NDArray[np.int64]:
        """Take `count` values of `width` bits; shape (count,)."""
        end = self._at + count * width
        if count * width > self.left:
            raise MalformedBits(f"{count} values of {width} bits end at bit {end}; there are {8 * self._bytes.size}")
        values = np.empty(count, np.int64)
        _read(self._bytes, self._at, width, values)
        self._at = end
        return values

    def read_one(self, width: int) -> int:
        """Take one value of `width` bits."""
        end = self._at + width
        if width > self.left:
            raise MalformedBits(f"a value of {width} bits ends at bit {end}; there are {8 * self._bytes.size}")
        whole = int.from_bytes(self._bytes[self._at >> 3 : (end + 7) >> 3].tobytes(), "big")
        self._at = end
        return (whole >> (-end & 7)) & ((1 << width) - 1)

    def read_varint(self) -> int:
        """Take a count; only the shortest form is valid."""
        value = 0
        for group in range(_VARINT_GROUPS):
            byte = self.read_one(8)
            value |= (byte & 0x7F) << 7 * group
            if byte < 0x80:
                if byte == 0 and group > 0:
                    raise MalformedBits("a count is longer than it need be")
                return value
        raise MalformedBits(f"a count of more than {7 * _VARINT_GROUPS} bits")

    def rest(self) -> tuple[NDArray[np.uint8], int]:
        """Look at the bytes that are left, and at which bit of them the next one is."""
        return self._bytes[self._at >> 3 :], self._at & 7

    def skip(self, count: int) -> None:
        """Pass over bits that were looked at."""
        self._at += count

    def finish(self) -> None:
        """Check that only the zeros that fill the last byte are left."""
        if self.left >= 8 or (self.left > 0 and self._bytes[-1] & ((1 << self.left) - 1)):
            raise MalformedBits(f"{self.left} bits left over where at most 7 zeros may fill the last byte")


@njit(cache=True)
def _read(data: NDArray[np.uint8], at: int, width: int, values: NDArray[np.int64]) -> None:
    """Fill in values of `width` bits, from a bit on."""
    for place in range(values.size):
        value, missing = 0, width
        while missing > 0:
            here = min(8 - (at & 7), missing)
            value = value << here | (int(data[at >> 3]) >> (8 - (at & 7) - here)) & ((1 << here) - 1)
            at += here
            missing -= here
        values[place] = value
