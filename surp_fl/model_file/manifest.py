"""The manifest of a model file: which arrays there are, and how each one is coded.

    arrays     varint: how many; then of each
      kind     1 byte: role (high 3 bits), dtype (low 5 bits)
      name     varint: bytes of its UTF-8; these
      shape    varint: axes; a varint for each
      source   of a copy alone: varint, the number of the array that it equals
    metadata   varint: how many; then of each name and text, as a name

All of it deflated. Does not know what the roles mean.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from surp_fl.errors import MalformedMessage
from surp_fl.inflate import inflated
from surp_fl.model_file.model import CODES, FLOATS, NAMES, bytes_of
from surp_fl.model_file.varints import ByteReader, varint

_MAX_BYTES = 1 << 23  # of the manifest, inflated
MAX_ARRAYS = 1 << 16
_MAX_AXES = 32
_MAX_SIZE = 1 << 59  # elements; NumPy needs their bytes to fit 63 bits, even of an empty array with such axes
_DTYPE_BITS = 5


class Role(IntEnum):
    """How an array is coded; the numbers are part of the format."""

    EXACT = 0  # without loss
    SMALL = 1  # multiples of a step
    MEAN = 2  # of batch normalization: multiples of a share of the deviation
    VARIANCE = 3  # of batch normalization: multiples of a share of an octave
    WEIGHT = 4  # in the SuRP message
    COPY = 5  # equals an earlier array


@dataclass(frozen=True)
class Entry:
    """One array.

    Attributes:
        name: of the array.
        shape: of the array.
        dtype: as in `model.CODES`.
        role: how it is coded.
        source: of a copy, the number of the array that it equals.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role
    source: int = 0

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array as it is stored."""
        return bytes_of(self.dtype, self.size)


@dataclass(frozen=True)
class Manifest:
    """All arrays in their order, and metadata."""

    entries: tuple[Entry, ...]
    metadata: Mapping[str, str]

    def of(self, *roles: Role) -> list[Entry]:
        """The arrays of some roles, in order."""
        return [entry for entry in self.entries if entry.role in roles]


def write_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest.

    Raises:
        ValueError: there are more arrays, axes or text than a reader accepts.
    """
    content = bytearray(varint(len(manifest.entries)))
    for entry in manifest.entries:
        content.append(entry.role << _DTYPE_BITS | CODES[entry.dtype])
        content += _text(entry.name) + varint(len(entry.shape)) + b"".join(map(varint, entry.shape))
        if entry.role == Role.COPY:
            content += varint(entry.source)
    content += varint(len(manifest.metadata))
    for name, text in manifest.metadata.items():
        content += _text(name) + _text(text)
    if len(content) > _MAX_BYTES or len(manifest.entries) > MAX_ARRAYS:
        raise ValueError(
            f"{len(manifest.entries):,} arrays whose names, shapes and metadata take {len(content):,} bytes; a file "
            f"has at most {MAX_ARRAYS:,} and {_MAX_BYTES:,}: leave metadata out, or divide the model"
        )
    return zlib.compress(bytes(content), 9, -zlib.MAX_WBITS)


def read_manifest(data: bytes) -> Manifest:
    """Decode a manifest; what it claims is compared with nothing yet.

    Raises:
        MalformedMessage: it is none.
    """
    content = inflated(data, _MAX_BYTES, "the manifest of the model file")
    reader = ByteReader(content)
    count = reader.varint(MAX_ARRAYS)
    entries = [_read_entry(reader, number) for number in range(count)]
    names = {entry.name for entry in entries}
    metadata = {_read_text(reader): _read_text(reader) for _ in range(reader.varint(len(content)))}
    if len(names) < count or not reader.exhausted:
        raise MalformedMessage("the manifest of the model file names an array twice, or goes on after its end")
    for number, entry in enumerate(entries):
        if entry.role == Role.COPY and not _is_copy(entry, entries[:number]):
            raise MalformedMessage(f"array number {number} is no copy of array number {entry.source}")
    return Manifest(tuple(entries), metadata)


def _is_copy(entry: Entry, earlier: list[Entry]) -> bool:
    if entry.source >= len(earlier):
        return False
    source = earlier[entry.source]
    return source.role == Role.WEIGHT and (source.shape, source.dtype) == (entry.shape, entry.dtype)


def _read_entry(reader: ByteReader, number: int) -> Entry:
    kind = reader.take(1)[0]
    role, code = kind >> _DTYPE_BITS, kind & (1 << _DTYPE_BITS) - 1
    if role >= len(Role) or code not in NAMES:
        raise MalformedMessage(f"array number {number} has role {role} and dtype {code}, unknown to this version")
    name = _read_text(reader)
    shape = tuple(reader.varint() for _ in range(reader.varint(_MAX_AXES)))
    source = reader.varint(MAX_ARRAYS) if role == Role.COPY else 0
    entry = Entry(name, shape, NAMES[code], Role(role), source)
    if entry.role != Role.EXACT and (entry.dtype not in FLOATS or not entry.size):
        raise MalformedMessage(f"array number {number} is empty or not of floats, and has the role {entry.role.name}")
    if math.prod(max(length, 1) for length in shape) > _MAX_SIZE:
        raise MalformedMessage(f"array number {number} has a shape that no array can have, even if it is empty")
    return entry


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return varint(len(encoded)) + encoded


def _read_text(reader: ByteReader) -> str:
    try:
        return reader.take(reader.varint()).decode("utf-8")
    except UnicodeDecodeError as fault:
        raise MalformedMessage(f"a name in the manifest of the model file is not UTF-8: {fault.reason}") from fault
