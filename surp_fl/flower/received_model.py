"""What a client makes of the model in a message: see model_messages.py for the forms in which it comes.

Knows Flower's records. Does not know where the client keeps its version, or what the app does with it.
"""

from __future__ import annotations

import itertools
import logging
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flwr.app import ConfigRecord, RecordDict

from surp_fl.change import Change
from surp_fl.errors import MalformedMessage
from surp_fl.flower.delta import Delta, apply_delta, reference_of
from surp_fl.flower.packed_model import digest_of, unpack_model
from surp_fl.flower.protocol import (
    ARRAYS_NAME,
    BASES,
    COMPRESSED,
    DELTAS,
    FILE,
    INITIAL,
    KEEP,
    MANIFEST,
    MAX_DELTAS,
    MERGED,
    ORIGIN,
    PACKED,
    SECTIONS,
    UNTIED,
    VERSION,
)
from surp_fl.layout import Layout
from surp_fl.merged_change import apply_merged
from surp_fl.printable import printable
from surp_fl.statistics import Kinds
from surp_fl.types import Arrays

log = logging.getLogger("flwr")

_LENGTH = struct.Struct("<I")
_NO_SECTIONS = bytes(2 * _LENGTH.size)


@dataclass(frozen=True)
class ReceivedModel:
    """The model that a message carries.

    Attributes:
        arrays: the model; None if the client holds no base of the deltas.
        name: of the ArrayRecord that the app expects.
        keep: whether deltas to this version may follow.
        version: digest of the model.
        base: digest of the client's local version, if it was computed.
        origin: of the deltas that may follow, at least its trained arrays; None for none.
    """

    arrays: Arrays | None
    name: str
    keep: bool
    version: bytes
    base: bytes | None = None
    origin: Arrays | None = None


def receive_model(
    content: RecordDict,
    local: Arrays | None,
    kinds: Kinds | None = None,
    make_initial: Callable[[str], Arrays | None] = lambda name: None,
    load_origin: Callable[[Arrays], Arrays | None] = lambda local: None,
) -> ReceivedModel:
    """Read the model that a message carries.

    Args:
        content: of the message.
        local: the version that this client holds; None for none.
        kinds: which arrays are running statistics; None recognises them by name.
        make_initial: makes the initial model of a name, None where it cannot; called if the server announces one, and
            no change in the message leads on from `local`.
        load_origin: gives the origin of `local`; None where the client has none.

    Raises:
        MalformedMessage: an entry has the wrong type, or a full model is not the version that the message names.
    """
    config = next(config for config in content.config_records.values() if VERSION in config)
    version, name, keep = config[VERSION], config.get(ARRAYS_NAME), bool(config.get(KEEP))
    if not isinstance(version, bytes) or not isinstance(name, str):
        raise MalformedMessage("the server's message names a version, but not as bytes, or no name of the arrays")
    chain, merged = _chain_in(config), config.get(MERGED)
    base: bytes | None = None
    for arrays, origin in _bases(content, config, local, make_initial, load_origin):
        digest = digest_of(arrays)
        base = digest if arrays is local else base
        if digest == version:
            return ReceivedModel(arrays, name, keep, version, base, origin)
        try:
            after = _after(arrays, origin, digest, chain, merged, config.get(BASES), kinds)
        except MalformedMessage as fault:  # at last reported as a missing base: the server will resend the full model
            log.warning("surp-fl: a change of the model cannot be read: %s", printable(fault))
            continue
        if after is not None and digest_of(after) == version:
            return ReceivedModel(after, name, keep, version, base, origin)
        if arrays is not local and PACKED not in content.array_records:
            log.warning(
                "surp-fl: the initial model that this client makes (digest %s) is not the server's: another seed, or "
                "another build of a library? The full model is requested",
                digest.hex(),
            )
    if PACKED in content.array_records:
        raise MalformedMessage("the model that was sent is not the version that it is said to be")
    return ReceivedModel(None, name, keep, version, base)


def _bases(
    content: RecordDict,
    config: ConfigRecord,
    local: Arrays | None,
    make_initial: Callable[[str], Arrays | None],
    load_origin: Callable[[Arrays], Arrays | None],
) -> Iterator[tuple[Arrays, Arrays | None]]:
    """The models that changes may be applied to, with the origin of each.

    That is the full model in the message; without one, the local version, and then the initial model that is announced.
    """
    initial, begins = config.get(INITIAL), config.get(ORIGIN) is True
    if PACKED in content.array_records:
        full = unpack_model(
            content.array_records[PACKED],
            config.get(MANIFEST),
            config.get(COMPRESSED) is True,
            config.get(FILE) is True,
        )
        yield full, full if begins else None
        return
    if local is not None:
        yield local, load_origin(local)
    if isinstance(initial, str) and (made := make_initial(initial)) is not None:
        yield made, made if begins else None


def _after(
    arrays: Arrays,
    origin: Arrays | None,
    digest: bytes,
    chain: list[Any],
    merged: Any,
    bases: Any,
    kinds: Kinds | None,
) -> Arrays | None:
    """The model after the changes in a message that lead on from this one; None if none do."""
    if merged is not None:
        return apply_merged(arrays, merged, kinds) if bases == [digest] and isinstance(merged, bytes) else None
    lacking = list(itertools.dropwhile(lambda entry: entry[0] != digest, chain))
    for start, encoded, sections, untied in lacking:
        delta = Delta(start, _change_of(encoded, sections), untied is True)
        layout = Layout.of(arrays, kinds)
        layout = layout.untied if delta.untied else layout
        arrays = apply_delta(layout, arrays, delta, reference_of(layout, arrays, origin))
    return arrays if lacking else None


def _chain_in(config: ConfigRecord) -> list[tuple[Any, Any, Any, Any]]:
    """Of each delta in a message: the digest of its base, its message, its sections, and whether it is untied."""
    bases = config.get(BASES, []) if MERGED not in config else []
    if not isinstance(bases, list):
        raise MalformedMessage(f"the server's message has {type(bases).__name__} in place of the bases of its deltas")
    if len(bases) > MAX_DELTAS:
        raise MalformedMessage(f"the server's message has {len(bases)} deltas; a client applies {MAX_DELTAS} at most")
    columns = {
        "messages": config.get(DELTAS, []),
        "sections": config.get(SECTIONS, [_NO_SECTIONS] * len(bases)),
        "flags": config.get(UNTIED, [False] * len(bases)),
    }
    for name, column in columns.items():
        found = len(column) if isinstance(column, list) else -1
        if found != len(bases):
            of = found if found >= 0 else "no list"
            raise MalformedMessage(f"the server's message has {len(bases)} deltas, and {name} of {of}")
    return list(zip(bases, *columns.values(), strict=True))  # type: ignore[arg-type]


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
