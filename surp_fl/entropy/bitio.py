"""Bit I/O: fixed-width integers and varints, most significant bit first, in one growing bitarray.

The writer and the reader mirror each other, method for method. The reader never reads, or allocates for, more bits than
there are.
"""

from __future__ import annotations

import numpy as np
from bitarray import bitarray
from numpy.typing import NDArray

from surp_fl.entropy.bit_fields import read_integers

_VARINT_GROUPS = 5  # 35 bits: more than the length of any message in bits


class MalformedBits(ValueError):  # noqa: N818  (codecs turn it into MalformedMessage, a public name)
    """The bits end too early or too late, or have a value that no writer writes."""


def width_of(count: int) -> int:
    """Bits that distinguish `count` values: ⌈log2 count⌉, and 0 for none or one.

    >>> [width_of(count) for count in (0, 1, 2, 3, 256, 257)]
    [0, 0, 1, 2, 8, 9]
    """
    return max(count - 1, 0).bit_length()


class BitWriter:
    """A bit string that grows at its end.

    >>> bits = BitWriter()
    >>> bits.write_one(0b101, 3)
    >>> bits.write_varint(300)
    >>> reader = BitReader(bits.to_bytes())
    >>> reader.read_one(3), reader.read_varint()
    (5, 300)
    >>> reader.finish()
    """

    def __init__(self) -> None:
        self._bits = bitarray(endian="big")

    def write(self, values: NDArray[np.int64], width: int) -> None:
        """Append integers of a fixed width.

        Args:
            values: shape (k,); each 0 to 2**width − 1.
            width: bits of each.
        """
        shifts = np.arange(width - 1, -1, -1, dtype=np.int64)
        self.append(((values[:, None] >> shifts) & 1).astype(np.uint8))

    def append(self, flags: NDArray[np.uint8]) -> None:
        """Append one bit for each flag, 0 or 1; uint8, shape (k,)."""
        self._bits.pack(flags.tobytes())

    def write_one(self, value: int, width: int) -> None:
        """Append one integer of `width` bits."""
        self.write(np.array([value], np.int64), width)

    def write_varint(self, value: int) -> None:
        """Append an integer of any size: 7 bits a byte, lowest first; the top bit of a byte says that more follow."""
        while True:
            more = value > 0x7F
            self.write_one(more << 7 | value & 0x7F, 8)
            value >>= 7
            if not more:
                return

    def to_bytes(self) -> bytes:
        """All bits, the last byte padded with zeros."""
        return self._bits.tobytes()


def varint_bits(value: int) -> int:
    """Bits that `BitWriter.write_varint` takes for a number.

    >>> [varint_bits(value) for value in (0, 127, 128)]
    [8, 8, 16]
    """
    return 8 * max(1, -(-value.bit_length() // 7))


class BitReader:
    """Reads a bit string from its front.

    Args:
        body: the bytes that `BitWriter.to_bytes` gave.
    """

    def __init__(self, body: bytes) -> None:
        self._bytes = body
        self._at = 0

    @property
    def left(self) -> int:
        """Bits that are not read yet."""
        return 8 * len(self._bytes) - self._at

    def read(self, count: int, width: int) -> NDArray[np.int64]:
        """Read integers of a fixed width.

        Args:
            count: how many.
            width: bits of each.

        Returns:
            int64, shape (count,).

        Raises:
            MalformedBits: there are fewer bits.
        """
        end = self._at + count * width
        if count * width > self.left:
            raise MalformedBits(f"{count} values of {width} bits end at bit {end}; there are {8 * len(self._bytes)}")
        values = np.empty(count, np.int64)
        read_integers(self._bytes, self._at, width, values)
        self._at = end
        return values

    def read_one(self, width: int) -> int:
        """Read one integer of `width` bits.

        Raises:
            MalformedBits: there are fewer bits.
        """
        end = self._at + width
        if width > self.left:
            raise MalformedBits(f"a value of {width} bits ends at bit {end}; there are {8 * len(self._bytes)}")
        whole = int.from_bytes(self._bytes[self._at >> 3 : (end + 7) >> 3], "big")
        self._at = end
        return (whole >> (-end & 7)) & ((1 << width) - 1)

    def read_varint(self) -> int:
        """Read an integer that `write_varint` wrote, of up to 35 bits.

        Raises:
            MalformedBits: it is longer, or not in its shortest form, or the bits end within it.
        """
        value = 0
        for group in range(_VARINT_GROUPS):
            byte = self.read_one(8)
            value |= (byte & 0x7F) << 7 * group
            if byte < 0x80:
                if byte == 0 and group > 0:
                    raise MalformedBits("a varint that is not in its shortest form")
                return value
        raise MalformedBits(f"a varint of more than {7 * _VARINT_GROUPS} bits")

    def rest(self) -> tuple[bytes, int]:
        """All bytes, and which of their bits is the next."""
        return self._bytes, self._at

    def skip(self, count: int) -> None:
        """Skip `count` bits, which were read from `rest`."""
        self._at += count

    def finish(self) -> None:
        """Check that nothing is left but the zeros that pad the last byte.

        Raises:
            MalformedBits: there is more.
        """
        if self.left >= 8 or (self.left > 0 and self._bytes[-1] & ((1 << self.left) - 1)):
            raise MalformedBits(f"{self.left} bits left over where at most 7 zeros may fill the last byte")
