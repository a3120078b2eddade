"""No single reply ends a run: updates out of proportion are rejected, and a mean that is not finite is not used."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedMedian, Strategy
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import CompressUpdates, Dense, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.errors import MalformedMessage
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates, norm_check, replies
from surp_fl.strategies.proportion import ROUNDS, lower_median, norm_limit, recent_medians
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, app_with, initial, learn, needs_scalars

LAYOUT = Layout.of(initial())
LARGEST = float(np.finfo(np.float32).max)
NODES = 5
NORMS = st.lists(st.floats(0, 1e40), max_size=12)


@given(NORMS, NORMS, st.floats(1, 1e6))
def test_half_of_a_round_and_all_zeros_always_pass(norms: list[float], earlier: list[float], proportion: float) -> None:
    most = norm_limit(norms, recent_medians(earlier, ()), proportion)
    telling = sorted(norm for norm in norms if norm > 0)
    if len(telling) > 1:
        assert all(norm <= most for norm in telling[: (len(telling) + 1) // 2])
    assert most > 0


@given(st.lists(st.floats(1, 100), min_size=3, max_size=11), st.data())
def test_a_minority_moves_the_limit_by_no_more_than_honest_norms_differ(honest: list[float], data: Any) -> None:
    liars = data.draw(st.lists(st.floats(1e-30, 1e40), max_size=len(honest) - 1))
    assert 100 * min(honest) <= norm_limit([*honest, *liars], (), 100.0) <= 100 * max(honest)


@given(st.lists(st.floats(0.1, 1.0), min_size=9, max_size=40), st.integers(0, 3), st.floats(1e-30, 1e40))
def test_one_client_a_round_is_measured_by_rounds_before_it(honest: list[float], place: int, lie: float) -> None:
    earlier: tuple[float, ...] = ()
    for norm in [*honest[:place], lie, *honest[place:]]:
        earlier = recent_medians([norm], earlier)
    assert len(earlier) <= ROUNDS
    assert 10.0 <= norm_limit([lie], earlier, 100.0) <= 100.0


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(1, 30))
def test_rounds_that_shrink_or_grow_together_measure_themselves(norms: list[float], rounds: int) -> None:
    for factor in (0.5, 1.5):
        earlier: tuple[float, ...] = ()
        for number in range(rounds):
            now = [norm * factor**number for norm in norms]
            if len(now) > 1:
                assert norm_limit(now, earlier, 1e4) >= max(now)
            earlier = recent_medians(now, earlier)


def test_any_norm_is_accepted_without_others_to_compare_with() -> None:
    assert (
        norm_limit([5.0], (), 100.0) == norm_limit([0.0, 0.0], (), 100.0) == norm_limit([], (), 100.0) == float("inf")
    )
    assert recent_medians([0.0, 0.0], (3.0,)) == recent_medians([], (3.0,)) == (3.0,)
    assert norm_limit([1e9], (3.0,), 100.0) == 300.0
    assert lower_median([4.0, 1.0, 3.0, 2.0]) == 2.0


# Through Flower.


def says(value: float, node: int = 2, first: int = 1) -> Callable[[Message], Message]:
    """From a round on, one node sends a constant instead of what it learned."""
    rounds: list[int] = []

    def fault(reply: Message) -> Message:
        if reply.metadata.src_node_id == node:
            rounds.append(len(rounds) + 1)
            if rounds[-1] >= first:
                vector = np.full(LAYOUT.size, value, np.float32)
                message = Dense().codec.encode(vector, LAYOUT, rng=np.random.default_rng(0))
                reply.content.config_records[NAME][NAME] = message
        return reply

    return fault


def rounds_of(
    strategy: Strategy,
    fault: Any = None,
    rounds: int = 6,
    scheme: Scheme | None = None,
    nodes: int = NODES,
    learn: Callable[[Arrays, int, int], Arrays] = learn,
) -> list[Arrays]:
    models: list[Arrays] = []
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(scheme or SuRP(budget=100))], learn=learn), nodes, {}, fault)
        strategy.start(
            grid=grid,
            initial_arrays=record_of(initial()),
            num_rounds=rounds,
            evaluate_fn=lambda server_round, record: models.append(arrays_of(record)),
        )
    return models


def inner(make: Any = FedAvg, nodes: int = NODES, **options: Any) -> Any:
    return make(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes, **options)


@pytest.mark.parametrize(
    "make", [FedAvg, FedAdam, pytest.param(FedMedian, marks=needs_scalars)], ids=lambda make: make.__name__
)
@pytest.mark.parametrize("value", [LARGEST, 1e6, -1e3])
def test_an_update_out_of_all_proportion_costs_itself(make: Any, value: float) -> None:
    strategy = DecodeUpdates(inner(make))
    models = rounds_of(strategy, says(value))
    assert [traffic.failures for traffic in strategy.traffic] == [1] * 6
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [NODES - 1] * 6
    assert all(np.abs(model["weight"]).max() < 10 for model in models)
    assert 2 not in strategy._session.registry.applied


def test_any_update_is_taken_where_the_rule_is_switched_off() -> None:
    strategy = DecodeUpdates(inner(), proportion=None)
    models = rounds_of(strategy, says(1e6), rounds=2)
    assert [traffic.failures for traffic in strategy.traffic] == [0, 0]
    assert np.abs(models[-1]["weight"]).max() > 1e5
    with pytest.raises(ValueError, match=r"proportion = 0\.5; expected how many times the usual norm"):
        DecodeUpdates(inner(), proportion=0.5)


@pytest.mark.parametrize("nodes", [1, 2])
def test_with_few_clients_earlier_rounds_are_the_measure(nodes: int) -> None:
    strategy = DecodeUpdates(inner(nodes=nodes))
    models = rounds_of(strategy, says(LARGEST, node=nodes, first=4), rounds=5, nodes=nodes)
    assert [traffic.failures for traffic in strategy.traffic] == [0, 0, 0, 1, 1]
    assert np.abs(models[-1]["weight"]).max() < 10


def test_clients_that_have_nothing_to_say_are_no_measure() -> None:
    def idle(arrays: Arrays, node: int, server_round: int) -> Arrays:
        return learn(arrays, node, server_round) if node == 0 and server_round > 2 else arrays

    strategy = DecodeUpdates(inner())
    models = rounds_of(strategy, learn=idle)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 6
    assert not np.array_equal(models[2]["weight"], models[3]["weight"])


def test_a_start_forgets_what_was_usual_in_the_run_before() -> None:
    strategy = DecodeUpdates(inner(nodes=1))
    rounds_of(strategy, rounds=2, nodes=1)

    def leap(arrays: Arrays, node: int, server_round: int) -> Arrays:
        arrays["weight"] += 1e4
        return arrays

    rounds_of(strategy, rounds=2, nodes=1, learn=leap)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 4


@pytest.mark.parametrize(("scheme", "times"), [(SuRP(budget=30), 1), (Dense(), 2)], ids=["small", "dense"])
def test_updates_that_exceed_the_memory_of_one_model_are_decoded_again_to_the_same(
    scheme: Scheme, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def noted(parsed: Any, *others: Any) -> Any:
        decoded.append(parsed.node)
        return replies.decode(parsed, *others)

    monkeypatch.setattr("surp_fl.strategies.decode_updates.decode", noted)
    with_rule, without = (
        rounds_of(DecodeUpdates(inner(), proportion=proportion), scheme=scheme) for proportion in (100.0, None)
    )
    for name, array in with_rule[-1].items():
        np.testing.assert_array_equal(array, without[-1][name])
    assert len(decoded) == 6 * NODES * (times + 1)  # without the rule, once


def test_decoded_updates_of_a_round_take_no_more_memory_than_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten replies that name a tenth of the coordinates each: three fit, and the others are decoded again."""
    said = replies.DecodedReply((np.arange(62, dtype=np.int64), np.ones(62, np.float32)), {})
    sent_model = type("SentModel", (), {"layout": LAYOUT, "untrained": {}})
    parsed: Any = [type("ParsedReply", (), {"sent_model": sent_model})() for _ in range(10)]
    calls: list[Any] = []

    def decode(each: Any) -> Any:
        calls.append(each)
        return said

    found = list(norm_check.NormCheck(100.0).decode_round(parsed, decode))
    assert len(found) == 10
    assert len(calls) == 10 + 10 - 2500 // (62 * 12)


def test_a_reply_that_cannot_be_decoded_is_tried_once_and_its_time_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent_model = type("SentModel", (), {"layout": LAYOUT, "untrained": {}})
    parsed: Any = [type("ParsedReply", (), {"sent_model": sent_model})() for _ in range(3)]
    calls: list[Any] = []
    clock = iter([100.0, 100.5, 200.0, 200.25, 300.0, 302.0])

    def decode(each: Any) -> Any:
        calls.append(each)
        raise MalformedMessage("damaged")

    monkeypatch.setattr("surp_fl.strategies.norm_check.time.perf_counter", lambda: next(clock))
    found = list(norm_check.NormCheck(100.0).decode_round(parsed, decode))
    assert calls == [each.parsed for each in found] == parsed
    assert [each.seconds for each in found] == [0.5, 0.25, 2.0]
    assert [str(each.result) for each in found] == ["damaged"] * 3


# A mean that is not finite.


def cannot_be_held(strategy: DecodeUpdates, rounds: int = 4) -> list[Arrays]:
    def two_of_them(reply: Message) -> Message:
        if strategy.traffic[-1].server_round == 2 and reply.metadata.src_node_id <= 3:
            vector = np.full(LAYOUT.size, LARGEST, np.float32)
            message = Dense().codec.encode(vector, LAYOUT, rng=np.random.default_rng(0))
            reply.content.config_records[NAME][NAME] = message
        return reply

    return rounds_of(strategy, two_of_them, rounds)


def with_momentum(**options: Any) -> FedAvgM:
    return FedAvgM(server_momentum=0.9, server_learning_rate=2.0, **options)


@pytest.mark.parametrize(
    ("make", "alone"),
    [(FedAvg, None), (with_momentum, None), (with_momentum, False)],  # FedAvg's mean of finite models is finite
    ids=["FedAvg", "FedAvgM", "FedAvgM, of models"],
)
def test_a_mean_that_is_not_finite_leaves_the_model_and_debts_as_they_were(
    make: Any, alone: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = DecodeUpdates(inner(make), proportion=None, mean_alone=alone)
    with caplog.at_level(logging.ERROR, "flwr"):
        logging.getLogger("flwr").propagate = True
        models = cannot_be_held(strategy)
    np.testing.assert_array_equal(models[1]["weight"], models[2]["weight"])
    assert not np.array_equal(models[2]["weight"], models[3]["weight"])
    assert all(np.isfinite(model["weight"]).all() for model in models)
    said = [record for record in caplog.records if "not finite; the model stays" in record.getMessage()]
    assert len(said) == 1
    assert np.abs(models[-1]["weight"]).max() < 10


def test_a_result_that_is_not_finite_counts_for_nobody() -> None:
    class Spoils(FedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
            arrays, metrics = super().aggregate_train(server_round, replies)
            assert arrays is not None
            if server_round == 2:
                arrays["bias"] = Array(np.full(20, np.inf, np.float32))
            return arrays, metrics

    strategy = DecodeUpdates(inner(Spoils), mean_alone=True)
    models = rounds_of(strategy, rounds=2)
    np.testing.assert_array_equal(models[1]["weight"], models[2]["weight"])
    assert set(strategy._session.registry.applied.values()) == {1}


def test_what_is_usual_is_worked_out_by_hand() -> None:
    assert norm_limit([1.0, 50.0], [], 10.0) == 10.0
    assert norm_limit([0.0, 50.0], [], 10.0) == math.inf
    assert norm_limit([0.0, 50.0], [3.0, 2.0, 9.0], 10.0) == 30.0
    assert norm_limit([4.0, 5.0, 6.0, 7.0], [3.0], 2.0) == 10.0
    assert recent_medians([0.0, 4.0, 6.0, 5.0, 7.0], (1.0,)) == (1.0, 5.0)
    assert recent_medians([0.0], (1.0, 2.0)) == (1.0, 2.0)
    earlier = tuple(float(turn) for turn in range(20))
    assert recent_medians([7.0], earlier) == (*earlier[1:], 7.0)
    assert norm_check.NormCheck(1.0).proportion == 1.0
    with pytest.raises(ValueError, match="1 or more, or None"):
        norm_check.NormCheck(0.99)
