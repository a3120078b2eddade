"""A whole model as one array of bytes, and the digest that names a model.

Flower fetches every array with a request of its own; a model whose arrays lie end to end takes one. What comes from the
network is measured against its form, names, shapes and dtypes in JSON, before anything is made of it.
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

from surp_fl.errors import MalformedMessage
from surp_fl.types import Arrays

Spec = tuple[str, tuple[int, ...], np.dtype[Any]]  # name, shape, dtype

_DIGEST = 8  # bytes
_DTYPES = {np.dtype(code).str[1:]: np.dtype(code) for code in "?bhilqBHILQefdg"}
_NAME = "model"  # of the one array
_NPY = b"\x93NUMPY"
_LARGEST = 1 << 48  # numbers in an array
_LONGEST = 1 << 24  # bytes of a form


def digest_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Eight bytes that two models share when their names, shapes, dtypes and values do."""
    digest = hashlib.blake2b(_form_of(arrays), digest_size=_DIGEST)
    for array in arrays.values():
        digest.update(bytes_of(array).data)
    return digest.digest()


@dataclass(frozen=True)
class Packed:
    """A whole model as one array, for any number of messages to share.

    Attributes:
        record: with the one array.
        form: names, shapes and dtypes.
        version: digest of the model.
    """

    record: ArrayRecord
    form: bytes
    version: bytes

    @classmethod
    def of(cls, arrays: Arrays) -> Packed:
        """Lay all arrays end to end."""
        parts = [bytes_of(array) for array in arrays.values()]
        whole = np.concatenate(parts) if any(part.size for part in parts) else np.zeros(1, np.uint8)
        return cls(ArrayRecord({_NAME: Array(whole)}), _form_of(arrays), digest_of(arrays))


def unpack_model(record: ArrayRecord, form: Any) -> Arrays:
    """Take the model apart again.

    Raises:
        MalformedMessage: the form is none, or the array has another size than it says.
    """
    specs = _specs_of(form)
    whole = max(1, sum(math.prod(shape) * dtype.itemsize for _, shape, dtype in specs))
    data = record[_NAME].data if _NAME in record else b""
    start = len(data)
    if data.startswith(_NPY) and len(data) > 12:
        size = struct.Struct("<H" if data[6] == 1 else "<I")
        start = 8 + size.size + size.unpack_from(data, 8)[0]
    if len(data) - start != whole:
        raise MalformedMessage(f"the model's form needs {whole} bytes of numbers; found {max(0, len(data) - start)}")
    return cut(memoryview(data)[start:], specs)


def cut(data: bytes | memoryview, specs: list[Spec]) -> Arrays:
    """Little-endian bytes, whose length was checked, as new arrays of these names, shapes and dtypes."""
    arrays, start = {}, 0
    for name, shape, dtype in specs:
        count = math.prod(shape)
        part = np.frombuffer(data, dtype.newbyteorder("<"), count, start) if count else np.empty(0, dtype)
        arrays[name] = part.astype(dtype.newbyteorder("=")).reshape(shape)
        start += count * dtype.itemsize
    return arrays


def bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The little-endian bytes of an array; shape (bytes,), without a copy where they lie like that."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


def _form_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    form = [[name, list(array.shape), array.dtype.newbyteorder("=").str[1:]] for name, array in arrays.items()]
    return json.dumps(form, separators=(",", ":")).encode()


def _specs_of(form: Any) -> list[Spec]:
    if not isinstance(form, bytes) or len(form) > _LONGEST:
        raise MalformedMessage(f"the form of the model that was sent is {form!r:.60}; expected JSON in bytes")
    try:
        found = json.loads(form)
    except (ValueError, RecursionError) as fault:
        raise MalformedMessage(f"the form of the model that was sent cannot be read: {fault}") from fault
    return [_spec_of(each) for each in (found if isinstance(found, list) else [found])]


def _spec_of(found: Any) -> Spec:
    match found:
        case [str(name), list(shape), str(dtype)] if (
            dtype in _DTYPES
            and len(shape) <= 32
            and all(type(size) is int and size >= 0 for size in shape)
            and math.prod(max(size, 1) for size in shape) <= _LARGEST
        ):
            return name, tuple(shape), _DTYPES[dtype]
    raise MalformedMessage(f"the form of the model has the entry {found!r:.60}; expected [name, shape, dtype]")
