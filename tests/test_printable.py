"""What the other end sent is cut and escaped before it is logged, and no client makes the server log much."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import CompressUpdates, SuRP
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import record_of
from surp_fl.printable import is_name, printable
from surp_fl.strategies import DecodeUpdates, NoUsableReplyError
from surp_fl.strategies.replies import LINES, shorten_errors
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import app_with, fedavg, initial

BAD = "\x1b[2J\nEvil: all is well\r\u202e" * 50_000  # more than a megabyte
Change = Callable[[Message], Message]


@given(st.text(max_size=2000), st.integers(40, 500))
def test_text_is_one_short_line_that_can_be_printed(text: str, most: int) -> None:
    said = printable(text, most)
    assert said.isprintable()
    assert len(said) <= most
    if len(text) <= most and text.isprintable():
        assert said == text


def test_both_ends_of_a_long_text_are_kept() -> None:
    said = printable("begin" + "-" * 10_000 + "\x1b[2Jend")
    assert said.startswith("begin--")
    assert said.endswith(r"--\x1b[2Jend")
    assert "(10,012 characters)" in said
    assert printable("two\nlines") == r"two\nlines"
    assert printable([1, "a\x00"]) == r"[1, 'a\x00']"
    assert is_name("conv1/Verlust – ø") and not is_name("a\nb") and not is_name("a" * 201)  # noqa: PT018


def record(reply: Message) -> ConfigRecord:
    found: ConfigRecord = reply.content.config_records[NAME]
    return found


def put(key: str, value: Any) -> Change:
    def change(reply: Message) -> Message:
        record(reply)[key] = value
        return reply

    return change


def other_records(reply: Message) -> Message:
    return_to = RecordDict({BAD: MetricRecord({BAD: 1.0})})
    reply.content = return_to
    return reply


def failed(reply: Message) -> Message:
    return Message(error=Error(2, BAD), metadata=reply.metadata)  # type: ignore[call-overload,no-any-return]


def as_ours(reply: Message) -> Message:
    return Message(error=Error(6, f"surp-fl: {BAD}"), metadata=reply.metadata)  # type: ignore[call-overload,no-any-return]


def many_metrics(reply: Message) -> Message:
    record(reply).update({f"metric {number}": 1.0 for number in range(100_000)})
    return reply


CHANGES: dict[str, Change] = {
    "an error": failed,
    "an error like ours": as_ours,
    "records": other_records,
    "a message": put(NAME, BAD),
    "stats": put("surp-fl:stats", BAD),
    "a counter": put("surp-fl:exact:batches", BAD),
    "the name of the arrays": put("surp-fl:arrays", BAD),
    "the name of the metrics": put("surp-fl:metrics", BAD),
    "a metric": put("loss", BAD),
    "a list as a metric": put("loss", [1.0] * 100_000),
    "a short list as a metric": put("loss", [1.0] * 900),
    "texts as a metric": put("loss", [BAD]),
    "a weight": put("num-examples", [1] * 900),
    "a metric's name": put(BAD, 1.0),
    "a metric's name and type": put(BAD, BAD),
    "metrics": many_metrics,
}


def logged(caplog: pytest.LogCaptureFixture, strategy: DecodeUpdates, fault: Change, nodes: int = 3) -> list[str]:
    """All that one round logs."""
    app = app_with([CompressUpdates(SuRP(budget=100))])
    with as_server(), caplog.at_level(logging.DEBUG, "flwr"):
        logging.getLogger("flwr").propagate = True
        grid = InProcessGrid(app, nodes, fault=fault)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=1)
    return [record.getMessage() for record in caplog.records]


def check(lines: list[str], most: int = 20_000) -> None:
    assert sum(map(len, lines)) < most
    assert not [line for line in lines if not set(line) <= {"\t"} and not line.replace("\t", "").isprintable()]


@pytest.mark.parametrize(
    ("what", "alone"), [*((what, None) for what in CHANGES), ("an error", False), ("a metric's name", False)]
)
def test_a_client_is_cut_short_in_the_log(what: str, alone: bool | None, caplog: pytest.LogCaptureFixture) -> None:
    def fault(reply: Message) -> Message:
        hostile = reply.metadata.src_node_id == 2 and reply.metadata.message_type == "train"
        return CHANGES[what](reply) if hostile else reply

    strategy = DecodeUpdates(fedavg(), mean_alone=alone)
    lines = logged(caplog, strategy, fault)
    check(lines)
    assert strategy.traffic[0].failures == 1
    assert any("node 2" in line for line in lines)


@pytest.mark.parametrize("what", ["an error", "metrics", "a name"])
def test_a_client_is_cut_short_when_it_evaluates_too(what: str, caplog: pytest.LogCaptureFixture) -> None:
    def fault(reply: Message) -> Message:
        if reply.metadata.src_node_id != 2 or reply.metadata.message_type != "evaluate":
            return reply
        if what == "an error":
            return failed(reply)
        names = [BAD] if what == "a name" else [f"metric {number}" for number in range(2_000)]
        reply.content = RecordDict({"metrics": MetricRecord({"num-examples": 1, **dict.fromkeys(names, 1.0)})})
        return reply

    check(logged(caplog, DecodeUpdates(fedavg()), fault))


@pytest.mark.parametrize("change", [failed, put(NAME, BAD)], ids=["errors", "messages"])
def test_many_failures_are_counted_and_not_logged_one_by_one(change: Change, caplog: pytest.LogCaptureFixture) -> None:
    inner = FedAvg(fraction_evaluate=0.0, min_available_nodes=60)
    lines = logged(
        caplog, DecodeUpdates(inner), lambda reply: change(reply) if reply.metadata.src_node_id > 2 else reply, 60
    )
    check(lines, 30_000)
    ours = [line for line in lines if "left out of this round" in line]
    assert len(ours) in (0, 21)
    assert not ours or ours[-1] == "surp-fl: 38 more replies are left out of this round"
    assert len([line for line in lines if line.endswith("as 20 others failed")]) == 38


def test_a_round_without_a_usable_reply_tells_a_few_reasons() -> None:
    def each_another(reply: Message) -> Message:
        error = Error(2, f"{reply.metadata.src_node_id}: {BAD}")
        return Message(error=error, metadata=reply.metadata)  # type: ignore[call-overload,no-any-return]

    grid = InProcessGrid(app_with([CompressUpdates(SuRP(budget=100))]), 30, fault=each_another)
    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0, min_available_nodes=30))
    with as_server(), pytest.raises(NoUsableReplyError) as raised:
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=1)
    assert len(str(raised.value)) < 3000
    assert str(raised.value).isprintable()
    assert str(raised.value).endswith("; and 25 more")


def test_replies_are_handed_on_as_they_are_and_the_first_errors_with_their_reasons() -> None:
    with as_server():
        asked = Message(RecordDict(), 1, "train")
        good = Message(RecordDict(), reply_to=asked)
        bad = [Message(Error(code, f"reason {code}"), reply_to=asked) for code in range(1, LINES + 3)]
    found = shorten_errors([*bad[:1], good, *bad[1:]])
    assert found[1] is good
    reasons = [f"reason {code}" for code in range(1, LINES + 1)] + [f"as {LINES} others failed"] * 2
    assert [(each.error.code, each.error.reason) for each in found if each is not good] == list(
        zip(range(1, LINES + 3), reasons, strict=True)
    )
