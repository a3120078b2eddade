"""The way down: a model as one array, or as what changed since the version of it that a client holds.

A server with `DecodeUpdates(..., downlink=...)` keeps a public model, which differs from its own by what its messages
did not say yet, and names every version of it by a digest. A train or evaluate message brings a version in one of two
ways:

- whole: an ArrayRecord with one array of bytes, all arrays of the model end to end;
- deltas: messages of a codec, each with the digest of the version that it is to be added to. A client that holds any of
  these versions applies the rest; one that holds none answers that its base is missing, and is sent the whole model.

In the message's config, beside what the server tells otherwise:

    "surp-fl:version"  bytes   digest of the model that the client ends up with
    "surp-fl:arrays"   str     name of the ArrayRecord that the app expects
    "surp-fl:keep"     bool    whether deltas to this version may follow
    "surp-fl:form"     bytes   JSON, [name, shape, dtype] of each array; with a whole model
    "surp-fl:bases"    list    digests; with deltas
    "surp-fl:deltas"   list    messages; with deltas
    "surp-fl:exact"    bytes   the integer and boolean arrays of the version; with deltas, where the model has any

Knows Flower's records and codecs. Does not know who sends what to whom.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from surp_fl.codecs import reader_of
from surp_fl.layout import Layout
from surp_fl.message import MalformedMessage
from surp_fl.record import NAME, record_of

Arrays = dict[str, NDArray[Any]]

VERSION = f"{NAME}:version"
MISSING = f"{NAME}:missing"  # in a client's reply: it holds no version that the deltas could be added to
_ARRAYS = f"{NAME}:arrays"
_FORM = f"{NAME}:form"
_BASES = f"{NAME}:bases"
_DELTAS = f"{NAME}:deltas"
_EXACT = f"{NAME}:exact"
_KEEP = f"{NAME}:keep"
_OURS = (VERSION, _ARRAYS, _FORM, _BASES, _DELTAS, _EXACT, _KEEP)
_PACKED = f"{NAME}:packed"  # the ArrayRecord
_DIGEST = 8  # bytes


def digest_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Eight bytes that two models share when their names, shapes, dtypes and values do."""
    digest = hashlib.blake2b(_form_of(arrays), digest_size=_DIGEST)
    for array in arrays.values():
        digest.update(_little_endian(array).data if array.size else b"")
    return digest.digest()


@dataclass(frozen=True)
class Packed:
    """A whole model as one array, for any number of messages to share.

    Attributes:
        record: with the one array.
        form: names, shapes and dtypes.
    """

    record: ArrayRecord
    form: bytes

    @classmethod
    def of(cls, arrays: Arrays) -> Packed:
        """Lay all arrays end to end."""
        parts = [_little_endian(array).reshape(-1).view(np.uint8) for array in arrays.values() if array.size]
        record = ArrayRecord({"model": Array(np.concatenate(parts) if parts else np.zeros(1, np.uint8))})
        return cls(record, _form_of(arrays))


def put_whole(content: RecordDict, name: str, packed: Packed, version: bytes, keep: bool) -> RecordDict:
    """The content of a message that brings a whole model, in place of one that holds its ArrayRecord, of this name."""
    told = {VERSION: version, _ARRAYS: name, _FORM: packed.form, _KEEP: keep}
    return _with(content, name, told, {_PACKED: packed.record})


def put_deltas(
    content: RecordDict, name: str, deltas: list[tuple[bytes, bytes]], exact: bytes, version: bytes
) -> RecordDict:
    """The content of a message that brings deltas, each with the digest of its base, oldest first."""
    told: dict[str, Any] = {VERSION: version, _ARRAYS: name, _KEEP: True}
    if deltas:
        told |= {_BASES: [base for base, _ in deltas], _DELTAS: [delta for _, delta in deltas]}
    if exact:
        told[_EXACT] = exact
    return _with(content, name, told, {})


def _with(content: RecordDict, name: str, told: dict[str, Any], more: dict[str, ArrayRecord]) -> RecordDict:
    """Without the ArrayRecord; with entries in its first ConfigRecord, since each record is an object on the wire."""
    config_name = next(iter(content.config_records), NAME)
    config = ConfigRecord({**content.config_records.get(config_name, {}), **told})
    others = {each: record for each, record in content.items() if each != name}
    return RecordDict({**others, **more, config_name: config})


def exact_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The integer and boolean arrays of a model, end to end."""
    return b"".join(_little_endian(array).tobytes() for array in arrays.values() if array.dtype.kind != "f")


def brings_version(content: RecordDict) -> bool:
    """Whether a message brings its model in one of the ways of this file."""
    return any(VERSION in config for config in content.config_records.values())


@dataclass(frozen=True)
class Brought:
    """What a message brings.

    Attributes:
        arrays: the model; None where the client holds nothing that the deltas could be added to.
        name: of the ArrayRecord that the app expects.
        keep: whether deltas to this model may follow.
        version: digest of the model.
        base: digest of what the client holds, where it had to be known.
    """

    arrays: Arrays | None
    name: str
    keep: bool
    version: bytes
    base: bytes | None = None


def brought(content: RecordDict, held: Arrays | None) -> Brought:
    """Read the model that a message brings.

    Args:
        content: of the message.
        held: the version that this client holds; None for none.

    Raises:
        MalformedMessage: what was sent is not what it says.
    """
    config = next(config for config in content.config_records.values() if VERSION in config)
    version, name, keep = config[VERSION], config.get(_ARRAYS), bool(config.get(_KEEP))
    if not isinstance(version, bytes) or not isinstance(name, str):
        raise MalformedMessage("the server's message names a version, but not as bytes, or no name of the arrays")
    if _PACKED in content.array_records:
        arrays = _unpacked(content.array_records[_PACKED], config.get(_FORM))
        if digest_of(arrays) != version:
            raise MalformedMessage("the model that was sent is not the version that it is said to be")
        return Brought(arrays, name, keep, version)
    bases, deltas = config.get(_BASES, []), config.get(_DELTAS, [])
    if not isinstance(bases, list) or not isinstance(deltas, list) or len(bases) != len(deltas):
        raise MalformedMessage("the server's message has deltas, but not one base for each")
    now = None if held is None else digest_of(held)
    if held is None or now == version:
        return Brought(held, name, keep, version, now)
    lacking = [delta for _, delta in itertools.dropwhile(lambda pair: pair[0] != now, zip(bases, deltas, strict=True))]
    if not lacking:
        return Brought(None, name, keep, version, now)
    arrays = _advanced(held, lacking, config.get(_EXACT, b""))
    right = digest_of(arrays) == version  # else the whole makes it good
    return Brought(arrays if right else None, name, keep, version, now)


def plain(content: RecordDict, name: str, arrays: Arrays) -> RecordDict:
    """What the app would have been sent without all this: its ArrayRecord, and its configs without our entries."""
    found: dict[str, Any] = {name: record_of(arrays)}
    for each, record in content.items():
        if isinstance(record, ConfigRecord):
            found[each] = ConfigRecord({key: value for key, value in record.items() if key not in _OURS})
        elif each != _PACKED:
            found[each] = record
    return RecordDict(found)


def added(layout: Layout, vector: NDArray[np.float32], message: Any) -> NDArray[np.float32]:
    """A version's vector, plus a delta that was coded against it; the same on both ends, to the bit."""
    if not isinstance(message, bytes):
        raise MalformedMessage(f"a delta is {type(message).__name__}; expected bytes")
    indices, values = reader_of(message).decode_sparse(message, layout, reference=vector)
    after = vector.copy()
    after[indices] += values
    if any(spec.dtype.itemsize < after.itemsize for spec in layout.floats):
        return layout.flatten_floats(layout.floats_of(after, copy=False))  # as it will be held
    return after


def _advanced(held: Arrays, deltas: list[Any], exact: Any) -> Arrays:
    layout = Layout.of(held)
    vector = layout.flatten(held)
    for delta in deltas:
        vector = added(layout, vector, delta)
    sizes = [spec.size * spec.dtype.itemsize for spec in layout.exact]
    if not isinstance(exact, bytes) or len(exact) != sum(sizes):
        raise MalformedMessage(f"the exact arrays take {sum(sizes)} bytes; found {len(exact)}")
    return layout.unflatten(vector, _cut(exact, [(spec.name, spec.shape, spec.dtype) for spec in layout.exact]))


def _form_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    form = [[name, list(array.shape), array.dtype.newbyteorder("=").str[1:]] for name, array in arrays.items()]
    return json.dumps(form, separators=(",", ":")).encode()


def _unpacked(record: ArrayRecord, form: Any) -> Arrays:
    """Cut one array of bytes into the model's arrays; sizes are checked before anything is made."""
    try:
        specs = [(str(name), tuple(map(int, shape)), np.dtype(f"<{dtype}")) for name, shape, dtype in json.loads(form)]
        packed = record["model"].numpy()
    except (TypeError, ValueError, KeyError) as fault:
        raise MalformedMessage(f"the form of the model that was sent cannot be read: {fault}") from fault
    sizes = [int(np.prod(shape, dtype=object)) * dtype.itemsize for _, shape, dtype in specs]
    whole = packed.size if packed.dtype == np.uint8 and packed.ndim == 1 else -1
    if any(dtype.kind not in "fiub" for *_, dtype in specs) or min(sizes, default=0) < 0 or max(sum(sizes), 1) != whole:
        raise MalformedMessage(f"the model's form needs {sum(sizes)} bytes of numbers; found {packed.dtype}[{whole}]")
    return _cut(packed.data, specs)


def _cut(data: bytes | memoryview, specs: list[tuple[str, tuple[int, ...], np.dtype[Any]]]) -> Arrays:
    """Little-endian bytes, whose length was checked, as new arrays of these names, shapes and dtypes."""
    arrays, start = {}, 0
    for name, shape, dtype in specs:
        count = math.prod(shape)
        part = np.frombuffer(data, dtype.newbyteorder("<"), count, start) if count else np.empty(0, dtype)
        arrays[name] = part.astype(dtype.newbyteorder("=")).reshape(shape)
        start += count * dtype.itemsize
    return arrays


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
