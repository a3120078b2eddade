"""State confusion: a client whose state is of another model, scheme, client or time, or that answers unasked.

The attacker has a client's state in hand, or is a client that restarts with an old one. Promised: state that cannot be
of use counts as none, and the client is of use in the same round; the server does not depend on it, and refuses what
was coded against models that it did not send. Entries of wrong kinds: `tests/fuzz/test_client_state.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message

from surp_fl import DGC, PowerSGD, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import record_of
from surp_fl.testing import InProcessGrid
from tests.attacks.attack import ATTACKER, OrderedGrid, Outcome, attacked, holds_still, promised

ROUNDS = 4
CLIENTS = SuRP(budget=100)
Confuse = Callable[[int, Any], None]  # round, state of the attacker


def mount() -> list[Outcome]:
    """Confuse."""
    rolled = _Rollback()
    kinds: dict[str, Confuse] = {
        "a residual of another model": _of_another_model,
        "a residual of NaN": _of_nan,
        "stored arrays cut in the middle": _cut,
        "records of the wrong kind": _exchanged,
        "its own state of two rounds ago": rolled,
    }
    own = [_confused(what, confuse) for what, confuse in kinds.items()]
    return [*own, _swapped(), *(_of_another_scheme(scheme) for scheme in (DGC(400), PowerSGD())), _unasked()]


def _of_another_model(server_round: int, state: Any) -> None:
    if NAME in state:
        state[NAME] = record_of({"residual": np.ones(7, np.float32), "velocity": np.ones(7, np.float32)})


def _of_nan(server_round: int, state: Any) -> None:
    if NAME in state:
        state[NAME] = record_of({"residual": np.full(625, np.nan, np.float32)})


def _cut(server_round: int, state: Any) -> None:
    for name, record in list(state.array_records.items()):
        cut = {
            key: Array(each.dtype, each.shape, each.stype, each.data[: len(each.data) // 2])
            for key, each in record.items()
        }
        state[name] = ArrayRecord(cut)


def _exchanged(server_round: int, state: Any) -> None:
    for name in list(state.array_records):
        state[name] = record_of({"other": np.zeros(3)})


class _Rollback:
    """Restores what the state was two rounds ago."""

    def __init__(self) -> None:
        self._states: list[Any] = []

    def __call__(self, server_round: int, state: Any) -> None:
        self._states.append(copy.deepcopy(dict(state.items())))
        if server_round >= 2:
            state.clear()
            state.update(self._states[server_round - 2])


def _confused(what: str, confuse: Confuse) -> Outcome:
    def between(server_round: int, grid: InProcessGrid) -> None:
        confuse(server_round, grid.contexts[ATTACKER].state)

    run = attacked(between=between, rounds=ROUNDS, scheme=CLIENTS)
    promised(sum(run.failures) == 0, f"{what}: replies left out: {run.failures}")
    holds_still(run)
    return Outcome(f"after each round: {what}", "its next message is used", "0 failures", str(sum(run.failures)))


def _swapped() -> Outcome:
    def between(server_round: int, grid: InProcessGrid) -> None:
        one, two = (grid.contexts[node].state for node in (1, ATTACKER))
        mine, its = dict(one.items()), dict(two.items())
        for state, content in ((one, its), (two, mine)):
            state.clear()
            state.update(content)

    run = attacked(between=between, rounds=ROUNDS, scheme=CLIENTS)
    promised(sum(run.failures) == 0, f"replies left out: {run.failures}")
    holds_still(run)
    return Outcome("after each round: the states of two clients change places", "both are used", "0 failures", "0")


def _of_another_scheme(scheme: Scheme) -> Outcome:
    before = attacked(rounds=2, scheme=scheme)
    left = dict(before.grid.contexts[ATTACKER].state.items())

    def between(server_round: int, grid: InProcessGrid) -> None:
        if server_round == 0:
            grid.contexts[ATTACKER].state.update(copy.deepcopy(left))

    run = attacked(between=between, rounds=2, scheme=CLIENTS)
    promised(sum(run.failures) == 0, f"replies left out: {run.failures}")
    holds_still(run)
    name = type(scheme).__name__
    return Outcome(f"a state that {name} left in another run", "starts from nothing", "0 failures", "0")


class Unasked(OrderedGrid):
    """A network in which one of four nodes, never the same, is not asked, and answers all the same."""

    kept: dict[int, Message]

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
        """Add replies of earlier rounds by nodes that are sent nothing now."""
        replies = super().send_and_receive(messages)
        if not replies:
            return replies
        self.kept = getattr(self, "kept", {})
        asked = {reply.metadata.src_node_id for reply in replies}
        late = [copy.deepcopy(reply) for node, reply in self.kept.items() if node not in asked]
        self.kept |= {reply.metadata.src_node_id: copy.deepcopy(reply) for reply in replies}
        return replies + late


def _unasked() -> Outcome:
    def between(server_round: int, grid: InProcessGrid) -> None:
        away = grid.__dict__.setdefault("away", {})
        grid.contexts.update(away)
        away.clear()
        gone = 1 + server_round % 4
        away[gone] = grid.contexts.pop(gone)

    run = attacked(between=between, rounds=ROUNDS, nodes=4, grid=Unasked, minimum=3)
    late = sum(run.failures)
    promised(late > 0, "no node answered unasked")
    used = [len(traffic.payload_bytes_up) for traffic in run.strategy.traffic]
    promised(used == [3] * ROUNDS, f"replies used: {used}")
    holds_still(run)
    return Outcome("nodes that answer in a round in which they are sent nothing", "refused", "0 used", f"0 of {late}")
