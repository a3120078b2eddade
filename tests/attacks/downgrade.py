"""Downgrade: an end is made to accept a coarser or other form than was agreed.

The attacker is a client that sends another scheme, or without context; or someone who takes entries out of what goes
down. Promised: with `DecodeUpdates(scheme=...)`, messages of that scheme are read, and dense ones, which every client
sends for a small model; without it, every scheme of this version is. A message says itself whether it has a context,
so that one without is read too. A model that comes down is the version that its digest names, or is not used, whatever
form it came in. Digests and checks are no signatures: who changes them too is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message

from surp_fl import QSGD, STC, Dense, Layout, SuRP, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.protocol import BASES, COMPRESSED, DELTAS, KEEP, MANIFEST, NAME, VERSION
from surp_fl.strategies import NoUsableReplyError
from tests.attacks.attack import (
    ATTACKER,
    OrderedGrid,
    Outcome,
    Run,
    attacked,
    costs_one_reply_a_round,
    from_attacker,
    holds_still,
    promised,
)
from tests.flower_app import initial, learn

LAYOUT = Layout.of(initial())
DOWN = SuRP(budget=150)
CLIENTS = SuRP(budget=100)
ROUNDS = 3


def mount() -> list[Outcome]:
    """Send what was not agreed, and take out what was."""
    others = [_other_scheme(scheme) for scheme in (TopK(100), STC(100), QSGD())]
    kept = [_kept(what, scheme, given) for what, (scheme, given) in ALLOWED.items()]
    return [*others, *kept, *(_taken_out(what, change) for what, change in CHANGES.items())]


def _sent_by_the_attacker(scheme: Scheme, of_server: Scheme | None) -> Run:
    """A run in which the attacker sends a message of a scheme of its own."""
    message = _message(scheme)
    fault = from_attacker(lambda record: record.update({NAME: message}))
    return attacked(fault, scheme=CLIENTS, rounds=ROUNDS, scheme_of_server=of_server)


def _message(scheme: Scheme) -> bytes:
    vector = np.random.default_rng(5).normal(scale=0.01, size=LAYOUT.size).astype(np.float32)
    return scheme.codec.encode(vector, LAYOUT, rng=np.random.default_rng(0))


def _other_scheme(scheme: Scheme) -> Outcome:
    costs_one_reply_a_round(_sent_by_the_attacker(scheme, CLIENTS))
    tried = f"a {type(scheme).__name__} message to a server of scheme=SuRP(...)"
    return Outcome(tried, "refused", "0 read", f"0 of {ROUNDS}")


ALLOWED: dict[str, tuple[Scheme, Scheme | None]] = {
    "a dense message to a server of scheme=SuRP(...)": (Dense(), SuRP(budget=218)),
    "a surp message without a context": (SuRP(budget=100), SuRP(budget=218)),
    "a QSGD message to a server without scheme=": (QSGD(), None),
}


def _kept(what: str, scheme: Scheme, of_server: Scheme | None) -> Outcome:
    run = _sent_by_the_attacker(scheme, of_server)
    promised(run.failures == [0] * ROUNDS, f"{what}: replies left out: {run.failures}")
    holds_still(run)
    return Outcome(what, "read, as documented: usual norm, within budget", "1 a round", "1 a round")


class Changed(OrderedGrid):
    """A network that changes how models go down to the second client."""

    change: Callable[[ConfigRecord], None]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Change them."""
        found = list(messages)
        for message in found:
            for config in message.content.config_records.values():
                if message.metadata.dst_node_id == ATTACKER and VERSION in config:
                    type(self).change(config)
        return super().push_messages(found)


def _without(*keys: str) -> Callable[[ConfigRecord], None]:
    def change(config: ConfigRecord) -> None:
        for key in keys:
            config.pop(key, None)

    return change


def _update(**entries: Any) -> Callable[[ConfigRecord], None]:
    keys = {"version": VERSION, "compressed": COMPRESSED, "manifest": MANIFEST, "bases": BASES}
    return lambda config: config.update({keys[name]: value for name, value in entries.items()})


CHANGES: dict[str, Callable[[ConfigRecord], None]] = {
    "the version": _update(version=b"another."),
    "the manifest": _update(manifest=b'[["weight",[2522],"u1"]]'),
    "no manifest": _without(MANIFEST),
    "said to be compressed": _update(compressed=True),
    "no deltas": _without(DELTAS, BASES),
    "bases of nothing": _update(bases=[b"another."]),
    "nothing to be kept": _without(KEEP),
}


def _taken_out(what: str, change: Callable[[ConfigRecord], None]) -> Outcome:
    """What the other clients see stays as it is; the one is sent the full model, or its reply is an error."""
    kind = type("Changes", (Changed,), {"change": staticmethod(change)})
    seen: list[tuple[int, bytes]] = []

    def learning(arrays: Any, node: int, server_round: int) -> Any:
        seen.append((server_round, arrays["weight"].tobytes()))
        return learn(arrays, node, server_round)

    try:
        run = attacked(grid=kind, rounds=ROUNDS, downlink=DOWN, learning=learning)
    except NoUsableReplyError as fault:
        promised(False, f"{what}: the run ends: {fault}")
    promised(all(failures <= 1 for failures in run.failures), f"{what}: replies left out: {run.failures}")
    for server_round in range(1, ROUNDS + 1):
        models = {model for number, model in seen if number == server_round}
        promised(len(models) == 1, f"{what}: {len(models)} models are trained in round {server_round}")
    return Outcome(
        f"on the way down to one client: {what}",
        f"no other model is trained; {sum(run.failures)} of its {ROUNDS} replies are errors",
        "1 model a round",
        "1",
    )
