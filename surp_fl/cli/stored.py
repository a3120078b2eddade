"""Reads untrusted files: a .npz of a model's arrays, and the bytes of a message.

Before memory is allocated, the size that a file declares is checked: a member's header against its size in the
archive's directory, and that against the size of the file. Nothing is unpickled. Knows files. Does not know layouts
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
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
_MAX_HEADER = 1 << 14  # bytes; numpy's limit is 10,000
_CHUNK = 1 << 20  # bytes
_ALWAYS_ALLOWED = 1 << 26  # bytes of arrays that a file of any size may contain
_MAX_RATIO = 50  # bytes of arrays per byte of file beyond that; trained weights hardly compress
_CURE = "store the model with numpy.savez(FILE, **arrays), its float, integer and boolean arrays by name"


class BadFileError(ValueError):
    """A file is not valid; the message says what was found, what was expected, and the cure."""


def message_in(file: Path, limit: int) -> bytes:
    """Read the bytes of a message.

    Args:
        file: that contains it, and nothing else.
        limit: bytes that a message can have.

    Raises:
        BadFileError: it is not a regular file, or a larger one, of which nothing is read.
        OSError: it does not exist, or cannot be opened.
    """
    size = _size_of(file)
    if size > limit:
        raise BadFileError(f"a file of {size:,} bytes; a message has at most {limit:,} here: give the message alone")
    with file.open("rb") as opened:
        return opened.read(size)


def arrays_in(file: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a .npz, by name, in its order.

    Raises:
        BadFileError: it is not a .npz of numbers, or declares sizes that do not fit the file; no memory is
            allocated for those.
    """
    try:
        size = _size_of(file)
        with file.open("rb") as opened:
            _check_kind(opened.read(len(_NPY)), size)
            with zipfile.ZipFile(opened) as archive:
                return _arrays_of(archive, size)
    except BadFileError:
        raise
    except OSError as fault:
        raise BadFileError(f"{fault.strerror or fault}; expected a .npz that can be read: {_CURE}") from fault
    except Exception as fault:  # for damaged bytes, zipfile, zlib and numpy raise many types
        raise BadFileError(
            f"it cannot be read ({fault or type(fault).__name__}); expected a whole .npz: {_CURE}"
        ) from fault


def _size_of(file: Path) -> int:
    found = file.stat()
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    kind = "a directory" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
    raise BadFileError(f"{kind}; expected a file: write what it holds to one, and give its name")


def _check_kind(first: bytes, size: int) -> None:
    if size == 0:
        raise BadFileError(f"an empty file; expected a .npz: {_CURE}")
    if first == _NPY:
        raise BadFileError(f"a .npy, one array without a name; expected a .npz: {_CURE}")
    if not first.startswith(_ZIP):
        raise BadFileError(f"no .npz, it begins with {first!r}; expected a zip of arrays: {_CURE}")


def _arrays_of(archive: zipfile.ZipFile, size: int) -> dict[str, NDArray[Any]]:
    members = archive.infolist()
    for member in members:
        if not member.filename.endswith(_SUFFIX):
            raise BadFileError(f"member {member.filename!r:.80} is no array; expected names with .npy alone: {_CURE}")
        if member.flag_bits & 1 or member.compress_type not in _COMPRESSIONS:
            raise BadFileError(f"member {member.filename!r:.80} is encrypted, or packed as numpy packs none: {_CURE}")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise BadFileError(f"member {member.filename!r:.80} has two sizes; the file was damaged: {_CURE}")
    if len({member.filename for member in members}) < len(members):
        raise BadFileError(f"two members have the same name; expected one of each: {_CURE}")
    if (packed := sum(member.compress_size for member in members)) > size:
        raise BadFileError(f"members of {packed:,} bytes in a file of {size:,}; it was cut or damaged: {_CURE}")
    if (unpacked := sum(member.file_size for member in members)) > max(_ALWAYS_ALLOWED, _MAX_RATIO * size):
        raise BadFileError(
            f"{size:,} bytes that unpack to {unpacked:,}, more than {_MAX_RATIO} times as many; no trained model does: "
            "store it with numpy.savez, which does not compress"
        )
    return {member.filename.removesuffix(_SUFFIX): _array_of(archive, member) for member in members}


def _array_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    name = member.filename.removesuffix(_SUFFIX)
    with archive.open(member) as opened:
        shape, fortran_order, dtype, start = _header_of(opened.read(min(_MAX_HEADER, member.file_size)), name)
    if dtype.hasobject or dtype.kind not in "fiub":
        raise BadFileError(
            f"array {name!r:.80} has dtype {dtype!s:.80}; expected float, integer or boolean numbers: {_CURE}"
        )
    declared, found = math.prod(shape) * dtype.itemsize, member.file_size - start
    if declared != found:
        raise BadFileError(
            f"array {name!r:.80} claims {declared:,} bytes and has {found:,}; it was cut or damaged: {_CURE}"
        )
    with archive.open(member) as opened:
        opened.read(start)
        numbers = np.empty(declared, np.uint8)
        for place in range(0, declared, _CHUNK):
            part = opened.read(min(_CHUNK, declared - place))
            numbers[place : place + len(part)] = np.frombuffer(part, np.uint8)
            if len(part) < min(_CHUNK, declared - place):
                raise BadFileError(
                    f"array {name!r:.80} ends after {place + len(part):,} bytes of {declared:,}: {_CURE}"
                )
    array = numbers.view(dtype).astype(dtype.newbyteorder("="), copy=False)
    return array.reshape(shape, order="F" if fortran_order else "C")


def _header_of(first: bytes, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran order, dtype, and offset of the numbers, from the first bytes of a .npy."""
    source: IO[bytes] = io.BytesIO(first)
    version = np.lib.format.read_magic(source)
    readers: dict[Any, Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise BadFileError(f"array {name!r:.80} has version {version} of .npy; expected 1.0 or 2.0: {_CURE}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about Python 2, which wrote longer headers
        shape, fortran_order, dtype = readers[version](source)
    if any(length < 0 for length in shape):
        raise BadFileError(f"array {name!r:.80} has shape {shape!s:.80}; expected no negative length: {_CURE}")
    return shape, fortran_order, dtype, source.tell()
