"""The Flower mod: lets the app train, and sends a message in place of the model.

It must be the outermost mod, `ClientApp(mods=[CompressUpdates(...), ...])`, so that it sees what the others made.
Knows Flower. Does not know how a message is made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from numpy.typing import NDArray

from surp_fl.codecs.codec import Codec
from surp_fl.context import Reference
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory, State
from surp_fl.record import MODEL, NAME, SESSION, Stats, Update, arrays_of, record_of, to_record

log = logging.getLogger("flwr")


class Scheme(Protocol):
    """One codec and one client memory: `SuRP`, `Dense`, or your own frozen dataclass."""

    @property
    def codec(self) -> Codec:
        """Both ends of the messages."""
        ...

    @property
    def memory(self) -> Memory:
        """What the client carries between rounds."""
        ...


class CompressUpdates:
    """A mod that replaces the trained model in a train reply by a message.

    The client's memory (for error feedback: one float32 vector of the model's size) lies in `Context.state`, and so
    does the model that it was sent last, for schemes whose messages are smaller for it.

    Args:
        scheme: how updates are compressed; or a function that gives the scheme of a round, counted from 1.
        history: code against the model before as well; False keeps one vector less, for larger messages.
        seed: of the encoder's random choices; each message's generator is seeded by (seed, round, node).

    Raises, when called (Flower turns it into an error reply, which costs this reply and not the round):
        ValueError: the app's reply does not hold one model with the names and shapes of the one it received, or
            the update holds NaN or infinity.
        RuntimeError: the server runs a protocol that compressed replies would break.
    """

    def __init__(self, scheme: Scheme | Callable[[int], Scheme], seed: int = 0, history: bool = True) -> None:
        self.scheme = scheme
        self.history = history
        self.seed = seed

    def __call__(self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
        """Let the app train and compress what it learned; other messages pass."""
        if message.metadata.message_type.split(".")[0] != "train":
            return call_next(message, context)
        server_round = _from_config(message.content, "server-round") or 0
        scheme = self._scheme_of(server_round)
        _refuse_what_would_break(message.content, scheme)
        received_name, received_record = _only_array_record(message.content, "the server's message")
        received = arrays_of(received_record)  # a copy: the app may train in place
        layout = Layout.of(received)
        start = layout.flatten(received)
        rng = np.random.default_rng([self.seed, server_round, _node_of(context)])

        reply = call_next(message, context)
        if reply.has_error():
            return reply
        trained_name, trained_record = _only_array_record(reply.content, "the app's reply")
        trained = arrays_of(trained_record)
        try:
            delta = layout.flatten(trained) - start
        except ValueError as fault:
            raise ValueError(f"the app's reply is not the model it received: {fault}") from fault

        state = _load(context, NAME, layout)
        session = _from_config(message.content, SESSION)
        reference = self._reference(scheme, start, context, layout, session)
        wanted = scheme.memory.recall(delta, state)
        began = time.perf_counter()
        compressed = scheme.codec.encode(wanted, layout, rng=rng, reference=reference)
        seconds = time.perf_counter() - began
        sent = scheme.codec.decode(compressed, layout, reference=reference)
        state = scheme.memory.settle(wanted, sent, state)

        update = Update(
            message=compressed,
            exact={spec.name: trained[spec.name] for spec in layout.exact},
            metrics=_metrics(reply.content),
            stats=_stats(seconds, wanted, sent, state.get("residual")),
            arrays_name=None if trained_name == received_name else trained_name,
            metrics_name=next(iter(reply.content.metric_records), "metrics"),
        )
        reply.content = RecordDict({NAME: to_record(update), **reply.content.config_records})
        if state:
            context.state[NAME] = record_of(state)  # last: whatever failed before this has changed nothing
        if reference is not None and self.history and session is not None:
            context.state[MODEL] = record_of({"model": start})
            context.state[SESSION] = ConfigRecord({SESSION: session})
        elif MODEL in context.state:  # of an earlier round than the server thinks: it knows the last message's
            del context.state[MODEL]
        return reply

    def _scheme_of(self, server_round: int) -> Scheme:
        return self.scheme(server_round) if callable(self.scheme) else self.scheme

    def _reference(
        self, scheme: Scheme, start: NDArray[np.float32], context: Context, layout: Layout, session: int | None
    ) -> Reference:
        """What the server holds too, as far as it is of use to this scheme."""
        if not scheme.codec.reader.contextual:
            return None
        kept = context.state.config_records[SESSION][SESSION] if SESSION in context.state else None
        same_server = session is not None and kept == session
        before = _load(context, MODEL, layout).get("model") if self.history and same_server else None
        for held in (start, before):
            if held is not None:
                held.flags.writeable = False  # so that what is read off it can be kept
        return start if before is None else (start, before)


def _refuse_what_would_break(content: RecordDict, scheme: Scheme) -> None:
    if "secaggplus_configs" in content.config_records:
        raise RuntimeError(
            "the server runs SecAgg+, which adds up masked vectors; compressed messages cannot be added up: "
            "run SecAgg+ without CompressUpdates, or compress without SecAgg+"
        )
    clips = any("clipping_norm" in config for config in content.config_records.values())
    if clips and not isinstance(scheme.memory, NoMemory):
        raise RuntimeError(
            f"the server asks for client-side clipping, and {type(scheme.memory).__name__} adds what is owed "
            "after the clip, so that updates exceed it: use memory=NoMemory(), or clip on the server"
        )


def _only_array_record(content: RecordDict, whose: str) -> tuple[str, ArrayRecord]:
    found = content.array_records
    if len(found) != 1:
        raise ValueError(
            f"{whose} holds {len(found)} ArrayRecords ({sorted(found)}); expected one, the model"
            + ("; CompressUpdates must be the first (outermost) mod" if not found else "")
        )
    return next(iter(found.items()))


def _metrics(content: RecordDict) -> dict[str, Any]:
    found = content.metric_records
    if len(found) > 1:
        raise ValueError(f"the app's reply holds {len(found)} MetricRecords ({sorted(found)}); expected one")
    return dict(next(iter(found.values()), {}))


def _from_config(content: RecordDict, key: str) -> int | None:
    """A number that the server put into the config, if it did."""
    found = [config[key] for config in content.config_records.values() if key in config]
    return found[0] if found and isinstance(found[0], int) else None


def _node_of(context: Context) -> int:
    """The partition where there is one: unlike a node's id it is the same in every run."""
    return int(context.node_config.get("partition-id", context.node_id))


def _load(context: Context, name: str, layout: Layout) -> State:
    if name not in context.state:
        return {}
    state = arrays_of(context.state.array_records[name])
    if any(array.shape != (layout.size,) for array in state.values()):
        log.warning(
            "surp-fl: this client's memory is of a model with other sizes %s than the one received (%d coordinates): "
            "it starts from nothing",
            {name: array.shape for name, array in state.items()},
            layout.size,
        )
        return {}
    return state


def _stats(
    seconds: float, wanted: NDArray[np.float32], sent: NDArray[np.float32], residual: NDArray[Any] | None
) -> Stats:
    norm = float(np.linalg.norm(wanted))
    error = float(np.linalg.norm(wanted - sent))
    owed = 0.0 if residual is None else float(np.linalg.norm(residual))
    return Stats(seconds, error / norm if norm > 0 else 0.0, owed)
