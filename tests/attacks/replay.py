"""Replay: a reply that came before, or that another client sent, is sent again.

The attacker is a client, or someone between client and server who has replies in hand. Promised: a node counts once in
a round, with one of its replies; nodes that were sent nothing do not count; a message that was coded against a model
which server and node held then is refused in any other round. Not promised (authenticity): a message without such a
context, or another client's of the same round, counts as the attacker's own. It then counts once, and its norm is that
of an honest update.
"""

from __future__ import annotations

import copy
from typing import Any

from flwr.app import ConfigRecord, Message

from surp_fl import SuRP, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.protocol import NAME
from tests.attacks.attack import (
    ATTACKER,
    OrderedGrid,
    Outcome,
    Run,
    attacked,
    from_attacker,
    holds_still,
    promised,
)

ROUNDS = 5


def mount() -> list[Outcome]:
    """Send again what was sent."""
    return [_coded_against_a_model(), _twice(), _of_nobody(), _without_context(), _of_another()]


def first_again(scheme: Scheme) -> Run:
    """The attacker sends its message of round 1 in every round."""
    first: list[Any] = []

    def again(record: ConfigRecord) -> None:
        first.append(record[NAME])
        record[NAME] = first[0]

    return attacked(from_attacker(again), scheme=scheme, rounds=ROUNDS)


def _coded_against_a_model() -> Outcome:
    run = first_again(SuRP(budget=100, progressive=True))  # groups, which are coded against the model
    promised(run.failures == [0, *[1] * (ROUNDS - 1)], f"replies left out: {run.failures}")
    promised(run.strategy._session.registry.applied[ATTACKER] == 1, "an old message counts as one of a later round")
    holds_still(run)
    return Outcome(
        "a surp message of round 1 in each later round", "refused: of another model", "0 times", f"0 of {ROUNDS - 1}"
    )


class Twice(OrderedGrid):
    """A network in which the attacker's reply arrives three times, the last time as that of a node that is none."""

    copies: tuple[int, ...] = (ATTACKER, ATTACKER)

    def pull_messages(self, message_ids: Any) -> list[Message]:
        """Give the replies, and copies."""
        replies = super().pull_messages(message_ids)
        for node in self.copies:
            for reply in [reply for reply in replies if reply.metadata.src_node_id == ATTACKER][:1]:
                again = copy.deepcopy(reply)
                again.metadata.__dict__["_src_node_id"] = node
                replies.append(again)
        return replies


class OfNobody(Twice):
    """The same with copies that are said to come from nodes which were sent nothing."""

    copies = (77, -1, 0)


def _twice() -> Outcome:
    run, honest = attacked(grid=Twice), attacked()
    promised(run.failures == [2] * 4, f"replies left out: {run.failures}")
    same = all(
        (one[name] == other[name]).all() for one, other in zip(run.models, honest.models, strict=True) for name in one
    )
    promised(same, "a reply counts more than once")
    return Outcome("the same reply three times in a round", "counts once", "bits of the honest model", "all the same")


def _of_nobody() -> Outcome:
    run, honest = attacked(grid=OfNobody), attacked()
    promised(run.failures == [3] * 4, f"replies left out: {run.failures}")
    promised(bool((run.models[-1]["weight"] == honest.models[-1]["weight"]).all()), "a reply of nobody counts")
    return Outcome("a reply of nodes 77, -1 and 0, which are none", "refused", "0 of 12", "0")


def _without_context() -> Outcome:
    run = first_again(TopK(budget=400))
    promised(run.failures == [0] * ROUNDS, f"replies left out: {run.failures}")
    holds_still(run)
    promised(set(map(len, (traffic.payload_bytes_up for traffic in run.strategy.traffic))) == {3}, "it counts twice")
    return Outcome(
        "a top-k message of round 1 in each later round",
        "NOT promised: counts as the client's own, and the client believes that its own did",
        "once a round, usual norm",
        f"{ROUNDS - 1} of {ROUNDS - 1}",
    )


def _of_another() -> Outcome:
    """Node 2 has nothing to say but what node 1 said: nodes answer in order."""
    seen: list[Any] = []

    def fault(reply: Message) -> Message:
        record = reply.content.config_records[NAME]
        if reply.metadata.src_node_id == 1:
            seen.append(record[NAME])
        if reply.metadata.src_node_id == ATTACKER:
            record[NAME] = seen[-1]
        return reply

    run = attacked(fault)
    holds_still(run)
    taken = sum(3 - failures for failures in run.failures) - 2 * len(run.failures)
    promised(len(run.strategy.traffic[-1].payload_bytes_up) <= 3, "it counts twice")
    return Outcome(
        "another client's surp message of the same round",
        "NOT promised: counts as the attacker's own where both hold the same models",
        "once a round, usual norm",
        f"{taken} of {len(run.failures)}",
    )
