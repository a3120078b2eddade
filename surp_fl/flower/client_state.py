"""What a client keeps between rounds, in `Context.state`: read at the start of a round, written as its last step.

The keys: protocol.py. Knows Flower's Context. Does not know how a message is made.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
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
    STATE_FINGERPRINT,
    STATE_HELD,
    STATE_ROUND,
)
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.layout import Layout
from surp_fl.memory import State
from surp_fl.statistics import Kinds
from surp_fl.types import Update
from surp_fl.updates import add_to

log = logging.getLogger("flwr")


@dataclass(frozen=True)
class ServerDirectives:
    """What the server's train message says beside the model; None for what it leaves out.

    Attributes:
        server_round: from 1, as the strategy counts; 0 where it does not.
        session: which run of a server keeps track of what this client holds: a model, and all that came of it.
        turn: the round as that server counts, from 1.
        held: the turns of which it still holds the model that this client was sent.
        applied: the turn of this client's last message that reached the model; 0 for none.
        budget: bytes that a message may have; the least where several configs say it.
    """

    server_round: int
    session: int | None
    turn: int
    held: tuple[int, ...]
    applied: int | None
    budget: int | None

    @classmethod
    def of(cls, content: RecordDict) -> ServerDirectives:
        """Read it off the configs of a message.

        Raises:
            ValueError: there is a budget, and it is no whole number.
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
        held = found.get(ROUNDS, [])
        assert isinstance(held, list)
        turn = number(ROUND) or 0
        server_round = number("server-round")
        return cls(
            turn if server_round is None else server_round,
            number(SESSION) if turn else None,
            turn,
            tuple(map(int, held)),
            number(APPLIED),
            min(budgets, default=None),
        )


@dataclass(frozen=True)
class StoredState:
    """What a client kept of its last message.

    Attributes:
        memory: the vectors of its memory; what the server never applied is owed again.
        model: that it was sent then, where the server holds it too.
    """

    memory: State
    model: NDArray[np.float32] | None


def load(context: Context, layout: Layout, told: ServerDirectives) -> StoredState:
    """Read the state; what is of another model, or of another run, starts from nothing."""
    memory = _arrays(context, NAME)
    if "residual" in memory and not _fits(memory["residual"], layout):
        memory = {}
    kept = context.state.config_records.get(SESSION, ConfigRecord())
    same_run = kept.get(SESSION) == told.session
    same_model = kept.get(STATE_FINGERPRINT) == layout.fingerprint
    if memory and not (same_run and same_model):
        log.warning(
            "surp-fl: this client's memory is of another %s: it starts from nothing",
            "model (names or shapes differ)" if same_run else "run, whose model is not this one's",
        )
        memory = {}
    if told.session is None or not same_run:
        return StoredState(memory, None)
    last, applied = kept[STATE_ROUND], told.applied
    assert isinstance(last, int)
    if applied is not None and applied < last and "residual" in memory and (sent := _arrays(context, SENT)):
        add_to(memory["residual"], (sent["indices"], sent["values"]) if "indices" in sent else sent["values"])
        log.info("surp-fl: the message of round %d did not reach the model: what it said is owed again", last)
    if applied is not None and applied > last:
        log.warning(
            "surp-fl: the model has this client's message of round %d, and its state is of round %d: Flower did not "
            "save the later one, and what was sent since is owed twice",
            applied,
            last,
        )
    of_use = same_model and last in told.held
    model = _arrays(context, MODEL).get("model") if of_use else None
    return StoredState(memory, model if model is None or _fits(model, layout) else None)


def save(
    context: Context,
    memory: State,
    sent: Update,
    model: NDArray[np.float32] | None,
    layout: Layout,
    told: ServerDirectives,
    held: bytes | None = None,
) -> None:
    """Write the state of a round; whatever failed before this has changed nothing.

    Args:
        context: of the client.
        memory: its vectors.
        sent: what its message says.
        model: that it was sent; None where it is of no use later.
        layout: of that.
        told: by the server.
        held: digest of the version that is held, where the model is that, and need not be written twice.
    """
    _put(context, NAME, memory)
    kept: dict[str, int | bytes] = {STATE_FINGERPRINT: layout.fingerprint}
    tracked = told.session is not None
    if told.session is not None:
        kept |= {SESSION: told.session, STATE_ROUND: told.turn}
    if tracked and held is not None and model is not None:
        kept[STATE_HELD], model = held, None
    context.state[SESSION] = ConfigRecord(kept)  # type: ignore[arg-type]
    _put(context, SENT, _as_arrays(sent, layout) if tracked and "residual" in memory else {})
    _put(context, MODEL, {"model": model} if tracked and model is not None else {})


def _put(context: Context, name: str, arrays: State) -> None:
    if arrays:
        context.state[name] = record_of(arrays)
    elif name in context.state:
        del context.state[name]


def _arrays(context: Context, name: str) -> dict[str, NDArray[Any]]:
    """What is kept under a name; nothing where that cannot be read."""
    if name not in context.state:
        return {}
    try:
        return arrays_of(context.state.array_records[name])
    except Exception as fault:  # a file that was cut says so in many ways; and every one is as if there were none
        log.warning("surp-fl: this client's state under '%s' cannot be read, it starts from nothing: %r", name, fault)
        return {}


def _fits(vector: NDArray[Any], layout: Layout) -> bool:
    """Whether a vector is one of this layout; said where it is not."""
    if vector.shape == (layout.size,):
        return True
    log.warning(
        "surp-fl: this client's memory is of a model with other sizes %s than the one received (%d coordinates): "
        "it starts from nothing",
        vector.shape,
        layout.size,
    )
    return False


def _as_arrays(update: Update, layout: Layout) -> dict[str, NDArray[Any]]:
    """An update as it is stored: indices and values, or values of all coordinates alone."""
    if not isinstance(update, tuple):
        return {"values": update}
    return {"indices": update[0].astype(np.int32 if layout.size < 1 << 31 else np.int64), "values": update[1]}


def load_local_version(context: Context) -> dict[str, NDArray[Any]] | None:
    """The version of the server's model that this client holds; None for none."""
    return _arrays(context, HELD) or None


def save_local_version(
    context: Context,
    arrays: dict[str, NDArray[Any]],
    before: dict[str, NDArray[Any]] | None,
    base: bytes | None,
    kinds: Kinds | None = None,
) -> None:
    """Hold a version.

    Args:
        context: of the client.
        arrays: of the version.
        before: the version that was held. Where it is the model of the last message, it goes on being that.
        base: the digest of that, if it is known.
        kinds: the server's word on which arrays are running statistics.
    """
    kept = context.state.config_records.get(SESSION, ConfigRecord())
    held_then = kept.pop(STATE_HELD, None)
    if held_then is not None and before is not None and held_then == (base or digest_of(before)):
        _put(context, MODEL, {"model": Layout.of(before, kinds).flatten(before)})
    _put(context, HELD, arrays)
