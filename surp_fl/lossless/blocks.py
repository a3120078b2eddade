"""A block of numbers of one kind ↔ planes of bytes.

Floats are rotated to the left by one bit, so that the exponent begins with the highest byte and the sign is the lowest
bit. Numbers whose other bits are all zero (both zeros of floats; 0 and 1 of integers and booleans) leave the block
where they are many: one bit each says which they are, and one their lowest bit. Then every byte of the others is a
plane.

    zeros apart   1 byte: 0 or 1
    which         a plane of ceil(count / 8) bytes, bits from the highest on  (where apart)
    lowest bits   a plane of ceil(zeros / 8) bytes                            (where apart)
    bytes         a plane for each byte of the others, the highest first

Does not know arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from surp_fl.errors import MalformedMessage
from surp_fl.lossless.planes import Bytes, Reader, read_plane, write_plane

Words = NDArray[Any]  # unsigned integers: the bits of numbers

_APART = 32  # one zero in so many numbers pays for the plane that says which they are


class Kind(NamedTuple):
    """What is coded alike.

    Attributes:
        size: bytes of a word: 1, 2, 4 or 8.
        floats: whether it is a whole float; longer numbers are words like integers.
    """

    size: int
    floats: bool

    @classmethod
    def of(cls, dtype: np.dtype[Any]) -> Kind:
        """The kind of an array; numbers of more than 8 bytes are several words.

        Raises:
            TypeError: these are no numbers.
        """
        if dtype.kind not in "biufc":
            raise TypeError(f"arrays of {dtype} cannot be compressed; expected numbers or booleans")
        size = next(size for size in (8, 4, 2, 1) if dtype.itemsize % size == 0)
        return cls(size, dtype.kind == "f" and size == dtype.itemsize)

    @property
    def word(self) -> np.dtype[Any]:
        """The dtype of a word: the same on every machine."""
        return np.dtype(f"<u{self.size}")


def write_block(words: Words, kind: Kind) -> bytes:
    """Encode a block.

    Args:
        words: shape (count,), at least one.
        kind: of these.
    """
    bits = 8 * kind.size
    rotated = words << 1 | words >> bits - 1 if kind.floats else words
    zeros = rotated <= 1
    apart = int(np.count_nonzero(zeros)) * _APART >= words.size
    planes = [bytes([apart])]
    if apart:
        lowest = rotated[zeros].astype(np.uint8)
        planes += [write_plane(np.packbits(zeros)), write_plane(np.packbits(lowest))]
        rotated = rotated[~zeros]
    for shift in range(bits - 8, -1, -8):
        planes.append(write_plane((rotated >> shift).astype(np.uint8), floats=kind.floats))
    return b"".join(planes)


def read_block(reader: Reader, count: int, kind: Kind) -> Words:
    """Decode a block.

    Args:
        reader: of the message.
        count: words of the block, at least one.
        kind: of these.

    Returns:
        New words, shape (count,).

    Raises:
        MalformedMessage: the bytes are no block of this size.
    """
    apart = reader.take(1)[0]
    if apart > 1:
        raise MalformedMessage(f"a block of the compressed model begins with {apart}; expected 0 or 1")
    if apart:
        zeros = _read_bits(reader, count)
        lowest = _read_bits(reader, int(np.count_nonzero(zeros)))
        rotated = np.empty(count, kind.word)
        rotated[zeros] = lowest
        rotated[~zeros] = _read_words(reader, count - lowest.size, kind)
    else:
        rotated = _read_words(reader, count, kind)
    return rotated >> 1 | rotated << 8 * kind.size - 1 if kind.floats else rotated


def _read_bits(reader: Reader, count: int) -> NDArray[np.bool_]:
    packed: Bytes = read_plane(reader, -(-count // 8))
    return np.unpackbits(packed, count=count).view(np.bool_)


def _read_words(reader: Reader, count: int, kind: Kind) -> Words:
    words = np.zeros(count, kind.word)
    for _ in range(kind.size):
        if kind.size > 1:
            words <<= 8
        words |= read_plane(reader, count)
    return words
