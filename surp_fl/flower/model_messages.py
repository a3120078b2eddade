"""The downlink: a model as one packed array, or as deltas to a version of it that the client holds.

A server with `DecodeUpdates(..., downlink=...)` keeps a public model, which differs from its own by what its deltas
have not encoded yet, and identifies every version of it by a digest. A train or evaluate message carries a version in
one of two forms:

- full: an ArrayRecord with one array of bytes, all arrays of the model end to end;
- deltas: codec messages, each with the digest of the version that it is added to, its base. A client that holds any of
  these bases applies the deltas from there on; one that holds none replies that its base is missing, and is sent the
  full model.

The keys of both: protocol.py. Knows Flower's records and codecs. Does not know which node is sent what.
"""

from __future__ import annotations

import itertools
import json
import logging
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from surp_fl.change import Change
from surp_fl.codecs import reader_of
from surp_fl.errors import MalformedMessage
from surp_fl.flower.packed_model import Packed, digest_of, unpack_model
from surp_fl.flower.protocol import (
    ARRAYS_NAME,
    BASES,
    DELTAS,
    DOWN,
    KEEP,
    KINDS,
    MANIFEST,
    NAME,
    PACKED,
    SECTIONS,
    VERSION,
)
from surp_fl.flower.records import record_of
from surp_fl.layout import Layout
from surp_fl.printable import printable
from surp_fl.statistics import Kinds
from surp_fl.types import Arrays

log = logging.getLogger("flwr")

_LENGTH = struct.Struct("<I")
_NO_SECTIONS = bytes(2 * _LENGTH.size)


def put_full_model(
    content: RecordDict, name: str, packed: Packed, keep: bool, kinds: Kinds | None = None
) -> RecordDict:
    """Replace the ArrayRecord of a message by the full model as one array.

    Args:
        content: of the message, as the strategy made it.
        name: of its ArrayRecord.
        packed: the model.
        keep: whether deltas to this version may follow, so that the client has to keep it.
        kinds: which arrays are running statistics, where the user says so.

    Returns:
        New content.
    """
    entries: dict[str, Any] = {VERSION: packed.version, ARRAYS_NAME: name, MANIFEST: packed.manifest, KEEP: keep}
    if kinds is not None:
        entries[KINDS] = json.dumps(dict(kinds))
    return _replaced(content, name, entries, {PACKED: packed.record})


def put_deltas(
    content: RecordDict, name: str, deltas: Iterable[tuple[bytes, Change]], version: bytes, kinds: Kinds | None
) -> RecordDict:
    """Replace the ArrayRecord of a message by deltas.

    Args:
        content: of the message, as the strategy made it.
        name: of its ArrayRecord.
        deltas: each with the digest of its base, oldest first.
        version: digest of the model that they lead to.
        kinds: which arrays are running statistics, where the user says so.

    Returns:
        New content.
    """
    entries: dict[str, Any] = {VERSION: version, ARRAYS_NAME: name, KEEP: True}
    if kinds is not None:
        entries[KINDS] = json.dumps(dict(kinds))
    if pairs := list(deltas):
        entries |= {BASES: [base for base, _ in pairs], DELTAS: [change.message for _, change in pairs]}
    if any(change.statistics or change.integers for _, change in pairs):
        entries[SECTIONS] = [
            b"".join(_LENGTH.pack(len(section)) + section for section in (change.statistics, change.integers))
            for _, change in pairs
        ]
    return _replaced(content, name, entries, {})


def _replaced(content: RecordDict, name: str, entries: dict[str, Any], records: dict[str, ArrayRecord]) -> RecordDict:
    """Remove the ArrayRecord; put the entries into the first ConfigRecord, as each record is an object on the wire."""
    config_name = next(iter(content.config_records), NAME)
    config = ConfigRecord({**content.config_records.get(config_name, {}), **entries})
    others = {each: record for each, record in content.items() if each != name}
    return RecordDict({**others, **records, config_name: config})


def carries_version(content: RecordDict) -> bool:
    """Whether a message carries its model in one of the forms of this file."""
    return any(VERSION in config for config in content.config_records.values())


@dataclass(frozen=True)
class ReceivedModel:
    """The model that a message carries.

    Attributes:
        arrays: the model; None if the client holds no base of the deltas.
        name: of the ArrayRecord that the app expects.
        keep: whether deltas to this version may follow.
        version: digest of the model.
        base: digest of the client's local version, if it was computed.
    """

    arrays: Arrays | None
    name: str
    keep: bool
    version: bytes
    base: bytes | None = None


def receive_model(content: RecordDict, local: Arrays | None, kinds: Kinds | None = None) -> ReceivedModel:
    """Read the model that a message carries.

    Args:
        content: of the message.
        local: the version that this client holds; None for none.
        kinds: which arrays are running statistics; None recognises them by name.

    Raises:
        MalformedMessage: an entry has the wrong type, or a full model is not the version that the message names.
    """
    config = next(config for config in content.config_records.values() if VERSION in config)
    version, name, keep = config[VERSION], config.get(ARRAYS_NAME), bool(config.get(KEEP))
    if not isinstance(version, bytes) or not isinstance(name, str):
        raise MalformedMessage("the server's message names a version, but not as bytes, or no name of the arrays")
    if PACKED in content.array_records:
        arrays = unpack_model(content.array_records[PACKED], config.get(MANIFEST))
        if digest_of(arrays) != version:
            raise MalformedMessage("the model that was sent is not the version that it is said to be")
        return ReceivedModel(arrays, name, keep, version)
    bases, deltas = config.get(BASES, []), config.get(DELTAS, [])
    if not isinstance(bases, list) or not isinstance(deltas, list) or len(bases) != len(deltas):
        raise MalformedMessage("the server's message has deltas, but not one base for each")
    sections = config.get(SECTIONS, [_NO_SECTIONS] * len(deltas))
    if not isinstance(sections, list) or len(sections) != len(deltas):
        raise MalformedMessage("the server's message has other sections than deltas")
    base = None if local is None else digest_of(local)
    if local is None or base == version:
        return ReceivedModel(local, name, keep, version, base)
    chain = zip(bases, deltas, sections, strict=True)
    lacking = [delta[1:] for delta in itertools.dropwhile(lambda delta: delta[0] != base, chain)]
    after: Arrays | None = None
    if lacking:
        try:
            after = local
            for message, others in lacking:
                after = apply_delta(Layout.of(after, kinds), after, _change_of(message, others))
        except MalformedMessage as fault:  # reported as a missing base: the server will resend the full model
            log.warning("surp-fl: a delta cannot be read, the full model is requested: %s", printable(fault))
    valid = after is not None and digest_of(after) == version
    return ReceivedModel(after if valid else None, name, keep, version, base)


def restore_content(content: RecordDict, name: str, arrays: Arrays) -> RecordDict:
    """Restore the content that the app expects: an ordinary ArrayRecord, and configs without our entries.

    Args:
        content: of the message that carried the model.
        name: of the ArrayRecord.
        arrays: the model.
    """
    found: dict[str, Any] = {name: record_of(arrays)}
    for each, record in content.items():
        if isinstance(record, ConfigRecord):
            left = {key: value for key, value in record.items() if key not in DOWN}
            if left or each != NAME:
                found[each] = ConfigRecord(left)
        elif each != PACKED:
            found[each] = record
    return RecordDict(found)


def apply_delta(layout: Layout, arrays: Arrays, change: Change, vector: NDArray[np.float32] | None = None) -> Arrays:
    """Compute the version after a delta; the same bits on server and clients.

    Args:
        layout: of the model.
        arrays: the base of the delta.
        change: the delta.
        vector: `layout.flatten(arrays)`, if it is at hand; float32, shape (n,).

    Returns:
        New arrays, in the model's dtypes.

    Raises:
        MalformedMessage: a section of the change is not valid.
    """
    reference = layout.flatten(arrays) if vector is None else vector
    update = reader_of(change.message).decode(change.message, layout, reference=reference)
    return layout.assembled(layout.rounded(layout.moved(arrays, update)), change.untrained(arrays, layout))


def _change_of(message: Any, sections: Any) -> Change:
    if not isinstance(message, bytes) or not isinstance(sections, bytes):
        raise MalformedMessage(f"a delta is {type(message).__name__} and {type(sections).__name__}; expected bytes")
    found = []
    offset = 0
    for _ in range(2):
        if offset + _LENGTH.size > len(sections):
            raise MalformedMessage(f"the sections of a delta end after {len(sections)} bytes, within a length")
        start = offset + _LENGTH.size
        offset = start + _LENGTH.unpack_from(sections, offset)[0]
        found.append(sections[start:offset])
    if offset != len(sections):
        raise MalformedMessage(f"the sections of a delta take {offset} bytes; found {len(sections)}")
    return Change(message, *found)
