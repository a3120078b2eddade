"""What a target of the fuzzers is, and how a target takes the fuzzer's bytes apart.

A target is a function of bytes. Whatever they are, it returns: a reader has read them, and what it gave is as promised,
or has raised the error that it documents. Anything else that is raised is a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Target:
    """A target of the fuzzers.

    Attributes:
        one: gives bytes to a reader, and checks what it promises.
        reads: the reader, by its name in the module of `one`.
        seeds: inputs that a reader accepts, made by the encoder.
        longest: bytes that a fuzzer makes: enough for every branch, and few for speed.
    """

    one: Callable[[bytes], None]
    reads: str
    seeds: Callable[[], Iterable[bytes]]
    longest: int = 256

    @property
    def name(self) -> str:
        """What the function is called."""
        return self.one.__name__


class Fields:
    """The fuzzer's bytes from front to back, as little-endian numbers and pieces; missing ones are zeros.

    >>> fields = Fields(b"\\x02\\x01\\x00ab")
    >>> fields.number(1), fields.piece(), fields.number(2), fields.rest()
    (2, b'a', 98, b'')
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def left(self) -> int:
        """Bytes that are not taken yet."""
        return len(self._data)

    def take(self, count: int) -> bytes:
        """The next bytes, as far as there are so many."""
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, count: int) -> int:
        """The next bytes as a number."""
        return int.from_bytes(self.take(count), "little")

    def signed(self, count: int) -> int:
        """The next bytes as a number in two's complement."""
        return int.from_bytes(self.take(count).ljust(count, b"\0"), "little", signed=True)

    def piece(self) -> bytes:
        """Some bytes, after how many there are in two bytes."""
        return self.take(self.number(2))

    def rest(self) -> bytes:
        """All that was not taken."""
        return self.take(len(self._data))


def pieces(*parts: bytes) -> bytes:
    """The inverse of `Fields.piece`, part by part."""
    return b"".join(len(part).to_bytes(2, "little") + part for part in parts)


def numbers(size: int, *values: int) -> bytes:
    """The inverse of `Fields.number`, for values of the same size."""
    return b"".join(value.to_bytes(size, "little") for value in values)


def equal_bits(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    """Whether two arrays have the same shape, dtype and bits, so that NaN equals itself."""
    return (one.shape, one.dtype, one.tobytes()) == (other.shape, other.dtype, other.tobytes())
