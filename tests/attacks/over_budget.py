"""Over budget: more bytes than were asked for, upwards or downwards.

The attacker is a client that sends more than its budget; or a server, or someone in between, that asks a client for a
budget which there is not, or takes the budget away on its way down. Promised: `DecodeUpdates` refuses what is longer
than its node's budget, or than the dense message of the model, before it decodes it. Integer arrays are sent beside
the budget: what their section decodes to is bounded by the model, its length is not.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message

from surp_fl import Dense, Layout, TopK
from surp_fl.flower.protocol import BUDGET, INTEGER_ARRAYS, NAME, STATISTICS
from surp_fl.integer_arrays import read_integers
from tests.attacks.attack import (
    ATTACKER,
    OrderedGrid,
    Outcome,
    attacked,
    costs_one_reply_a_round,
    from_attacker,
    holds_still,
    memory_of,
    promised,
    seconds_of,
)
from tests.flower_app import initial

ASKED = 100  # bytes
COUNTER = 16  # bytes that the section of the one integer array takes at most, beside the budget
DECODE_SECONDS = 0.5  # of the processor, to refuse a section of integer arrays of 5 MB; a hundred times what it takes


def mount() -> list[Outcome]:
    """Send more, and ask for what there is not."""
    return [_dense(), _in_parts(), _integers(), _no_budget(), *map(_asked, (0, 1 << 62, "many"))]


def _dense() -> Outcome:
    layout = Layout.of(initial())
    vector = np.full(layout.size, 1e-3, np.float32)
    message = Dense().codec.encode(vector, layout, rng=np.random.default_rng(0))
    run = attacked(from_attacker(lambda record: record.update({NAME: message})), budget_for=lambda node, number: ASKED)
    costs_one_reply_a_round(run)
    longest = max(size for traffic in run.strategy.traffic for size in traffic.payload_bytes_up)
    return Outcome(f"a valid dense message of {len(message):,} B", "refused unread", f"{ASKED} B", f"{longest} B read")


def _in_parts() -> Outcome:
    def parts(record: ConfigRecord) -> None:
        record[STATISTICS] = bytes(ASKED + 1 - len(record[NAME]))  # type: ignore[arg-type]

    run = attacked(from_attacker(parts), budget_for=lambda node, number: ASKED)
    costs_one_reply_a_round(run)
    promised("expected at most 100" in run.log.lines[0], run.log.lines[0])
    return Outcome("a message and statistics of 101 B together", "refused unread", f"{ASKED} B", "0 read")


def _integers() -> Outcome:
    body = b"\0" + bytes(5_000_000)
    section = binascii.crc_hqx(body, 0).to_bytes(2, "big") + body
    run = attacked(from_attacker(lambda record: record.update({INTEGER_ARRAYS: section})), rounds=2)
    costs_one_reply_a_round(run)
    layout = Layout.of(initial())
    seconds = seconds_of(lambda: read_integers(section, initial(), layout))
    memory = memory_of(lambda: read_integers(section, initial(), layout))
    promised(seconds <= DECODE_SECONDS and memory <= 4 * len(section), f"{seconds} s, {memory} B")
    return Outcome(
        "integer arrays of 5 MB, for a model with one counter",
        f"read and refused; its length is NOT limited; {memory / len(section):.1f} times its length of memory",
        f"{DECODE_SECONDS} s",
        f"{1e3 * seconds:.0f} ms",
    )


class Withheld(OrderedGrid):
    """A network in which budgets get lost, or other ones come."""

    instead: Any = None

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Change the attacker's."""
        found = list(messages)
        for message in found:
            for config in message.content.config_records.values():
                if message.metadata.dst_node_id == ATTACKER and BUDGET in config:
                    del config[BUDGET]
                    if self.instead is not None:
                        config[BUDGET] = self.instead
        return super().push_messages(found)


def _no_budget() -> Outcome:
    run = attacked(scheme=TopK(budget=218), grid=Withheld, budget_for=lambda node, number: ASKED)
    costs_one_reply_a_round(run)
    holds_still(run)
    return Outcome(
        "the budget is taken out of a train message", "the client's reply is refused", f"{ASKED} B", "0 read"
    )


def _asked(budget: Any) -> Outcome:
    """The client refuses, or keeps to the dense message; the round goes on."""
    run = attacked(
        scheme=TopK(budget=218),
        rounds=2,
        grid=type("Asks", (Withheld,), {"instead": budget}),
        budget_for=lambda node, number: 10_000,
    )
    most = 4 + 4 * Layout.of(initial()).size + COUNTER
    longest = max(size for traffic in run.strategy.traffic for size in traffic.payload_bytes_up)
    promised(longest <= most, f"a message of {longest} B")
    promised(all(failures <= 1 for failures in run.failures), f"replies left out: {run.failures}")
    holds_still(run)
    fine = run.failures[0] == 0
    happened = "keeps to the dense message" if fine else "an error reply; the round goes on"
    return Outcome(f"a client is asked for {budget!r} B", happened, f"{most} B", f"{longest} B")
