"""Numbers and pieces of bytes, from front to back: 7 bits a byte, lowest first; the top bit says that more follow."""

from __future__ import annotations

from surp_fl.errors import MalformedMessage

_GROUPS = 9  # of 7 bits: 63


def varint(value: int) -> bytes:
    """Encode a number from 0.

    >>> varint(300).hex(), ByteReader(varint(300)).varint()
    ('ac02', 300)
    """
    groups = []
    while value > 0x7F:
        groups.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes([*groups, value])


class ByteReader:
    """Reads bytes from front to back."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.offset = 0

    @property
    def exhausted(self) -> bool:
        """Whether all bytes are read."""
        return self.offset >= len(self._content)

    def take(self, count: int) -> bytes:
        """The next bytes.

        Raises:
            MalformedMessage: there are fewer.
        """
        if count > len(self._content) - self.offset:
            raise MalformedMessage(f"the model file ends within {count:,} bytes that it says to hold: it was cut")
        self.offset += count
        return self._content[self.offset - count : self.offset]

    def varint(self, most: int = (1 << 63) - 1) -> int:
        """The next number.

        Raises:
            MalformedMessage: it exceeds `most`, is longer than 63 bits, or not in its shortest form.
        """
        value = 0
        for group in range(_GROUPS):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * group
            if byte < 0x80:
                if value > most or (byte == 0 and group > 0):
                    break
                return value
        raise MalformedMessage(f"the model file has a number beyond {most:,}, or one that is not in its shortest form")
