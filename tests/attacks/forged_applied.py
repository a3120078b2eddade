"""Forged `applied`: a client is told that messages of its were applied which were not, or the other way round.

The attacker is the server, or someone between server and client who changes train messages. What a client is told it
believes: it cannot know better, so that the model may get a message twice, or never. Promised: whatever it is told, it
sends a valid message in every round, `wanted == sent + residual` to the bit, and what it owes grows by no more than
what it sent: nothing is told that makes it send what it never learned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from flwr.app import Message

from surp_fl import ErrorFeedback, SuRP
from surp_fl.flower.protocol import APPLIED, SESSION
from surp_fl.memory import State, norm_of
from surp_fl.types import Vector
from tests.attacks.attack import ATTACKER, OrderedGrid, Outcome, Run, attacked, holds_still, promised
from tests.flower_app import Arrays

ROUNDS = 6
STEP, LEARNT = 0.01, 0.3  # of each coordinate, and of the vector: what a client learns in a round, at most
LIES: dict[str, Any] = {
    "none ever was": 0,
    "one that is to come": 1 << 40,
    "a text": "all of them",
    "nothing at all": None,
}


class Lying(OrderedGrid):
    """A network in which the second client is told a lie."""

    lie: Any = 0

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Tell it."""
        found = list(messages)
        for message in found:
            for config in message.content.config_records.values():
                if message.metadata.dst_node_id == ATTACKER and SESSION in config:
                    del config[APPLIED]
                    if self.lie is not None:
                        config[APPLIED] = self.lie
        return super().push_messages(found)


@dataclass(frozen=True)
class Watched(ErrorFeedback):
    """Error feedback of which each step is noted: clients in the order of their ids, round by round."""

    steps: ClassVar[list[tuple[Vector, Vector, Vector]]] = []  # wanted, sent, residual

    def settle(self, wanted: Vector, sent: Vector, state: State) -> State:
        """Note it."""
        after = super().settle(wanted, sent, state)
        self.steps.append((wanted.copy(), sent.copy(), np.array(after["residual"])))
        return after


def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
    """What every client learns: as much in each round."""
    rng = np.random.default_rng([node, server_round])
    return {
        name: array + (STEP * rng.normal(size=array.shape)).astype(array.dtype) if array.dtype.kind == "f" else array
        for name, array in arrays.items()
    }


def mount() -> list[Outcome]:
    """Tell each lie in every round."""
    honest = told(None, OrderedGrid)
    usual = norm_of(Watched.steps[-2][2])
    promised(honest.failures == [0] * ROUNDS, "an honest run fails")
    return [_outcome(what, lie, usual) for what, lie in LIES.items()]


def told(lie: Any, grid: type[OrderedGrid] = Lying) -> Run:
    """A run in which the second of three clients is told a lie."""
    Watched.steps.clear()
    kind = type("Told", (grid,), {"lie": lie})
    return attacked(scheme=SuRP(budget=100, memory=Watched()), rounds=ROUNDS, grid=kind, learning=learning)


def _outcome(what: str, lie: Any, usual: float) -> Outcome:
    run = told(lie)
    mine = Watched.steps[1::3]
    promised(run.failures == [0] * ROUNDS, f"replies left out: {run.failures}")
    promised(len(mine) == ROUNDS, "the client did not send a message in each round")
    for wanted, sent, residual in mine:
        promised(bool((wanted - sent == residual).all()), "the residual is not wanted - sent, to the bit")
    for (_, sent, residual), (wanted, _, _) in pairwise(mine):
        owed = norm_of(wanted) - norm_of(residual)
        promised(owed <= norm_of(sent) + LEARNT, f"it wants {owed:g} more than it owed, and sent {norm_of(sent):g}")
    holds_still(run)
    final = norm_of(mine[-1][2])
    most = usual + sum(norm_of(sent) for _, sent, _ in mine)
    promised(final <= most, f"a residual of norm {final:g}")
    return Outcome(
        f"told in each of {ROUNDS} rounds: {what}", "wanted == sent + residual", f"residual {most:.2f}", f"{final:.2f}"
    )
