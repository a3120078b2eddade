"""The downlink: a model as one packed array, or as deltas to a version of it that the client holds.

A server with `DecodeUpdates(..., downlink=...)` keeps a public model, which differs from its own by what its deltas
have not encoded yet, and identifies every version of it by a digest. A train or evaluate message carries a version in
one of three forms:

- full: an ArrayRecord with one array of bytes, all arrays of the model end to end, or compressed without loss;
- deltas: codec messages, each with the digest of the version that it is added to, its base. A client that holds any of
  these bases applies the deltas from there on; one that holds none replies that its base is missing, and is sent the
  full model;
- merged: all deltas since one base in one message, see merged_change.py.

A base may also be the initial model, which clients with `initial=` make by themselves: the message announces its name.
The keys: protocol.py. Knows Flower's records and codecs. Does not know which node is sent what.
"""

from __future__ import annotations

import itertools
import json
import logging
import struct
from collections.abc import Callable, Iterable, Iterator
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
    COMPRESSED,
    DELTAS,
    DOWN,
    EXPONENTS,
    INITIAL,
    KEEP,
    KINDS,
    MANIFEST,
    MERGED,
    NAME,
    PACKED,
    SECTIONS,
    UNTIED,
    VERSION,
)
from surp_fl.flower.records import record_of
from surp_fl.layout import Layout
from surp_fl.merged_change import apply_merged
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
    entries = _described({MANIFEST: packed.manifest}, name, packed.version, keep, kinds)
    if packed.compressed:
        entries[COMPRESSED] = True
    if packed.exponents:
        entries[EXPONENTS] = list(packed.exponents)
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


def put_initial(content: RecordDict, initial: str) -> RecordDict:
    """Announce that the base of a message may be the initial model of this name; new content."""
    found = dict(content)
    config_name = next(each for each, config in content.config_records.items() if VERSION in config)
    found[config_name] = ConfigRecord({**content.config_records[config_name], INITIAL: initial})
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


def receive_model(
    content: RecordDict,
    local: Arrays | None,
    kinds: Kinds | None = None,
    make_initial: Callable[[str], Arrays | None] = lambda name: None,
) -> ReceivedModel:
    """Read the model that a message carries.

    Args:
        content: of the message.
        local: the version that this client holds; None for none.
        kinds: which arrays are running statistics; None recognises them by name.
        make_initial: makes the initial model of a name, None where it cannot; called if the server announces one, and
            no change in the message leads on from `local`.

    Raises:
        MalformedMessage: an entry has the wrong type, or a full model is not the version that the message names.
    """
    config = next(config for config in content.config_records.values() if VERSION in config)
    version, name, keep = config[VERSION], config.get(ARRAYS_NAME), bool(config.get(KEEP))
    if not isinstance(version, bytes) or not isinstance(name, str):
        raise MalformedMessage("the server's message names a version, but not as bytes, or no name of the arrays")
    if PACKED in content.array_records:
        arrays = unpack_model(
            content.array_records[PACKED], config.get(MANIFEST), config.get(COMPRESSED) is True, config.get(EXPONENTS)
        )
        if digest_of(arrays) != version:
            raise MalformedMessage("the model that was sent is not the version that it is said to be")
        return ReceivedModel(arrays, name, keep, version)
    chain, merged = _chain_in(config), config.get(MERGED)
    base: bytes | None = None
    for arrays in _bases(local, config.get(INITIAL), make_initial):
        digest = digest_of(arrays)
        base = digest if arrays is local else base
        if digest == version:
            return ReceivedModel(arrays, name, keep, version, base)
        try:
            after = _after(arrays, digest, chain, merged, config.get(BASES), kinds)
        except MalformedMessage as fault:  # reported as a missing base: the server will resend the full model
            log.warning("surp-fl: a change cannot be read, the full model is requested: %s", printable(fault))
            break
        if after is not None and digest_of(after) == version:
            return ReceivedModel(after, name, keep, version, base)
        if arrays is not local:
            log.warning(
                "surp-fl: the initial model that this client makes (digest %s) is not the server's: another seed, or "
                "another build of a library? The full model is requested",
                digest.hex(),
            )
    return ReceivedModel(None, name, keep, version, base)


def _bases(local: Arrays | None, initial: Any, make_initial: Callable[[str], Arrays | None]) -> Iterator[Arrays]:
    """The models that a change may be applied to: the local version, then the initial model that is announced."""
    if local is not None:
        yield local
    if isinstance(initial, str) and (made := make_initial(initial)) is not None:
        yield made


def _after(
    arrays: Arrays, digest: bytes, chain: list[Any], merged: Any, bases: Any, kinds: Kinds | None
) -> Arrays | None:
    """The model after the changes in a message that lead on from this one; None if none do."""
    if merged is not None:
        return apply_merged(arrays, merged, kinds) if bases == [digest] and isinstance(merged, bytes) else None
    lacking = list(itertools.dropwhile(lambda entry: entry[0] != digest, chain))
    for start, encoded, sections, untied in lacking:
        delta = Delta(start, _change_of(encoded, sections), untied is True)
        arrays = apply_delta(Layout.of(arrays, kinds), arrays, delta)
    return arrays if lacking else None


def _chain_in(config: ConfigRecord) -> list[tuple[Any, Any, Any, Any]]:
    """Of each delta in a message: the digest of its base, its message, its sections, and whether it is untied."""
    bases = config.get(BASES, []) if MERGED not in config else []
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
