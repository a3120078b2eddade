"""The server takes no more bytes than it asked for: what a client sends beyond that costs one reply, undecoded."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp.strategy import FedAvg

from surp_fl import QSGD, CompressUpdates, Dense, SuRP, TopK
from surp_fl.codecs import reader_of
from surp_fl.codecs.codec import Scheme
from surp_fl.errors import MalformedMessage
from surp_fl.flower.client_state import ServerDirectives
from surp_fl.flower.protocol import BUDGET, NAME
from surp_fl.flower.records import error_reply, from_record, record_of
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.limits import check_numbers, check_payload, payload_limit, payload_of
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, app_with, initial

LAYOUT = Layout.of(initial())
DENSE_BYTES = 4 + 4 * 625
TINY = {"weight": np.zeros((4, 3), np.float32), "bias": np.zeros(3, np.float32)}  # 15 parameters
TINY_DENSE_BYTES = 4 + 4 * 15


def inner(**options: Any) -> FedAvg:
    return FedAvg(fraction_evaluate=0.0, min_available_nodes=3, **options)


def greedy(reply: Message) -> Message:
    """Node 2 sends dense messages, whatever its budget is."""
    if reply.metadata.src_node_id == 2:
        vector = np.random.default_rng(2).normal(size=LAYOUT.size, scale=1 / 64).astype(np.float32)
        message = Dense().codec.encode(vector, LAYOUT, rng=np.random.default_rng(0))
        reply.content.config_records[NAME][NAME] = message
    return reply


def endless(reply: Message) -> Message:
    if reply.metadata.src_node_id == 2:
        reply.content.config_records[NAME][NAME] = bytes([0x20]) + bytes(10_000_000)
    return reply


def run(
    strategy: DecodeUpdates,
    fault: Any = None,
    scheme: Scheme | None = None,
    arrays: Arrays | None = None,
    **options: Any,
) -> InProcessGrid:
    app = app_with([CompressUpdates(scheme or SuRP(budget=100))])
    with as_server():
        grid = InProcessGrid(app, 3, fault=fault)
        strategy.start(grid=grid, initial_arrays=record_of(arrays or initial()), num_rounds=2, **options)
    return grid


def reasons(strategy: DecodeUpdates, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why replies are left out, while the strategy runs."""
    found: list[str] = []

    def noted(reply: Message, reason: str, code: int | None = None) -> Message:
        if code is None:  # else it is an error already, which is handed on
            found.append(reason)
        return error_reply(reply, reason, code)

    monkeypatch.setattr("surp_fl.strategies.replies.error_reply", noted)
    return found


class OwnConfig(FedAvg):
    """Announces a budget in a config of its own, beside the train config."""

    def configure_train(self, *args: Any, **options: Any) -> Any:
        messages = list(super().configure_train(*args, **options))
        for message in messages:
            message.content = RecordDict({**message.content, "limits": ConfigRecord({BUDGET: 90})})
        return messages


@pytest.mark.parametrize(
    ("strategy", "options", "most"),
    [
        (lambda: DecodeUpdates(inner(), budget_for=lambda node, server_round: 100), {}, 100),
        (lambda: DecodeUpdates(inner()), {"train_config": ConfigRecord({BUDGET: 150})}, 150),
        (lambda: DecodeUpdates(OwnConfig(fraction_evaluate=0.0, min_available_nodes=3)), {}, 90),
        (
            lambda: DecodeUpdates(
                OwnConfig(fraction_evaluate=0.0, min_available_nodes=3), budget_for=lambda node, server_round: 120
            ),
            {},
            90,
        ),
    ],
    ids=["budget_for", "train config", "a config of the strategy's", "both"],
)
def test_a_message_beyond_its_nodes_budget_is_rejected_alone(
    strategy: Any, options: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = strategy()
    found = reasons(made, monkeypatch)
    grid = run(made, greedy, **options)
    assert [traffic.failures for traffic in made.traffic] == [1, 1]
    assert [len(traffic.payload_bytes_up) for traffic in made.traffic] == [2, 2]
    assert max(size for traffic in made.traffic for size in traffic.payload_bytes_up) <= most
    assert re.search(f"came with {DENSE_BYTES:,} B; expected at most {most:,}", found[0])
    assert 2 not in made._session.registry.applied  # so that the client adds it back to its residual
    assert grid.contexts[2].state.array_records


def test_no_message_is_longer_than_the_dense_one_even_without_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = DecodeUpdates(inner(), budget_for=lambda node, server_round: 20_000_000)
    found = reasons(strategy, monkeypatch)
    run(strategy, endless)
    assert [traffic.failures for traffic in strategy.traffic] == [1, 1]
    assert f"came with 10,000,001 B; expected at most {DENSE_BYTES:,}" in found[0]
    without = DecodeUpdates(inner())
    run(without, endless)
    assert [traffic.failures for traffic in without.traffic] == [1, 1]


def test_a_message_that_is_too_long_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def noted(record: ConfigRecord) -> Any:
        looked.append(len(record[NAME]))  # type: ignore[arg-type]
        return from_record(record)

    monkeypatch.setattr("surp_fl.strategies.replies.from_record", noted)
    run(DecodeUpdates(inner()), endless)
    assert len(looked) == 4
    assert max(looked) <= 100


def test_all_bytes_of_the_budget_may_be_used() -> None:
    lengths: set[int] = set()

    def watch(reply: Message) -> Message:
        lengths.add(len(reply.content.config_records[NAME][NAME]))  # type: ignore[arg-type]
        return reply

    strategy = DecodeUpdates(inner(), budget_for=lambda node, server_round: DENSE_BYTES)
    run(strategy, lambda reply: watch(greedy(reply)))
    assert DENSE_BYTES in lengths
    assert [traffic.failures for traffic in strategy.traffic] == [0, 0]


@pytest.mark.parametrize(
    "given", [SuRP(budget=218), TopK(budget=400), QSGD(bucket=1)], ids=lambda each: type(each).__name__
)
def test_a_model_too_small_for_a_scheme_is_sent_as_it_is(given: Scheme) -> None:
    scheme: Any = given
    kinds: list[str] = []

    def watch(reply: Message) -> Message:
        message: Any = reply.content.config_records[NAME][NAME]
        kinds.append(reader_of(message).name)
        assert len(message) <= TINY_DENSE_BYTES
        return reply

    strategy = DecodeUpdates(inner(), scheme)
    grid = run(strategy, watch, scheme, TINY)
    assert "dense" in kinds
    assert [traffic.failures for traffic in strategy.traffic] == [0, 0]
    for context in grid.contexts.values():
        if NAME in context.state.array_records:
            assert not context.state.array_records[NAME]["residual"].numpy().any()  # no residual


def test_a_client_keeps_to_the_least_announced_budget() -> None:
    configs = {name: ConfigRecord({BUDGET: budget}) for name, budget in (("a", 80), ("b", 60), ("c", 70))}
    assert ServerDirectives.of(RecordDict({**configs, "d": ConfigRecord({"server-round": 1})})).budget == 60
    assert ServerDirectives.of(RecordDict({"d": ConfigRecord({"server-round": 1})})).budget is None


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ({"a": [1.0] * 999, "b": 1.0}, None),
        ({"a": [1.0] * 999, "b": [1.0, 2.0]}, "are 1,001 numbers; expected at most 1,000"),
        ({"n" * 200: 1.0}, None),
        ({"n" * 201: 1.0}, "has a metric 'nnn"),
        ({"a\nb": 1.0}, r"has a metric 'a\\nb'"),
        ({"surp-fl:arrays": "n" * 201}, "names a record of the app's 'nnn"),
        ({"surp-fl:arrays": "n" * 200, "surp-fl:stats": b"x" * 2000}, None),
    ],
)
def test_metrics_are_bounded_in_number_and_name(metrics: dict[str, Any], says: str | None) -> None:
    if says is None:
        check_numbers(ConfigRecord(metrics))
        return
    with pytest.raises(MalformedMessage, match=says):
        check_numbers(ConfigRecord(metrics))


def test_the_payload_is_the_message_and_its_statistics_and_may_reach_its_limit() -> None:
    record = ConfigRecord({NAME: b"12345", "surp-fl:statistics": b"123", "surp-fl:exact": b"12", "loss": 0.5})
    assert payload_of(record) == 8
    assert payload_of(ConfigRecord({NAME: "text"})) == 0
    check_payload(8, 8)
    with pytest.raises(MalformedMessage, match="came with 9 B; expected at most 8,"):
        check_payload(9, 8)


def test_the_most_that_a_node_may_send_is_the_least_of_what_its_configs_say_and_dense_messages() -> None:
    def most(arrays: Arrays, **configs: Any) -> int:
        return payload_limit(
            RecordDict({key: ConfigRecord({BUDGET: told}) for key, told in configs.items()}), Layout.of(arrays)
        )

    assert most(TINY) == TINY_DENSE_BYTES
    assert most(TINY, a=50, b=40, c=True, d="few") == 40
    assert most(TINY, a=1000) == TINY_DENSE_BYTES
    tied = np.arange(20, dtype=np.float32)
    assert most({"a": tied, "b": tied.copy()}) == 4 + 4 * 40
    assert most(TINY | {"bn.running_mean": tied}) == TINY_DENSE_BYTES + 4 + 4 * 20


def test_metrics_are_looked_at_behind_our_own_entries_too() -> None:
    check_numbers(ConfigRecord({NAME: b"message", "loss": 1.0}))
    with pytest.raises(MalformedMessage, match="it has a metric"):
        check_numbers(ConfigRecord({NAME: b"message", "two\nlines": 1.0}))
