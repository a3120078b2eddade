"""Numbers and pieces of bytes, from front to back: 7 bits a byte, lowest first; the top bit says that more follow."""

from __future__ import annotations

from surp_fl.errors import MalformedMessage


def varint(value: int) -> bytes:
    """Encode a number from 0.

    >>> varint(300).hex(), ByteReader(varint(300)).number(9)
    ('ac02', (300, 2))
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
            raise MalformedMessage(self.ended_within(count))
        self.offset += count
        return self._content[self.offset - count : self.offset]

    def number(self, most_groups: int) -> tuple[int, int] | None:
        """The next number, and how many groups of 7 bits it has; None if it has more than `most_groups`.

        Raises:
            MalformedMessage: the bytes end within it.
        """
        value = 0
        for group in range(most_groups):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * group
            if byte < 0x80:
                return value, group + 1
        return None

    def ended_within(self, count: int) -> str:
        """What is said where fewer than `count` bytes follow."""
        return f"the bytes end within {count:,} that are expected"
