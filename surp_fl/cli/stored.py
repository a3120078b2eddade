"""Files that somebody hands us, read without trusting them: a .npz of a model's arrays, and a message's bytes.

What a file claims is held against what there is before memory is taken for it: a member's header against its size in
the archive's directory, that against what is stored, and nothing is ever unpickled. Knows files. Does not know layouts
or codecs.
"""

from __future__ import annotations

import io
import math
import stat
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_ZIP, _NPY = b"PK", b"\x93NUMPY"
_SUFFIX = ".npy"
_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
_HEADER = 1 << 14  # bytes; numpy's limit is 10,000
_CHUNK = 1 << 20  # bytes
_FREE = 1 << 26  # bytes that a file may unpack to, however small it is
_RATIO = 50  # numbers of a trained model hardly shrink
_CURE = "store the model with numpy.savez(FILE, **arrays), its float, integer and boolean arrays by name"


class Unusable(ValueError):  # noqa: N818  (reads as what it is)
    """A file is not what it should be; says what was found, what was expected, and the cure."""


def message_in(file: Path, most: int) -> bytes:
    """The bytes of a message.

    Args:
        file: that holds it, and nothing else.
        most: bytes that a message can have.

    Raises:
        Unusable: no file, or a larger one, of which nothing is read.
        OSError: it is not there, or cannot be opened.
    """
    size = _size_of(file)
    if size > most:
        raise Unusable(f"a file of {size:,} bytes; a message has at most {most:,} here: give the message alone")
    with file.open("rb") as opened:
        return opened.read(most)


def arrays_in(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz, by name, in order.

    Raises:
        Unusable: it is none, or holds anything but numbers. What it claims to hold takes no memory.
    """
    try:
        size = _size_of(file)
        with file.open("rb") as opened:
            _check_kind(opened.read(len(_NPY)), size)
            with zipfile.ZipFile(opened) as archive:
                return _arrays_of(archive, size)
    except Unusable:
        raise
    except OSError as fault:
        raise Unusable(f"{fault.strerror or fault}; expected a .npz that can be read: {_CURE}") from fault
    except Exception as fault:  # damaged bytes make zipfile, zlib and numpy say so in many ways
        raise Unusable(
            f"it cannot be read ({fault or type(fault).__name__}); expected a whole .npz: {_CURE}"
        ) from fault


def _size_of(file: Path) -> int:
    found = file.stat()
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    kind = "a directory" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
    raise Unusable(f"{kind}; expected a file: write what it holds to one, and give its name")


def _check_kind(first: bytes, size: int) -> None:
    if size == 0:
        raise Unusable(f"an empty file; expected a .npz: {_CURE}")
    if first == _NPY:
        raise Unusable(f"a .npy, one array without a name; expected a .npz: {_CURE}")
    if not first.startswith(_ZIP):
        raise Unusable(f"no .npz, it begins with {first!r}; expected a zip of arrays: {_CURE}")


def _arrays_of(archive: zipfile.ZipFile, size: int) -> dict[str, NDArray[Any]]:
    members = archive.infolist()
    for member in members:
        if not member.filename.endswith(_SUFFIX):
            raise Unusable(f"member {member.filename!r:.80} is no array; expected names with .npy alone: {_CURE}")
        if member.flag_bits & 1 or member.compress_type not in _WAYS:
            raise Unusable(f"member {member.filename!r:.80} is encrypted, or packed as numpy packs none: {_CURE}")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise Unusable(f"member {member.filename!r:.80} has two sizes; the file was damaged: {_CURE}")
    if len({member.filename for member in members}) < len(members):
        raise Unusable(f"two members have the same name; expected one of each: {_CURE}")
    if (packed := sum(member.compress_size for member in members)) > size:
        raise Unusable(f"members of {packed:,} bytes in a file of {size:,}; it was cut or damaged: {_CURE}")
    if (unpacked := sum(member.file_size for member in members)) > max(_FREE, _RATIO * size):
        raise Unusable(
            f"{size:,} bytes that unpack to {unpacked:,}, more than {_RATIO} times as many; no trained model does: "
            "store it with numpy.savez, which does not compress"
        )
    return {member.filename.removesuffix(_SUFFIX): _array_of(archive, member) for member in members}


def _array_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    name = member.filename.removesuffix(_SUFFIX)
    with archive.open(member) as opened:
        shape, by_column, dtype, start = _header_of(opened.read(min(_HEADER, member.file_size)), name)
    if dtype.hasobject or dtype.kind not in "fiub":
        raise Unusable(
            f"array {name!r:.80} has dtype {dtype!s:.80}; expected float, integer or boolean numbers: {_CURE}"
        )
    claimed, held = math.prod(shape) * dtype.itemsize, member.file_size - start
    if claimed != held:
        raise Unusable(f"array {name!r:.80} claims {claimed:,} bytes and has {held:,}; it was cut or damaged: {_CURE}")
    with archive.open(member) as opened:
        opened.read(start)
        numbers = np.empty(claimed, np.uint8)
        for place in range(0, claimed, _CHUNK):
            part = opened.read(min(_CHUNK, claimed - place))
            numbers[place : place + len(part)] = np.frombuffer(part, np.uint8)
            if len(part) < min(_CHUNK, claimed - place):
                raise Unusable(f"array {name!r:.80} ends after {place + len(part):,} bytes of {claimed:,}: {_CURE}")
    array = numbers.view(dtype).astype(dtype.newbyteorder("="), copy=False)
    return array.reshape(shape, order="F" if by_column else "C")


def _header_of(first: bytes, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether column by column, dtype, and where the numbers begin."""
    source: IO[bytes] = io.BytesIO(first)
    version = np.lib.format.read_magic(source)
    readers: dict[Any, Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise Unusable(f"array {name!r:.80} has version {version} of .npy; expected 1.0 or 2.0: {_CURE}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about Python 2, which wrote longer headers
        shape, by_column, dtype = readers[version](source)
    if any(length < 0 for length in shape):
        raise Unusable(f"array {name!r:.80} has shape {shape!s:.80}; expected no negative length: {_CURE}")
    return shape, by_column, dtype, source.tell()
