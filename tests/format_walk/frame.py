"""Body ↔ message: the four bytes in front. Does not know what is inside."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

SURP = 1 << 5 | 3  # version 1, scheme 3
HEADER = 4  # bytes

Shape = tuple[int, ...]


def fingerprint_of(names: Sequence[str], shapes: Sequence[Shape]) -> int:
    lines = [f"{name} {list(shape)}" for name, shape in zip(names, shapes, strict=True)]
    return zlib.crc32("\n".join(lines).encode())


def associated(fingerprint: int, digest: int) -> int:
    """What both ends must share: the layout, and the context if its digest is not 0."""
    return zlib.crc32(struct.pack("<I", digest), fingerprint) if digest else fingerprint


def framed(body: bytes, data: int) -> bytes:
    own = zlib.crc32(struct.pack("<Q", HEADER + len(body)) + bytes([SURP]) + body)
    check = (own ^ zlib.crc32(struct.pack("<I", data))) & 0xFFFFFF
    return bytes([SURP]) + check.to_bytes(3, "big") + body
