"""The downlink: a model as one packed array, or as changes of a version of it that the client holds.

A server with `DecodeUpdates(..., downlink=...)` keeps a public model, which differs from its own by what its deltas
have not encoded yet, and identifies every version of it by a digest. A train or evaluate message carries a version in
one of these forms:

- full: an ArrayRecord with one array of bytes, all arrays of the model end to end, or compressed without loss;
- deltas: codec messages, each with the digest of the version that it is added to, its base. A client that holds any of
  these bases applies the deltas from there on; one that holds none replies that its base is missing, and is sent the
  full model;
- merged: all deltas since one base in one message, see merged_change.py;
- full, and deltas or a merged change that lead on from it: the full model is then the origin of the deltas, see
  delta.py.

A base may also be the initial model, which clients with `initial=` make by themselves: the message announces its name.
The keys: protocol.py. The reading end: received_model.py. Knows Flower's records. Does not know which node is sent
what.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from surp_fl.flower.delta import Delta
from surp_fl.flower.packed_model import Packed
from surp_fl.flower.protocol import (
    ARRAYS_NAME,
    BASES,
    COMPRESSED,
    DELTAS,
    DOWN,
    FILE,
    INITIAL,
    KEEP,
    KINDS,
    MANIFEST,
    MERGED,
    NAME,
    ORIGIN,
    PACKED,
    SECTIONS,
    UNTIED,
    VERSION,
)
from surp_fl.flower.records import record_of
from surp_fl.statistics import Kinds
from surp_fl.types import Arrays

_LENGTH = struct.Struct("<I")


def put_full_model(
    content: RecordDict, name: str, packed: Packed, keep: bool, kinds: Kinds | None = None, origin: bool = False
) -> RecordDict:
    """Replace the ArrayRecord of a message by the full model as one array.

    Args:
        content: of the message, as the strategy made it.
        name: of its ArrayRecord.
        packed: the model.
        keep: whether deltas to this version may follow, so that the client has to keep it.
        kinds: which arrays are running statistics, where the user says so.
        origin: whether deltas will be coded against what has changed since this version.

    Returns:
        New content.
    """
    entries = _described({MANIFEST: packed.manifest}, name, packed.version, keep, kinds)
    if origin:
        entries[ORIGIN] = True
    if packed.compressed:
        entries[COMPRESSED] = True
    if packed.is_file:
        entries[FILE] = True
    return _replaced(content, name, entries, {PACKED: packed.record})


def put_deltas(
    content: RecordDict, name: str, deltas: Iterable[Delta], version: bytes, keep: bool, kinds: Kinds | None = None
) -> RecordDict:
    """Replace the ArrayRecord of a message by deltas; by none where the client holds the version.

    Args:
        content: of the message, as the strategy made it.
        name: of its ArrayRecord.
        deltas: oldest first.
        version: digest of the model that they lead to.
        keep: whether deltas to this version may follow, so that the client has to keep it.
        kinds: which arrays are running statistics, where the user says so.

    Returns:
        New content.
    """
    entries: dict[str, Any] = {}
    if chain := list(deltas):
        entries |= {BASES: [each.base for each in chain], DELTAS: [each.change.message for each in chain]}
    if any(each.change.statistics or each.change.integers for each in chain):
        entries[SECTIONS] = [
            b"".join(_LENGTH.pack(len(section)) + section for section in (change.statistics, change.integers))
            for change in (each.change for each in chain)
        ]
    if any(each.untied for each in chain):
        entries[UNTIED] = [each.untied for each in chain]
    return _replaced(content, name, _described(entries, name, version, keep, kinds), {})


def put_merged(
    content: RecordDict, name: str, base: bytes, merged: bytes, version: bytes, keep: bool, kinds: Kinds | None = None
) -> RecordDict:
    """Replace the ArrayRecord of a message by the merged change from a base; further arguments as for `put_deltas`.

    Args:
        base: digest of the model that it is applied to.
        merged: the change; see merged_change.py.
    """
    return _replaced(content, name, _described({BASES: [base], MERGED: merged}, name, version, keep, kinds), {})


def put_initial(content: RecordDict, initial: str, origin: bool = False) -> RecordDict:
    """Announce that the base of a message may be the initial model of this name; new content.

    Args:
        content: of a message with a version.
        initial: the name.
        origin: whether deltas were, or will be, coded against what has changed since that model.
    """
    found = dict(content)
    config_name = next(each for each, config in content.config_records.items() if VERSION in config)
    more: dict[str, Any] = {INITIAL: initial} | ({ORIGIN: True} if origin else {})
    found[config_name] = ConfigRecord({**content.config_records[config_name], **more})
    return RecordDict(found)


def _described(entries: dict[str, Any], name: str, version: bytes, keep: bool, kinds: Kinds | None) -> dict[str, Any]:
    """Add to the entries of a form what each form has."""
    entries |= {VERSION: version, ARRAYS_NAME: name, KEEP: keep}
    if kinds is not None:
        entries[KINDS] = json.dumps(dict(kinds))
    return entries


def _replaced(content: RecordDict, name: str, entries: dict[str, Any], records: dict[str, ArrayRecord]) -> RecordDict:
    """Remove the ArrayRecord; put the entries into the first ConfigRecord, as each record is an object on the wire."""
    config_name = next(iter(content.config_records), NAME)
    config = ConfigRecord({**content.config_records.get(config_name, {}), **entries})
    others = {each: record for each, record in content.items() if each != name}
    return RecordDict({**others, **records, config_name: config})


def carries_version(content: RecordDict) -> bool:
    """Whether a message carries its model in one of the forms of this file."""
    return any(VERSION in config for config in content.config_records.values())


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
