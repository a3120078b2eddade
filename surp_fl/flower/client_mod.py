"""The Flower mod: lets the app train, and sends a compressed update in place of the model.

It must be the outermost mod, `ClientApp(mods=[CompressUpdates(...), ...])`, so that it compresses what the others
return. Knows Flower. Does not know how a message is made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from numpy.typing import NDArray

from surp_fl.change import change_of
from surp_fl.codecs import reader_of
from surp_fl.codecs.codec import Continues, Scheme, with_budget
from surp_fl.flower.client_origin import load_origin, save_origin
from surp_fl.flower.client_state import (
    ServerDirectives,
    StoredState,
    load,
    load_local_version,
    save,
    save_local_version,
)
from surp_fl.flower.evaluation import Evaluate, evaluated, take_request
from surp_fl.flower.initial_model import Initial, check_initial, make_initial
from surp_fl.flower.legacy_records import FIT_METRICS, is_legacy, message_content, without_directives
from surp_fl.flower.message_stats import stats_of
from surp_fl.flower.mixed_apis import call_app, check_decodes
from surp_fl.flower.model_messages import carries_version, restore_content
from surp_fl.flower.protocol import MISSING, NAME, NODE_BUDGET
from surp_fl.flower.received_model import receive_model
from surp_fl.flower.records import CompressedReply, announced_kinds, arrays_of, record_of, to_record
from surp_fl.immutable import immutable
from surp_fl.layout import Layout
from surp_fl.memory import NoMemory, State, StepsAhead, fault_of, norm_of
from surp_fl.printable import printable
from surp_fl.types import Arrays, Reference
from surp_fl.updates import as_vector

log = logging.getLogger("flwr")


class CompressUpdates:
    """A mod that replaces the trained model in a train reply by a compressed update, also that of a `NumPyClient`.

    `Context.state` stores the client's memory (for error feedback: one float32 vector of the model's size) and, for
    schemes that code against it, the model that the client was sent last. If a message is lost, or its reply is not
    used, the server announces that in the next round, and the client adds the message back to its residual.

    Args:
        scheme: compresses the updates; or a function that gives the scheme of a round, counted from 1. If the train
            config holds "surp-fl:budget", or the node's config "surp-fl-budget", the lesser of them replaces the
            scheme's budget, or its ratio; both are in bytes. Where the dense message is shorter than the scheme's, as
            for models of a few coordinates, the dense one is sent.
        seed: of the encoder's random choices; each message's generator is seeded by (seed, round, node).
        history: code also against the model before the last one, which makes messages smaller; False saves one float32
            vector of the model's size on the client. None is True for schemes with a memory: a client of a scheme
            without one, `NoMemory`, stores no vector at all.
        initial: a function of the context that makes the model which the server starts from, as an ArrayRecord or
            arrays by name, or a mapping of names to such functions; a server with `DecodeUpdates(..., initial=...)`
            then sends only what differs from it. Where the digests of both models differ, the full model is sent.

    Raises, when called (Flower turns it into an error reply, and the round continues without this client):
        ValueError: the app's reply does not hold one model with the names and shapes of the one it received, or
            the update holds NaN or infinity; the scheme cannot keep within the budget that it is given.
        RuntimeError: the server runs a protocol that compressed replies would break.

    Source: error feedback of Seide et al. 2014, "1-bit SGD", for the default memory; see `surp_fl.memory`.
    """

    def __init__(
        self,
        scheme: Scheme | Callable[[int], Scheme],
        seed: int = 0,
        history: bool | None = None,
        initial: Initial | None = None,
    ) -> None:
        check_initial(initial)
        self.scheme = scheme
        self.initial = initial
        self.history = history
        self.seed = seed
        self._evaluate: Evaluate | None = None

    def evaluates(self, evaluate: Evaluate) -> Evaluate:
        """Tell the mod how the app evaluates, for a server with `DecodeUpdates(..., evaluate_with_train=True)`.

        A decorator below the app's own, which gives the function back as it is:

            compress = CompressUpdates(SuRP(budget=218))
            app = ClientApp(mods=[compress])

            @app.evaluate()
            @compress.evaluates
            def evaluate(message: Message, context: Context) -> Message: ...
        """
        self._evaluate = evaluate
        return evaluate

    def __call__(self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
        """Let the app train, and compress its update; other messages are passed on with their model restored."""
        version: bytes | None = None  # of the local version, if it is the model of this message
        kinds = announced_kinds(message.content)
        if carries_version(message.content):
            before = load_local_version(context)
            model = receive_model(
                message.content,
                before,
                kinds,
                partial(make_initial, self.initial, context=context),
                partial(load_origin, context),
            )
            if model.arrays is None:  # the client holds no base of the deltas
                return Message(RecordDict({NAME: ConfigRecord({MISSING: True})}), reply_to=message)
            if model.keep:
                version = model.version
                save_local_version(context, model.arrays, before, model.base, kinds)
                if model.arrays is not before:
                    save_origin(context, model.origin, model.arrays, kinds)
            message.content = restore_content(message.content, model.name, model.arrays)
        if message.metadata.message_type.split(".")[0] != "train":
            return call_next(message, context)
        directives = ServerDirectives.of(message.content)
        scheme = _with_allowed_budget(self._scheme_of(directives.server_round), directives, context)
        legacy = is_legacy(message.content)
        _check_protocol(message.content, scheme, directives.session is not None)
        received_name, received_record = _only_array_record(message.content, "the server's message")
        message.content, asked = take_request(message.content)
        evaluation = {} if asked is None else evaluated(asked, self._evaluate, message, context)
        received = arrays_of(received_record)  # a copy: the app may train in place
        layout = Layout.of(received, kinds)
        rng = np.random.default_rng([self.seed, directives.server_round, _node_of(context)])
        if legacy:
            message.content = without_directives(message.content)
        stored, begun = None, received
        if isinstance(scheme.memory, StepsAhead) and scheme.memory.step_ahead:
            stored = load(context, layout, directives)
            begun = _ahead_of(received, scheme.memory, stored, layout)
            if begun is not received:
                message.content[received_name] = record_of(begun)

        reply = call_app(call_next, message, context)
        if reply.has_error():
            return reply
        if legacy:
            reply.content = message_content(reply.content)
        trained_name, trained_record = _only_array_record(reply.content, "the app's reply")
        trained = arrays_of(trained_record)
        try:
            layout.check(trained)
        except ValueError as fault:
            raise ValueError(f"the app's reply is not the model it received: {fault}") from fault
        untied = any(not np.array_equal(trained[name], trained[first]) for name, first in layout.copies)
        layout = layout.untied if untied else layout
        start, delta = immutable(layout.flatten(received)), layout.difference(trained, begun)

        stored = load(context, layout, directives) if stored is None or untied else stored
        memory = _checked(stored.memory, norm_of(start) + norm_of(delta))
        history = not isinstance(scheme.memory, NoMemory) if self.history is None else self.history
        reference = _reference(scheme, start, stored.model if history else None)
        wanted = scheme.memory.recall(delta, memory)
        scheme = scheme.continued(memory) if isinstance(scheme, Continues) else scheme
        began = time.perf_counter()
        change = change_of(scheme, wanted, received, trained, layout, rng, reference, delta, in_turns=True)
        seconds = time.perf_counter() - began
        decoded = reader_of(change.message).decode_compact(change.message, layout, reference=reference)
        sent = as_vector(decoded, layout.size)
        memory = scheme.memory.settle(wanted, sent, memory) or memory

        compressed = CompressedReply(
            change=change,
            metrics=_metrics(reply.content),
            stats=stats_of(seconds, delta, wanted, sent, memory.get("residual")),
            arrays_name=None if trained_name == received_name else trained_name,
            metrics_name=next(iter(reply.content.metric_records), "metrics"),
            untied=untied,
            legacy_metrics=reply.content.config_records.pop(FIT_METRICS) if legacy else None,
            evaluation=evaluation,
        )
        reply.content = RecordDict({NAME: to_record(compressed), **reply.content.config_records})
        later_reference = start if history and reference is not None else None
        save(context, memory, decoded, later_reference, layout, directives, version)  # last: an error changes nothing
        return reply

    def _scheme_of(self, server_round: int) -> Scheme:
        return self.scheme(server_round) if callable(self.scheme) else self.scheme


def _reference(scheme: Scheme, start: NDArray[np.float32], before: NDArray[np.float32] | None) -> Reference:
    """The model, or the model and the one before it, if the scheme codes against them; both ends hold them."""
    if not scheme.codec.reader.contextual:
        return None
    return start if before is None else (start, immutable(before))


def _ahead_of(received: Arrays, memory: StepsAhead, stored: StoredState, layout: Layout) -> Arrays:
    """The model that local training starts from: the received one, or that plus a share of what the client owes.

    A share that is longer than the model itself, as after training that diverged, is none.
    """
    update = memory.ahead(stored.memory, stored.presence)
    if update is None or not norm_of(update) <= norm_of(layout.flatten(received)):
        return received
    moved = layout.rounded(layout.moved(received, update))
    return {name: moved.get(name, array) for name, array in received.items()}


def _checked(memory: State, scale: float) -> State:
    """A client's memory; empty if its norm is out of proportion to the model and its update."""
    fault = fault_of(memory, scale)
    if fault is None:
        return memory
    log.warning("surp-fl: %s: this client's training exploded before, it starts from nothing", fault)
    return {}


def _with_allowed_budget(scheme: Scheme, directives: ServerDirectives, context: Context) -> Scheme:
    """The scheme with the lesser of the server's and the node's budget; unchanged if there is neither."""
    node: Any = context.node_config.get(NODE_BUDGET)
    if node is not None and (isinstance(node, bool) or not isinstance(node, int)):
        raise ValueError(f"the node's config has {NODE_BUDGET} = {node!r}; expected a whole number of bytes")
    allowed = [budget for budget in (directives.budget, node) if budget is not None]
    if not allowed:
        return scheme
    if "budget" not in getattr(scheme, "__dataclass_fields__", {}):
        raise ValueError(
            f"this client is given a budget of {min(allowed)} B, and {type(scheme).__name__} has none that could be "
            "set: use a scheme with a budget, as SuRP(budget=...), or leave the budget out"
        )
    return with_budget(scheme, min(allowed))


def _check_protocol(content: RecordDict, scheme: Scheme, in_session: bool) -> None:
    """Raise RuntimeError if the server runs a protocol that compressed replies would break."""
    check_decodes(content, in_session)
    if "secaggplus_configs" in content.config_records:
        raise RuntimeError(
            "the server runs SecAgg+, which adds up masked vectors; compressed messages cannot be added up: "
            "run SecAgg+ without CompressUpdates, or compress without SecAgg+"
        )
    clips = any("clipping_norm" in config for config in content.config_records.values())
    if clips and not isinstance(scheme.memory, NoMemory):
        raise RuntimeError(
            f"the server asks for client-side clipping, and {type(scheme.memory).__name__} adds the "
            "residual after the clip, so that updates exceed it: use memory=NoMemory(), or clip on the server"
        )


def _only_array_record(content: RecordDict, whose: str) -> tuple[str, ArrayRecord]:
    found = content.array_records
    if len(found) != 1:
        raise ValueError(
            f"{whose} holds {len(found)} ArrayRecords ({printable(sorted(found), 99)}); expected one, the model"
            + ("; CompressUpdates must be the first (outermost) mod" if not found else "")
        )
    return next(iter(found.items()))


def _metrics(content: RecordDict) -> dict[str, Any]:
    found = content.metric_records
    if len(found) > 1:
        raise ValueError(f"the app's reply holds {len(found)} MetricRecords ({sorted(found)}); expected one")
    return dict(next(iter(found.values()), {}))


def _node_of(context: Context) -> int:
    """The partition id if there is one, else the node id: only the former is the same in every run."""
    return int(context.node_config.get("partition-id", context.node_id))
