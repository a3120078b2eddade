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
    UNTIED,
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


@dataclass(frozen=True)
class Delta:
    """From one version to the next.

    Attributes:
        base: digest of the version that it is added to.
        change: the encoded difference.
        untied: whether it encodes arrays separately that are equal in its base, because they no longer are after it.
    """

    base: bytes
    change: Change
    untied: bool = False


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
    content: RecordDict, name: str, deltas: Iterable[Delta], version: bytes, kinds: Kinds | None
) -> RecordDict:
    """Replace the ArrayRecord of a message by deltas.

    Args:
        content: of the message, as the strategy made it.
        name: of its ArrayRecord.
        deltas: oldest first.
        version: digest of the model that they lead to.
        kinds: which arrays are running statistics, where the user says so.

    Returns:
        New content.
    """
    entries: dict[str, Any] = {VERSION: version, ARRAYS_NAME: name, KEEP: True}
    if kinds is not None:
        entries[KINDS] = json.dumps(dict(kinds))
    if chain := list(deltas):
        entries |= {BASES: [each.base for each in chain], DELTAS: [each.change.message for each in chain]}
    if any(each.change.statistics or each.change.integers for each in chain):
        entries[SECTIONS] = [
            b"".join(_LENGTH.pack(len(section)) + section for section in (change.statistics, change.integers))
            for change in (each.change for each in chain)
        ]
    if any(each.untied for each in chain):
        entries[UNTIED] = [each.untied for each in chain]
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
    chain = _chain_in(config)
    base = None if local is None else digest_of(local)
    if local is None or base == version:
        return ReceivedModel(local, name, keep, version, base)
    lacking = list(itertools.dropwhile(lambda entry: entry[0] != base, chain))
    after: Arrays | None = None
    if lacking:
        try:
            after = local
            for start, encoded, sections, untied in lacking:
                delta = Delta(start, _change_of(encoded, sections), untied is True)
                after = apply_delta(Layout.of(after, kinds), after, delta)
        except MalformedMessage as fault:  # reported as a missing base: the server will resend the full model
            log.warning("surp-fl: a delta cannot be read, the full model is requested: %s", printable(fault))
    valid = after is not None and digest_of(after) == version
    return ReceivedModel(after if valid else None, name, keep, version, base)


def _chain_in(config: ConfigRecord) -> list[tuple[Any, Any, Any, Any]]:
    """Of each delta in a message: the digest of its base, its message, its sections, and whether it is untied."""
    bases = config.get(BASES, [])
    if not isinstance(bases, list):
        raise MalformedMessage(f"the server's message has {type(bases).__name__} in place of the bases of its deltas")
    columns = {
        "messages": config.get(DELTAS, []),
        "sections": config.get(SECTIONS, [_NO_SECTIONS] * len(bases)),
        "flags": config.get(UNTIED, [False] * len(bases)),
    }
    for name, column in columns.items():
        found = len(column) if isinstance(column, list) else 0
        if found != len(bases):
            raise MalformedMessage(f"the server's message has {len(bases)} deltas, and {name} of {found}")
    return list(zip(bases, *columns.values(), strict=True))  # type: ignore[arg-type]


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


def apply_delta(layout: Layout, arrays: Arrays, delta: Delta, vector: NDArray[np.float32] | None = None) -> Arrays:
    """Compute the version after a delta; the same bits on server and clients.

    Args:
        layout: of the base.
        arrays: the base of the delta.
        delta: what is added to it.
        vector: the base as one vector, of the layout that the delta has, if it is at hand; float32, shape (n,).

    Returns:
        New arrays, in the model's dtypes.

    Raises:
        MalformedMessage: a section of the change is not valid.
    """
    layout, change = layout.untied if delta.untied else layout, delta.change
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
