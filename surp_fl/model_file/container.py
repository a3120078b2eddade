"""The bytes of a model file: a header whose check covers it, then the body of a SuRP message in chunks with checks.

    magic      5 bytes   F5 and "SuRP"
    version    1 byte    1
    lengths    varints   of the manifest, the exact arrays, the small arrays, the scales; then of the whole body
    chunk      1 byte    c: a chunk of the body has 2**c bytes, 6 to 24
    sections             manifest, exact arrays, small arrays, scales
    check      4 bytes   CRC-32 of all bytes so far, little-endian
    chunks               each 2**c bytes of the body, the last one what is left; after each, 4 bytes: CRC-32 of the
                         header with its check and of all of the body so far

A file may end anywhere after the header. Whoever cuts it on purpose ends the last chunk with its check (`cut`), and all
of it counts. If it was cut elsewhere, what follows the last check that holds is left out; nothing that is not checked
is ever decoded. Damage within the chunks that are there is an error. Does not know what is in the sections.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from surp_fl.errors import MalformedMessage
from surp_fl.model_file.varints import ByteReader, varint

MAGIC = b"\xf5SuRP"
VERSION = 1
CHECK_BYTES = 4
_CHUNKS = 32  # about so many in a file
_SMALLEST_CHUNK, _LARGEST_CHUNK = 9, 16  # log2 of bytes, that a writer chooses
_CHUNK_RANGE = range(6, 25)  # that a reader accepts


@dataclass(frozen=True)
class Sections:
    """What a header holds, and the body.

    Attributes:
        manifest: names, shapes, dtypes and roles of all arrays.
        exact: arrays without loss.
        small: small arrays and running statistics.
        scales: of the arrays in the body.
        body: of a SuRP message; of a file that was cut, what is left.
        whole: bytes of the body that was written; more than `body` has if the file was cut.
        unchecked: bytes at the end of a cut file that no check covers, and that are left out.
    """

    manifest: bytes
    exact: bytes
    small: bytes
    scales: bytes
    body: bytes
    whole: int
    unchecked: int = 0


def is_model_file(data: bytes) -> bool:
    """Whether these bytes begin as a model file does."""
    return data.startswith(MAGIC)


def header_of(manifest: bytes, exact: bytes, small: bytes, scales: bytes, body: int, chunk: int) -> bytes:
    """The bytes in front of the chunks.

    Args:
        manifest: and the other sections, as of `Sections`.
        exact: the same.
        small: the same.
        scales: the same.
        body: its length, in bytes.
        chunk: log2 of a chunk's bytes.
    """
    sections = (manifest, exact, small, scales)
    lengths = b"".join(varint(len(section)) for section in sections) + varint(body)
    header = MAGIC + bytes([VERSION]) + lengths + bytes([chunk]) + b"".join(sections)
    return header + _check(zlib.crc32(header))


def chunk_for(budget: int) -> int:
    """Log2 of the chunk's bytes for a file of so many bytes: about 32 chunks, each of 512 bytes to 64 kB."""
    return min(max((budget // _CHUNKS).bit_length() - 1, _SMALLEST_CHUNK), _LARGEST_CHUNK)


def room_in(size: int, chunk: int) -> int:
    """Bytes of a body whose chunks, with their checks, take at most `size` bytes.

    >>> room_in(2 * (512 + 4) + 10, 9), room_in(2 * (512 + 4) + 4, 9)
    (1030, 1024)
    """
    full, rest = divmod(size, (1 << chunk) + CHECK_BYTES)
    return (full << chunk) + max(0, rest - CHECK_BYTES)


def in_chunks(header: bytes, body: bytes, chunk: int) -> bytes:
    """A file of a header and its body."""
    parts, check = [header], zlib.crc32(header)
    for start in range(0, len(body), 1 << chunk):
        part = body[start : start + (1 << chunk)]
        check = zlib.crc32(part, check)
        parts += [part, _check(check)]
    return b"".join(parts)


def sections_of(data: bytes) -> Sections:
    """Read a file, whole or cut.

    Raises:
        MalformedMessage: it is no model file, of another version, cut within its header, or damaged.
    """
    _, _, sections = _parsed(data)
    return sections


def cut(data: bytes, size: int) -> bytes:
    """Cut a model file, without the model: a coarser one of at most `size` bytes.

    Args:
        data: a model file.
        size: bytes.

    Raises:
        MalformedMessage: it is no model file, or damaged.
        ValueError: the header alone has more bytes.
    """
    header, chunk, sections = _parsed(data)
    if size < len(header):
        raise ValueError(
            f"{size:,} bytes; the part of this file that cannot be cut has {len(header):,}: give at least as many, or "
            "compress the model anew"
        )
    return in_chunks(header, sections.body[: room_in(size - len(header), chunk)], chunk)


def _parsed(data: bytes) -> tuple[bytes, int, Sections]:
    """The header, log2 of the chunk's bytes, and the sections."""
    if not is_model_file(data):
        raise MalformedMessage(f"no model file: it begins with {data[:8]!r}, not with {MAGIC!r}")
    reader = ByteReader(data)
    version = reader.take(len(MAGIC) + 1)[-1]
    if version != VERSION:
        raise MalformedMessage(f"a model file of version {version}; this library reads version {VERSION}")
    lengths = [reader.varint() for _ in range(5)]
    chunk = reader.take(1)[0]
    manifest, exact, small, scales = (reader.take(length) for length in lengths[:4])
    header = data[: reader.offset]
    if reader.take(CHECK_BYTES) != _check(zlib.crc32(header)):
        raise MalformedMessage("the header of the model file is damaged: its check differs")
    if chunk not in _CHUNK_RANGE:
        raise MalformedMessage(f"a model file in chunks of 2 to the power of {chunk} bytes; this version knows 6 to 24")
    header = data[: reader.offset]
    body, unchecked = _body_of(data, header, 1 << chunk, lengths[4])
    return header, chunk, Sections(manifest, exact, small, scales, body, lengths[4], unchecked)


def _body_of(data: bytes, header: bytes, chunk: int, whole: int) -> tuple[bytes, int]:
    """The body as far as checks cover it, and the bytes after the last check of a cut file."""
    parts: list[bytes] = []
    check, position, found = zlib.crc32(header), len(header), 0
    while found < whole and position < len(data):
        size = min(chunk, whole - found)
        complete = len(data) - position >= size + CHECK_BYTES
        if not complete:  # the last chunk of a cut file, perhaps with a check of its own
            size = max(0, len(data) - position - CHECK_BYTES)
        part = data[position : position + size]
        check = zlib.crc32(part, check)
        if data[position + size : position + size + CHECK_BYTES] != _check(check):
            if complete:
                raise MalformedMessage(f"the model file is damaged within bytes {position:,} to {position + size:,}")
            return b"".join(parts), len(data) - position
        parts.append(part)
        found, position = found + size, position + size + CHECK_BYTES
        if not complete:
            break
    if position < len(data):
        raise MalformedMessage(f"{len(data) - position:,} bytes follow the end of the model file")
    return b"".join(parts), 0


def _check(crc: int) -> bytes:
    return crc.to_bytes(CHECK_BYTES, "little")
