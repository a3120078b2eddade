"""A plane: bytes of one kind, as the exponents of many numbers ↔ a constant, the bytes themselves, or deflate.

    form      1 byte   0: constant, 1: stored, 2: deflated
    constant  1 byte
    stored    as many bytes as the plane has
    deflated  4 bytes of length, little-endian; then a raw deflate stream (RFC 1951)

An empty plane takes no bytes. Both ends know how many bytes a plane has. Knows no numbers.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.errors import MalformedMessage

Bytes = NDArray[np.uint8]

_CONSTANT, _STORED, _DEFLATED = range(3)
_SAMPLE = 1 << 12  # bytes that are looked at before a plane is coded
_RANDOM = 7.9  # bits of entropy a byte, from which a plane is stored; that of 4,096 random bytes is found to be 7.95
_HUFFMAN, _MATCHES = (1, zlib.Z_HUFFMAN_ONLY), (6, zlib.Z_DEFAULT_STRATEGY)  # level and strategy of zlib


class Reader:
    """Reads bytes from front to back."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        self._start = 0

    def take(self, count: int) -> memoryview:
        """The next bytes.

        Raises:
            MalformedMessage: there are fewer.
        """
        left = len(self._data) - self._start
        if count > left:
            raise MalformedMessage(f"the compressed model ends too early: {count} more bytes expected, {left} found")
        self._start += count
        return self._data[self._start - count : self._start]

    def rest(self) -> memoryview:
        """All that was not read."""
        return self._data[self._start :]


def write_plane(plane: Bytes, *, floats: bool = False) -> bytes:
    r"""Encode a plane in whichever form is smallest, as far as a sample tells.

    Args:
        plane: shape (bytes,).
        floats: whether the bytes are of floats: where single bytes look random, no repetitions are looked for.

    >>> write_plane(np.zeros(1000, np.uint8))
    b'\x00\x00'
    """
    if not plane.size:
        return b""
    if (plane == plane[0]).all():
        return bytes([_CONSTANT, plane[0]])
    if not floats or _entropy(plane[:: plane.size // _SAMPLE | 1]) < _RANDOM:
        deflated = _deflate(plane, _settings_for(plane))
        if len(deflated) + 4 < plane.size:
            return bytes([_DEFLATED]) + len(deflated).to_bytes(4, "little") + deflated
    return bytes([_STORED]) + plane.tobytes()


def read_plane(reader: Reader, count: int) -> Bytes:
    """Decode a plane.

    Args:
        reader: of the message.
        count: bytes of the plane; no more than these and what zlib needs is allocated.

    Returns:
        Shape (count,); it may be read-only.

    Raises:
        MalformedMessage: the bytes are no plane of this size.
    """
    if not count:
        return np.empty(0, np.uint8)
    form = reader.take(1)[0]
    if form == _CONSTANT:
        return np.full(count, reader.take(1)[0], np.uint8)
    if form == _STORED:
        return np.frombuffer(reader.take(count), np.uint8)
    if form != _DEFLATED:
        raise MalformedMessage(f"a plane of the compressed model has form {form}; this version knows 0 to 2")
    deflated = reader.take(int.from_bytes(reader.take(4), "little"))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plane = inflater.decompress(deflated, count + 1)
    except zlib.error as fault:
        raise MalformedMessage(f"a plane of the compressed model cannot be inflated: {fault}") from fault
    if len(plane) != count or not inflater.eof or inflater.unused_data:
        raise MalformedMessage(f"a plane of the compressed model does not inflate to {count} bytes and no more")
    return np.frombuffer(plane, np.uint8)


def _entropy(sample: Bytes) -> float:
    """Bits a byte, by how often each value occurs."""
    counts = np.bincount(sample)
    shares = counts[counts > 0] / sample.size
    return float(-(shares * np.log2(shares)).sum())


def _settings_for(plane: Bytes) -> tuple[int, int]:
    """Matches and a Huffman code where matches make a piece of the plane smaller: they take up to 20 times as long."""
    start = max(0, plane.size - _SAMPLE) // 2
    piece = plane[start : start + _SAMPLE]
    fast = (1, zlib.Z_DEFAULT_STRATEGY)
    return _MATCHES if len(_deflate(piece, fast)) < len(_deflate(piece, _HUFFMAN)) else _HUFFMAN


def _deflate(plane: Bytes, settings: tuple[int, int]) -> bytes:
    level, strategy = settings
    deflater: Any = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    start: bytes = deflater.compress(np.ascontiguousarray(plane))
    return start + deflater.flush()  # type: ignore[no-any-return]
