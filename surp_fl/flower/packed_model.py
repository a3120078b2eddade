"""A full model as one array of bytes, and the digest that identifies a version of a model.

Flower fetches every array with a request of its own; a model whose arrays lie end to end, are compressed without loss,
or are a model file, takes one. Its size is checked against its manifest (names, shapes and dtypes in JSON) before any
array is made of it. Knows Flower's records. Does not know codecs.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from surp_fl import model_file
from surp_fl.errors import MalformedMessage
from surp_fl.lossless import MAX_RATIO, Spec, compress, decompress
from surp_fl.types import Arrays

_DIGEST_BYTES = 8
_DTYPES = {np.dtype(code).str[1:]: np.dtype(code) for code in "?bhilqBHILQefdg"}
_NAME = "model"  # of the one array
_NPY = b"\x93NUMPY"
_MAX_SIZE = 1 << 48  # elements of an array
_MAX_MANIFEST = 1 << 24  # bytes
_COMPRESS_FROM = 1 << 14  # bytes of a model: what a smaller one would save is less than one of Flower's requests takes
_WORTH = 0.97  # of a model's bytes: it is sent as it is where compression leaves more


def digest_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The digest of a model: 8 bytes of BLAKE2b over names, shapes, dtypes and values."""
    digest = hashlib.blake2b(_manifest_of(arrays), digest_size=_DIGEST_BYTES)
    for array in arrays.values():
        digest.update(bytes_of(array).data)
    return digest.digest()


@dataclass(frozen=True)
class Packed:
    """A full model as one array, which any number of messages can share.

    Attributes:
        record: with the one array.
        manifest: names, shapes and dtypes; JSON.
        version: digest of the model.
        payload: bytes of the one array.
        compressed: whether they are compressed.
        is_file: whether they are a model file, which is approximate; see model_file/.
    """

    record: ArrayRecord
    manifest: bytes
    version: bytes
    payload: int
    compressed: bool
    is_file: bool = False

    @classmethod
    def of_file(cls, arrays: Arrays, file: bytes) -> Packed:
        """An approximate model.

        Args:
            arrays: the model that clients will hold.
            file: the model file that they decode from.
        """
        record = ArrayRecord({_NAME: Array(np.frombuffer(file, np.uint8))})
        return cls(record, _manifest_of(arrays), digest_of(arrays), len(file), compressed=False, is_file=True)

    @classmethod
    def of(cls, arrays: Arrays) -> Packed:
        """Compress the arrays, or lay them end to end where that saves too little."""
        size = sum(array.nbytes for array in arrays.values())
        packed = np.frombuffer(compress(arrays), np.uint8) if size >= _COMPRESS_FROM else np.zeros(0, np.uint8)
        compressed = 0 < len(packed) < _WORTH * size
        if not compressed:
            parts = [bytes_of(array) for array in arrays.values()]
            packed = np.concatenate(parts) if size else np.zeros(1, np.uint8)
        payload = len(packed) if size else 0
        return cls(ArrayRecord({_NAME: Array(packed)}), _manifest_of(arrays), digest_of(arrays), payload, compressed)


def unpack_model(record: ArrayRecord, manifest: Any, compressed: bool = False, is_file: bool = False) -> Arrays:
    """Split the packed array into the arrays of the model.

    Args:
        record: with the one array.
        manifest: as it came, of any type.
        compressed: whether the array is compressed.
        is_file: whether it is a model file.

    Returns:
        New arrays, by name.

    Raises:
        MalformedMessage: the manifest is not valid, or the array does not have the size that it gives, or is no
            compressed model of that size.
    """
    specs = _specs_of(manifest)
    expected = max(1, sum(math.prod(shape) * dtype.itemsize for _, shape, dtype in specs))
    data = record[_NAME].data if _NAME in record else b""
    start = len(data)
    if data.startswith(_NPY) and len(data) > 12:
        size = struct.Struct("<H" if data[6] == 1 else "<I")
        start = 8 + size.size + size.unpack_from(data, 8)[0]
    if is_file:
        return _from_file(data[start:], specs)
    if compressed:
        return decompress(memoryview(data)[start:], specs)
    if len(data) - start != expected:
        raise MalformedMessage(
            f"the model's manifest needs {expected} bytes of numbers; found {max(0, len(data) - start)}"
        )
    return arrays_from_bytes(memoryview(data)[start:], specs)


def _from_file(file: bytes, specs: list[Spec]) -> Arrays:
    claimed = sum(math.prod(shape) * dtype.itemsize for _, shape, dtype in specs)
    if claimed > MAX_RATIO * len(file):
        raise MalformedMessage(f"a model file of {len(file):,} bytes for {claimed:,} bytes of arrays; expected less")
    found = model_file.decompress(file, max_bytes=claimed)
    if [(name, array.shape, array.dtype) for name, array in found.items()] != specs:
        raise MalformedMessage("the model file does not hold the arrays of the model's manifest")
    return found


def arrays_from_bytes(data: bytes | memoryview, specs: list[Spec]) -> Arrays:
    """Split little-endian bytes into new arrays.

    Args:
        data: of exactly the length that the specs give; the caller checks that.
        specs: name, shape and dtype of each array, in order.
    """
    arrays, start = {}, 0
    for name, shape, dtype in specs:
        count = math.prod(shape)
        part = np.frombuffer(data, dtype.newbyteorder("<"), count, start) if count else np.empty(0, dtype)
        arrays[name] = part.astype(dtype.newbyteorder("=")).reshape(shape)
        start += count * dtype.itemsize
    return arrays


def bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The little-endian bytes of an array, shape (bytes,); a view where the array is contiguous and little-endian."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


def _manifest_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    manifest = [[name, list(array.shape), array.dtype.newbyteorder("=").str[1:]] for name, array in arrays.items()]
    return json.dumps(manifest, separators=(",", ":")).encode()


def _specs_of(manifest: Any) -> list[Spec]:
    if not isinstance(manifest, bytes) or len(manifest) > _MAX_MANIFEST:
        raise MalformedMessage(f"the manifest of the model that was sent is {manifest!r:.60}; expected JSON in bytes")
    try:
        found = json.loads(manifest)
    except (ValueError, RecursionError) as fault:
        raise MalformedMessage(f"the manifest of the model that was sent cannot be read: {fault}") from fault
    return [_spec_of(each) for each in (found if isinstance(found, list) else [found])]


def _spec_of(found: Any) -> Spec:
    match found:
        case [str(name), list(shape), str(dtype)] if (
            dtype in _DTYPES
            and len(shape) <= 32
            and all(type(size) is int and size >= 0 for size in shape)
            and math.prod(max(size, 1) for size in shape) <= _MAX_SIZE
        ):
            return name, tuple(shape), _DTYPES[dtype]
    raise MalformedMessage(f"the manifest of the model has the entry {found!r:.60}; expected [name, shape, dtype]")
