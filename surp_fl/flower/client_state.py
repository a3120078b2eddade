"""What a client stores between rounds, in `Context.state`: read at the start of a round, written as its last step.

The keys: protocol.py. Knows Flower's Context. Does not know how a message is made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, RecordDict
from numpy.typing import NDArray

from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.protocol import (
    APPLIED,
    BUDGET,
    HELD,
    MODEL,
    NAME,
    ROUND,
    ROUNDS,
    SENT,
    SESSION,
    STATE_COPIES,
    STATE_FINGERPRINT,
    STATE_FIRST,
    STATE_HELD,
    STATE_MESSAGES,
    STATE_ROUND,
)
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.layout import Layout
from surp_fl.memory import SENT_SHARE, VECTORS, State
from surp_fl.statistics import Kinds
from surp_fl.types import Update
from surp_fl.updates import add_to, as_vector

log = logging.getLogger("flwr")


@dataclass(frozen=True)
class ServerDirectives:
    """What a train message tells the client beside the model; None for what it leaves out.

    Attributes:
        server_round: from 1, as the strategy counts; 0 if the message has no round.
        session: id of the server's session: the rounds that continue one model.
        session_round: the round within the session, from 1.
        retained_rounds: session rounds of which the server retains the model that this client was sent.
        applied: session round of this client's last message that was applied to the model; 0 for none.
        budget: bytes that a message may have; the least where several configs have one.
    """

    server_round: int
    session: int | None
    session_round: int
    retained_rounds: tuple[int, ...]
    applied: int | None
    budget: int | None

    @classmethod
    def of(cls, content: RecordDict) -> ServerDirectives:
        """Read the directives from the configs of a message.

        Raises:
            ValueError: a budget is not a whole number.
        """
        found = {key: value for config in content.config_records.values() for key, value in config.items()}

        def number(key: str) -> int | None:
            value = found.get(key)
            return value if isinstance(value, int) and not isinstance(value, bool) else None

        budgets: list[int] = []
        for config in content.config_records.values():
            budget = config.get(BUDGET, 0)
            if isinstance(budget, bool) or not isinstance(budget, int):
                raise ValueError(f"the train config has {BUDGET} = {budget!r:.99}; expected a whole number of bytes")
            budgets += [budget] if BUDGET in config else []
        rounds = found.get(ROUNDS, [])
        retained = [each for each in rounds if isinstance(each, int)] if isinstance(rounds, list) else []
        session_round = number(ROUND) or 0
        server_round = number("server-round")
        return cls(
            session_round if server_round is None else server_round,
            number(SESSION) if session_round else None,
            session_round,
            tuple(retained),
            number(APPLIED),
            min(budgets, default=None),
        )


@dataclass(frozen=True)
class StoredState:
    """What a client stored with its last message.

    Attributes:
        memory: vectors of its memory; the residual includes that message if the server never applied it.
        model: that it was sent in that round, if the server retains it too; float32, shape (n,).
        presence: share of the session's rounds, from the client's first message on, in which it sent one; 1 for a
            client that sent none yet.
    """

    memory: State
    model: NDArray[np.float32] | None
    presence: float = 1.0


def load(context: Context, layout: Layout, directives: ServerDirectives) -> StoredState:
    """Read the state; discard what belongs to another model or another session.

    Arrays that are tied in one round may differ in another, as biases that SuRP moves alike by chance: vectors are
    converted from the layout that they were stored in.

    Args:
        context: of the client.
        layout: of the model that was received.
        directives: of the server, in this round.
    """
    memory = stored_arrays(context, NAME)
    stored = _session_of(context)
    held = _held_layout(stored, layout)
    fits = all(_fits(each, held) for name, each in memory.items() if name in VECTORS)
    if not fits or (SENT_SHARE in memory and memory[SENT_SHARE].shape != ()):
        memory = {}
    same_session = stored.get(SESSION) == directives.session
    same_model = stored.get(STATE_FINGERPRINT) == held.fingerprint
    if memory and not (same_session and same_model):
        log.warning(
            "surp-fl: this client's memory is of another %s: it starts from nothing",
            "model (names or shapes differ)" if same_session else "run, whose model is not this one's",
        )
        memory = {}
    if directives.session is None or not same_session:
        return StoredState(_converted(memory, held, layout), None)
    last, applied = stored[STATE_ROUND], directives.applied
    assert isinstance(last, int)
    if applied is not None and applied < last and "residual" in memory and (sent := stored_arrays(context, SENT)):
        try:
            add_to(memory["residual"], (sent["indices"], sent["values"]) if "indices" in sent else sent["values"])
            log.info("surp-fl: the message of round %d was not applied: it is added back to the residual", last)
        except (LookupError, TypeError, ValueError) as fault:  # by arrays that somebody else wrote, or that are damaged
            log.warning("surp-fl: what this client sent in round %d cannot be read, and is lost: %r", last, fault)
    if applied is not None and applied > last:
        log.warning(
            "surp-fl: the server applied this client's message of round %d, and its state is of round %d: Flower did "
            "not save the later one, and the residual still holds what was sent since",
            applied,
            last,
        )
    retained = same_model and last in directives.retained_rounds
    model = stored_arrays(context, MODEL) if retained else {}
    has_model = "model" in model and _fits(model["model"], held)
    return StoredState(
        _converted(memory, held, layout),
        _converted(model, held, layout)["model"] if has_model else None,
        _presence(stored, directives),
    )


def save(
    context: Context,
    memory: State,
    sent: Update,
    model: NDArray[np.float32] | None,
    layout: Layout,
    directives: ServerDirectives,
    version: bytes | None = None,
) -> None:
    """Write the state of a round; a failure before this call, or within it, leaves the state as it was.

    Args:
        context: of the client.
        memory: vectors of its memory.
        sent: the message, decoded.
        model: that the client was sent, float32, shape (n,); None if no later message will be coded against it.
        layout: of that model.
        directives: of the server, in this round.
        version: digest of the local version, if the model equals it: then the model is not stored a second time.
    """
    stored: dict[str, int | bytes | list[str]] = {STATE_FINGERPRINT: layout.fingerprint}
    if layout.copies:
        stored[STATE_COPIES] = [name for pair in layout.copies for name in pair]
    in_session = directives.session is not None
    if directives.session is not None:
        before = _session_of(context)
        first, messages = _first_and_messages(before, directives) or (directives.session_round, 0)
        stored |= {SESSION: directives.session, STATE_ROUND: directives.session_round}
        stored |= {STATE_FIRST: first, STATE_MESSAGES: messages + 1}
    if in_session and version is not None and model is not None:
        stored[STATE_HELD], model = version, None
    with _all_or_nothing(context):
        store_arrays(context, NAME, memory)
        context.state[SESSION] = ConfigRecord(stored)  # type: ignore[arg-type]
        store_arrays(context, SENT, _as_arrays(sent, layout) if in_session and "residual" in memory else {})
        store_arrays(context, MODEL, {"model": model} if in_session and model is not None else {})


@contextmanager
def _all_or_nothing(context: Context) -> Iterator[None]:
    """Put the records of before back if one cannot be written: Flower keeps the state of an app that raised."""
    names = (NAME, SESSION, SENT, MODEL)
    before = {name: context.state[name] for name in names if name in context.state}
    try:
        yield
    except BaseException:
        for name in names:
            if name in before:
                context.state[name] = before[name]
            elif name in context.state:
                del context.state[name]
        raise


def load_local_version(context: Context) -> dict[str, NDArray[Any]] | None:
    """The version of the server's public model that this client holds; None for none."""
    return stored_arrays(context, HELD) or None


def save_local_version(
    context: Context,
    arrays: dict[str, NDArray[Any]],
    before: dict[str, NDArray[Any]] | None,
    base: bytes | None,
    kinds: Kinds | None = None,
) -> None:
    """Replace the local version.

    Args:
        context: of the client.
        arrays: of the new version.
        before: the version that is replaced. If it is the reference model of the last message, it stays stored as that.
        base: digest of `before`; None if it was not computed yet.
        kinds: which arrays are running statistics; None recognises them by name.
    """
    stored = context.state.config_records.get(SESSION, ConfigRecord())
    reference = stored.pop(STATE_HELD, None)
    if reference is not None and before is not None and reference == (base or digest_of(before)):
        store_arrays(context, MODEL, {"model": _held_layout(stored, Layout.of(before, kinds)).flatten(before)})
    store_arrays(context, HELD, arrays)


def _session_of(context: Context) -> ConfigRecord:
    """What is stored of the session; nothing if an entry is of another kind, as only damage makes it."""
    stored = context.state.config_records.get(SESSION, ConfigRecord())
    numbers = [stored.get(key, 0) for key in (STATE_ROUND, STATE_FIRST, STATE_MESSAGES)]
    copies = stored.get(STATE_COPIES, [])
    fits = all(isinstance(each, int) for each in numbers) and (SESSION not in stored or STATE_ROUND in stored)
    if fits and isinstance(copies, list) and len(copies) % 2 == 0:
        return stored
    log.warning("surp-fl: what this client stored of its session cannot be read: it starts from nothing")
    return ConfigRecord()


def _first_and_messages(stored: ConfigRecord, directives: ServerDirectives) -> tuple[int, int] | None:
    """The session round of the client's first message, and how many it sent; None if it sent none in this session."""
    if stored.get(SESSION) != directives.session:
        return None
    first, messages = stored.get(STATE_FIRST, stored[STATE_ROUND]), stored.get(STATE_MESSAGES, 1)
    assert isinstance(first, int)
    assert isinstance(messages, int)
    return first, messages


def _presence(stored: ConfigRecord, directives: ServerDirectives) -> float:
    """The share of rounds, from the client's first message on, in which it sent one."""
    first, messages = _first_and_messages(stored, directives) or (0, 0)
    rounds = directives.session_round - first
    return min(messages / rounds, 1.0) if messages and rounds > 0 else 1.0


def _held_layout(stored: ConfigRecord, layout: Layout) -> Layout:
    """The layout of the stored vectors: of the same arrays, of which others may have been tied; this one if unknown."""
    if STATE_FINGERPRINT not in stored or stored[STATE_FINGERPRINT] == layout.fingerprint:
        return layout
    names = [str(name) for name in stored.get(STATE_COPIES, [])]  # type: ignore[union-attr]
    known = {spec.name for spec in layout.untied.floats}
    return replace(layout, copies=tuple(zip(names[::2], names[1::2], strict=True))) if known >= {*names} else layout


def _converted(memory: State, held: Layout, layout: Layout) -> State:
    """Vectors of a layout in another layout of the same arrays; what has another shape stays."""
    if held.copies == layout.copies:
        return memory
    size = layout.untied.size
    return {
        name: layout.tied(as_vector(held.spread(each), size)) if each.shape == (held.size,) else each
        for name, each in memory.items()
    }


def store_arrays(context: Context, name: str, arrays: State) -> None:
    """Store arrays under a name, in place of what is there; without any, remove that."""
    if arrays:
        context.state[name] = record_of(arrays)
    elif name in context.state:
        del context.state[name]


def stored_arrays(context: Context, name: str) -> dict[str, NDArray[Any]]:
    """The arrays stored under a name; empty if they are missing or cannot be read."""
    if name not in context.state:
        return {}
    try:
        return arrays_of(context.state.array_records[name])
    except Exception as fault:  # a truncated file raises many types; each is treated as if nothing were stored
        log.warning("surp-fl: this client's state under '%s' cannot be read, it starts from nothing: %r", name, fault)
        return {}


def _fits(vector: NDArray[Any], layout: Layout) -> bool:
    """Whether a vector is float32 and has the size of this layout; logs a warning if not."""
    if vector.shape == (layout.size,) and vector.dtype == np.float32:
        return True
    log.warning(
        "surp-fl: this client's memory is of a model with other sizes %s or types (%s) than the one received (%d "
        "coordinates, float32): it starts from nothing",
        vector.shape,
        vector.dtype,
        layout.size,
    )
    return False


def _as_arrays(update: Update, layout: Layout) -> dict[str, NDArray[Any]]:
    """An update as it is stored: indices and values, or the values of all coordinates."""
    if not isinstance(update, tuple):
        return {"values": update}
    return {"indices": update[0].astype(np.int32 if layout.size < 1 << 31 else np.int64), "values": update[1]}
