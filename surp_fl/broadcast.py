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
    "surp-fl:exact:…"  bytes   an integer or boolean array that is another than in the first base; with deltas

Knows Flower's records and codecs. Does not know who sends what to whom.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from surp_fl.codecs import reader_of
from surp_fl.layout import Layout
from surp_fl.message import MalformedMessage
from surp_fl.packing import Arrays, Packed, bytes_of, cut, digest_of, unpacked
from surp_fl.printable import printable
from surp_fl.record import NAME, record_of

log = logging.getLogger("flwr")

VERSION = f"{NAME}:version"
MISSING = f"{NAME}:missing"  # in a client's reply: it holds no version that the deltas could be added to
_ARRAYS = f"{NAME}:arrays"
_FORM = f"{NAME}:form"
_BASES = f"{NAME}:bases"
_DELTAS = f"{NAME}:deltas"
_EXACT = f"{NAME}:exact:"
_KEEP = f"{NAME}:keep"
_OURS = (VERSION, _ARRAYS, _FORM, _BASES, _DELTAS, _KEEP)
_PACKED = f"{NAME}:packed"  # the ArrayRecord


def put_whole(content: RecordDict, name: str, packed: Packed, keep: bool) -> RecordDict:
    """The content of a message that brings a whole model, in place of one that holds its ArrayRecord, of this name."""
    told = {VERSION: packed.version, _ARRAYS: name, _FORM: packed.form, _KEEP: keep}
    return _with(content, name, told, {_PACKED: packed.record})


def put_deltas(
    content: RecordDict,
    name: str,
    deltas: Iterable[tuple[bytes, bytes]],
    exact: Mapping[str, NDArray[Any]],
    version: bytes,
) -> RecordDict:
    """The content of a message that brings deltas.

    Args:
        content: of the message, as the strategy made it.
        name: of its ArrayRecord.
        deltas: each with the digest of its base, oldest first.
        exact: integer and boolean arrays that differ from the first base's.
        version: digest of the model that they lead to.
    """
    told: dict[str, Any] = {VERSION: version, _ARRAYS: name, _KEEP: True}
    if pairs := list(deltas):
        told |= {_BASES: [base for base, _ in pairs], _DELTAS: [delta for _, delta in pairs]}
    told |= {_EXACT + each: bytes_of(array).tobytes() for each, array in exact.items() if array.size}
    return _with(content, name, told, {})


def _with(content: RecordDict, name: str, told: dict[str, Any], more: dict[str, ArrayRecord]) -> RecordDict:
    """Without the ArrayRecord; with entries in its first ConfigRecord, since each record is an object on the wire."""
    config_name = next(iter(content.config_records), NAME)
    config = ConfigRecord({**content.config_records.get(config_name, {}), **told})
    others = {each: record for each, record in content.items() if each != name}
    return RecordDict({**others, **more, config_name: config})


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
        arrays = unpacked(content.array_records[_PACKED], config.get(_FORM))
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
    after: Arrays | None = None
    if lacking:
        try:
            after = _advanced(held, lacking, config)
        except MalformedMessage as fault:  # the whole model makes it good
            log.warning(
                "surp-fl: what changed in the model cannot be read, the whole is asked for: %s", printable(fault)
            )
    right = after is not None and digest_of(after) == version
    return Brought(after if right else None, name, keep, version, now)


def plain(content: RecordDict, name: str, arrays: Arrays) -> RecordDict:
    """What the app would have been sent without all this: its ArrayRecord, and its configs without our entries."""
    found: dict[str, Any] = {name: record_of(arrays)}
    for each, record in content.items():
        if isinstance(record, ConfigRecord):
            left = {key: value for key, value in record.items() if key not in _OURS and not key.startswith(_EXACT)}
            if left or each != NAME:
                found[each] = ConfigRecord(left)
        elif each != _PACKED:
            found[each] = record
    return RecordDict(found)


def add(
    layout: Layout, vector: NDArray[np.float32], message: Any, reference: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Add a delta to a version's vector, in place; the same on both ends, to the bit.

    Args:
        layout: of the model.
        vector: shape (n,); may be the reference.
        message: the delta.
        reference: the version's vector, which it was coded against.

    Returns:
        The vector, as arrays of the layout's dtypes hold it; another one where they are narrower than float32.

    Raises:
        MalformedMessage: it cannot be read.
    """
    if not isinstance(message, bytes):
        raise MalformedMessage(f"a delta is {type(message).__name__}; expected bytes")
    indices, values = reader_of(message).decode_sparse(message, layout, reference=reference)
    vector[indices] += values
    if any(spec.dtype.itemsize < vector.itemsize for spec in layout.floats):
        return layout.flatten_floats(layout.floats_of(vector, copy=False))
    return vector


def _advanced(held: Arrays, deltas: list[Any], config: ConfigRecord) -> Arrays:
    layout = Layout.of(held)
    vector = layout.flatten(held)
    for delta in deltas:
        vector = add(layout, vector, delta, vector)
    exact = dict(held)
    for spec in layout.exact:
        if (sent := config.get(_EXACT + spec.name)) is not None:
            size = math.prod(spec.shape) * spec.dtype.itemsize
            if not isinstance(sent, bytes) or len(sent) != size:
                raise MalformedMessage(f"the exact array '{spec.name}' needs {size} bytes; found {sent!r:.40}")
            exact |= cut(sent, [(spec.name, spec.shape, spec.dtype)])
    return layout.unflatten(vector, exact)
