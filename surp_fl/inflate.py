"""Raw deflate (RFC 1951), inflated to a limit: what bytes claim to hold is not allocated beyond it. Knows bytes."""

from __future__ import annotations

import zlib

from surp_fl.errors import MalformedMessage


def inflated(data: bytes, limit: int, what: str) -> bytes:
    """Inflate all of it.

    Args:
        data: one deflated stream.
        limit: bytes that it may inflate to.
        what: it is, for errors.

    Raises:
        MalformedMessage: it is no such stream, goes on after its end, or inflates to more.

    >>> deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    >>> inflated(deflater.compress(b"abc") + deflater.flush(), 3, "the text")
    b'abc'
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(data, limit + 1)  # 0 would be no limit
    except zlib.error as fault:
        raise MalformedMessage(f"{what} cannot be inflated: {fault}") from fault
    if len(content) > limit:
        raise MalformedMessage(f"{what} holds more than {limit:,} bytes")
    if not inflater.eof or inflater.unused_data:
        raise MalformedMessage(f"{what} ends too early, or bytes follow its end")
    return content
