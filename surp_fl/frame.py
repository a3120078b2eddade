"""The frame around every message: which version, which scheme, is it whole, is it for this model.

Knows the four bytes at the front. Does not know what is inside.

    byte 0      version (high 3 bits), scheme id (low 5 bits)
    bytes 1-3   check: 24 bits of CRC-32 over the length of the whole message, byte 0 and the body, exclusive-or
                24 bits of CRC-32 over what both ends must share (the layout's fingerprint, to begin with)
    bytes 4-    body

The length is not a field: every transport that carries bytes delimits them, and the check is computed over
the length, so that a cut or extended message is caught without paying for it. Who shortens a message on purpose, and
knows nothing of the model, can move the check along: what both ends share goes in by exclusive-or.
"""

from __future__ import annotations

import struct
import zlib

from surp_fl.errors import MalformedMessage

VERSION = 1
HEADER_BYTES = 4
_MAX_SCHEME_ID = 31


def pack(scheme_id: int, body: bytes, fingerprint: int) -> bytes:
    """Put the frame around a body.

    Args:
        scheme_id: 0 to 31, from the table of codecs.
        body: what the codec wrote.
        fingerprint: 32 bits of the layout (and of whatever else both ends must share).

    Returns:
        The message: 4 bytes more than the body.
    """
    if not 0 <= scheme_id <= _MAX_SCHEME_ID:
        raise ValueError(f"scheme id {scheme_id} does not fit in five bits")
    kind = bytes([VERSION << 5 | scheme_id])
    return kind + _check(kind, body, fingerprint) + body


def scheme_id_of(message: bytes) -> int:
    """Read the scheme id off the first byte, before anything else is believed.

    Raises:
        MalformedMessage: too short for a frame, or made by another version of the format.
    """
    if len(message) < HEADER_BYTES:
        raise MalformedMessage(f"{len(message)} bytes; a message has at least {HEADER_BYTES}: it was cut on the way")
    version = message[0] >> 5
    if version != VERSION:
        raise MalformedMessage(
            f"format version {version}; this library reads version {VERSION}: "
            "install the same surp-fl on client and server, or find what damaged the message"
        )
    return message[0] & _MAX_SCHEME_ID


def unpack(message: bytes, fingerprint: int) -> bytes:
    """Take the frame off and give the body.

    Raises:
        MalformedMessage: cut, extended, damaged, of another version, or made for another model.
    """
    scheme_id_of(message)
    body = message[HEADER_BYTES:]
    expected = _check(message[:1], body, fingerprint)
    if message[1:HEADER_BYTES] != expected:
        raise MalformedMessage(
            f"integrity check {message[1:HEADER_BYTES].hex()}, expected {expected.hex()} for these {len(message)} "
            "bytes and this model: the message was damaged, cut or extended, or made for a model of other names "
            "or shapes"
        )
    return body


def shorten(message: bytes, length: int) -> bytes:
    """Keep the first `length` bytes of a message, with a check that holds as the check before did, and only then."""
    kind, body = message[:1], message[HEADER_BYTES:length]
    share = _low24(message[1:HEADER_BYTES]) ^ _own(kind, message[HEADER_BYTES:])
    return kind + (share ^ _own(kind, body)).to_bytes(3, "big") + body


def _check(kind: bytes, body: bytes, fingerprint: int) -> bytes:
    share = zlib.crc32(struct.pack("<I", fingerprint)) & 0xFFFFFF
    return (share ^ _own(kind, body)).to_bytes(3, "big")


def _own(kind: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<Q", HEADER_BYTES + len(body)) + kind)) & 0xFFFFFF


def _low24(check: bytes) -> int:
    return int.from_bytes(check, "big")
