"""Metric flood: metrics without number, of endless names, or of other kinds.

The attacker is a client. Promised: metrics are limited to 1,000 numbers and names to 200 printable characters; a reply
with others costs itself; what a round logs is bounded. `mount_evaluation` asks the same of replies to evaluations.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from surp_fl.errors import MalformedMessage
from surp_fl.flower.protocol import EVALUATED, EXAMPLES, METRICS_NAME, NAME
from surp_fl.strategies.limits import MAX_METRIC_VALUES, check_numbers
from tests.attacks.attack import (
    ATTACKER,
    Outcome,
    Run,
    attacked,
    costs_one_reply_a_round,
    from_attacker,
    holds_still,
    promised,
)

ROUNDS = 2
MANY = 100_000
LOG_BYTES = 4096  # a round with three clients, of which the attacker is one
FLOODS: dict[str, dict[str, Any]] = {
    "20,000 metrics": {f"metric {number}": 1.0 for number in range(20_000)},
    "a list of 100,000": {"loss": [1.0] * MANY},
    "a name of 1 MB": {"n" * 1_000_000: 1.0},
    "names with escapes": {"\x1b[2J\n\u202egnp": 1.0},
    "a text of 1 MB": {"loss": "x" * 1_000_000},
    "1 MB of bytes": {"loss": bytes(1_000_000)},
    "a legacy reply's text of 1 MB": {EXAMPLES: 5, "note": "x" * 1_000_000},
    "a record's name of 1 MB": {METRICS_NAME: "n" * 1_000_000},
    "fewer than the others": {"loss": []},
}


def mount() -> list[Outcome]:
    """Flood."""
    return [
        *(_flooded(what, flood) for what, flood in FLOODS.items()),
        _of_all(),
        _ignored(),
        _numbers(),
        _check_alone(),
    ]


def _flooded(what: str, flood: dict[str, Any]) -> Outcome:
    run = attacked(from_attacker(lambda record: record.update(flood)), rounds=ROUNDS, level=logging.INFO)
    costs_one_reply_a_round(run)
    return Outcome(what, "refused", f"log {LOG_BYTES} B a round", f"{_logged(run)} B")


def _of_all() -> Outcome:
    """Every client floods from the second round on, so that none differs from the others."""
    flood: dict[str, Any] = {f"metric {number}": 1.0 for number in range(MAX_METRIC_VALUES)}
    calls: list[int] = []

    def fault(reply: Message) -> Message:
        calls.append(reply.metadata.src_node_id)
        if len(calls) > 3:
            reply.content.config_records[NAME].update(flood)
        return reply

    run = attacked(fault, rounds=ROUNDS, level=logging.INFO)
    promised(run.failures == [0, 3], f"replies left out: {run.failures}")
    return Outcome(
        "1,001 metrics and more of every client",
        "refused; the model stays",
        f"log {LOG_BYTES} B a round",
        f"{_logged(run)} B",
    )


def _logged(run: Run) -> int:
    each = run.log.size // ROUNDS
    promised(each <= LOG_BYTES, f"{each:,} bytes of log a round")
    return each


def _ignored() -> Outcome:
    """What begins with our name and is no key of ours is left alone, and counted by nobody."""
    flood: dict[str, Any] = {f"{EVALUATED}{number}": 1.0 for number in range(10_000)}
    flood |= {"surp-fl/failures": 99.0, "surp-fl" + "n" * 1_000_000: 1.0}
    run = attacked(from_attacker(lambda record: record.update(flood)), rounds=ROUNDS, level=logging.INFO)
    promised(run.failures == [0] * ROUNDS, f"replies left out: {run.failures}")
    promised("99.0" not in "".join(run.log.lines), "a client sets a figure of ours")
    return Outcome(
        "10,000 metrics with names like our keys", "NOT limited; ignored", f"log {LOG_BYTES} B", f"{_logged(run)} B"
    )


def _numbers() -> Outcome:
    for value in (math.nan, math.inf, -math.inf, 1e308, -1e308, 2**62):
        flood: dict[str, Any] = {"loss": value}
        run = attacked(from_attacker(lambda record, f=flood: record.update(f)), rounds=1)  # type: ignore[misc]
        promised(run.failures == [0], "a loss that is not finite is no reason to lose an update")
        holds_still(run)
    return Outcome(
        "a loss of NaN, ±infinity, ±1e308, 2^62", "averaged, as the app's own; model untouched", "0 errors", "0"
    )


def _check_alone() -> Outcome:
    record = ConfigRecord({f"metric {number}": 1.0 for number in range(MANY)})
    began = time.process_time()
    try:
        check_numbers(record)
        promised(False, "100,000 metrics are taken")
    except MalformedMessage:
        pass
    seconds = time.process_time() - began
    promised(seconds <= 1, f"{seconds} s")
    return Outcome("the check of 100,000 metrics alone", "refused", "1 s", f"{1e3 * seconds:.0f} ms")


EVALUATIONS: dict[str, Callable[[], RecordDict]] = {
    "other names": lambda: RecordDict({"metrics": MetricRecord({"num-examples": 1, "other": 1.0})}),
    "no weight": lambda: RecordDict({"metrics": MetricRecord({"norm": 1.0})}),
    "a weight of -1 twice": lambda: RecordDict({"metrics": MetricRecord({"num-examples": -2, "norm": 1.0})}),
    "a list in place of a number": lambda: RecordDict({"metrics": MetricRecord({"num-examples": 1, "norm": [1.0]})}),
    "no metrics": RecordDict,
}


def mount_evaluation() -> list[Outcome]:
    """One client's evaluations have other metrics than the others'."""
    return [_evaluated(what, content) for what, content in EVALUATIONS.items()]


def _evaluated(what: str, content: Callable[[], RecordDict]) -> Outcome:
    def fault(reply: Message) -> Message:
        if reply.metadata.src_node_id == ATTACKER and reply.metadata.message_type == "evaluate":
            reply.content = content()
        return reply

    try:
        attacked(fault, rounds=ROUNDS, fraction_evaluate=1.0)
    except Exception as raised:  # whatever Flower's strategy raises
        promised(False, f"an evaluation with {what} ends the run: {type(raised).__name__}: {raised}")
    return Outcome(f"an evaluation with {what}", "left out", "run goes on", "it does")
