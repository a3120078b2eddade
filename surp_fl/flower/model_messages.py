"""The way down: a model as one array, or as what changed since the version of it that a client holds.

A server with `DecodeUpdates(..., downlink=...)` keeps a public model, which differs from its own by what its messages
did not say yet, and names every version of it by a digest. A train or evaluate message brings a version in one of two
ways:

- whole: an ArrayRecord with one array of bytes, all arrays of the model end to end;
- deltas: messages of a codec, each with the digest of the version that it is to be added to. A client that holds any of
  these versions applies the rest; one that holds none answers that its base is missing, and is sent the whole model.

The keys of both: protocol.py. Knows Flower's records and codecs. Does not know who sends what to whom.
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


def put_full_model(content: RecordDict, name: str, packed: Packed, keep: bool, kinds: Kinds | None = None) -> RecordDict:
    """The content of a message that brings a whole model, in place of one that holds its ArrayRecord, of this name."""
    told: dict[str, Any] = {VERSION: packed.version, ARRAYS_NAME: name, MANIFEST: packed.form, KEEP: keep}
    if kinds is not None:
        told[KINDS] = json.dumps(dict(kinds))
    return _with(content, name, told, {PACKED: packed.record})


def put_deltas(
    content: RecordDict, name: str, deltas: Iterable[tuple[bytes, Change]], version: bytes, kinds: Kinds | None
) -> RecordDict:
    """The content of a message that brings deltas.

    Args:
        content: of the message, as the strategy made it.
        name: of its ArrayRecord.
        deltas: each with the digest of its base, oldest first.
        version: digest of the model that they lead to.
        kinds: the user's word on which arrays are running statistics.
    """
    told: dict[str, Any] = {VERSION: version, ARRAYS_NAME: name, KEEP: True}
    if kinds is not None:
        told[KINDS] = json.dumps(dict(kinds))
    if pairs := list(deltas):
        told |= {BASES: [base for base, _ in pairs], DELTAS: [change.message for _, change in pairs]}
    if any(change.statistics or change.exact for _, change in pairs):
        told[SECTIONS] = [
            b"".join(_LENGTH.pack(len(section)) + section for section in (change.statistics, change.exact))
            for _, change in pairs
        ]
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
class ReceivedModel:
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


def receive_model(content: RecordDict, held: Arrays | None, kinds: Kinds | None = None) -> ReceivedModel:
    """Read the model that a message brings.

    Args:
        content: of the message.
        held: the version that this client holds; None for none.
        kinds: the server's word on which arrays are running statistics.

    Raises:
        MalformedMessage: what was sent is not what it says.
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
    others = config.get(SECTIONS, [_NO_SECTIONS] * len(deltas))
    if not isinstance(others, list) or len(others) != len(deltas):
        raise MalformedMessage("the server's message has other sections than deltas")
    now = None if held is None else digest_of(held)
    if held is None or now == version:
        return ReceivedModel(held, name, keep, version, now)
    all_of_it = zip(bases, deltas, others, strict=True)
    lacking = [told[1:] for told in itertools.dropwhile(lambda told: told[0] != now, all_of_it)]
    after: Arrays | None = None
    if lacking:
        try:
            after = held
            for message, sections in lacking:
                after = apply_delta(Layout.of(after, kinds), after, _change_of(message, sections))
        except MalformedMessage as fault:  # the whole model makes it good
            log.warning(
                "surp-fl: what changed in the model cannot be read, the whole is asked for: %s", printable(fault)
            )
    right = after is not None and digest_of(after) == version
    return ReceivedModel(after if right else None, name, keep, version, now)


def plain(content: RecordDict, name: str, arrays: Arrays) -> RecordDict:
    """What the app would have been sent without all this: its ArrayRecord, and its configs without our entries."""
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
    """The version that a change leads to; the same on both ends, to the bit.

    Args:
        layout: of the model.
        arrays: of the version that the change was made against.
        change: of all arrays.
        vector: those of them that the layout lays into a vector, where that is at hand.

    Returns:
        New arrays, in the model's dtypes.

    Raises:
        MalformedMessage: a section of the change cannot be read.
    """
    reference = layout.flatten(arrays) if vector is None else vector
    update = reader_of(change.message).decode(change.message, layout, reference=reference)
    return layout.assembled(layout.rounded(layout.moved(arrays, update)), change.others(arrays, layout))


def _change_of(message: Any, sections: Any) -> Change:
    if not isinstance(message, bytes) or not isinstance(sections, bytes):
        raise MalformedMessage(f"a delta is {type(message).__name__} and {type(sections).__name__}; expected bytes")
    found = []
    at = 0
    for _ in range(2):
        if at + _LENGTH.size > len(sections):
            raise MalformedMessage(f"the sections of a delta end after {len(sections)} bytes, within a length")
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(sections, at)[0]
        found.append(sections[start:at])
    if at != len(sections):
        raise MalformedMessage(f"the sections of a delta take {at} bytes; found {len(sections)}")
    return Change(message, *found)
