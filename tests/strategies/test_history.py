"""Models of earlier rounds that client and server both keep, with and without lost messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from surp_fl import CompressUpdates, NoMemory, SuRP, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.codecs.surp.decoder import context_of
from surp_fl.flower.protocol import MODEL, NAME
from surp_fl.flower.records import record_of
from surp_fl.frame import HEADER_BYTES
from surp_fl.strategies import DecodeUpdates
from surp_fl.testing import as_server
from tests.flower_app import Arrays, app_with, fedavg, initial, learn, run

NONE, MODEL_ONLY, HISTORY = 0, 1, 2


class Watch:
    """Records which context each reply was coded against; drops the replies that a test names."""

    def __init__(self, *lost: tuple[int, int]) -> None:
        self.contexts: dict[tuple[int, int], int] = {}  # (node, round)
        self._lost = lost
        self._rounds: dict[int, int] = {}

    def __call__(self, reply: Message) -> Message | None:
        if reply.metadata.message_type != "train":
            return reply
        node = reply.metadata.src_node_id
        self._rounds[node] = self._rounds.get(node, 0) + 1
        if reply.has_content():
            message = reply.content.config_records[NAME][NAME]
            assert isinstance(message, bytes)
            self.contexts[node, self._rounds[node]] = context_of(message[HEADER_BYTES:])
        return None if (node, self._rounds[node]) in self._lost else reply


def app(history: bool | None = None, scheme: SuRP = SuRP(100, progressive=True)) -> ClientApp:  # noqa: B008
    return app_with([CompressUpdates(scheme, history=history)])


def failures(strategy: DecodeUpdates) -> list[int]:
    return [traffic.failures for traffic in strategy.traffic]


def test_history_is_used_from_the_second_round() -> None:
    watch, strategy = Watch(), DecodeUpdates(fedavg())
    run(app(), strategy, rounds=3, fault=watch)
    assert {watch.contexts[node, 1] for node in (1, 2, 3)} == {MODEL_ONLY}
    assert {watch.contexts[node, later] for node in (1, 2, 3) for later in (2, 3)} == {HISTORY}
    assert failures(strategy) == [0, 0, 0]


def test_history_can_be_turned_off_and_takes_no_state_then() -> None:
    watch, strategy = Watch(), DecodeUpdates(fedavg())
    found = run(app(history=False), strategy, rounds=3, fault=watch)
    assert set(watch.contexts.values()) == {MODEL_ONLY}
    assert MODEL not in found.grid.contexts[1].state
    assert failures(strategy) == [0, 0, 0]


def test_a_client_without_a_memory_stores_no_vector_at_all_unless_history_is_asked_for() -> None:
    stateless = SuRP(100, progressive=True, memory=NoMemory())
    for history, expected in ((None, {MODEL_ONLY}), (True, {MODEL_ONLY, HISTORY})):
        watch, strategy = Watch(), DecodeUpdates(fedavg())
        found = run(app(history, stateless), strategy, rounds=3, fault=watch)
        assert set(watch.contexts.values()) == expected
        stored = [set(context.state.array_records) for context in found.grid.contexts.values()]
        assert stored == [{MODEL} if history else set()] * len(stored)
        assert failures(strategy) == [0, 0, 0]


def test_a_lost_reply_costs_no_later_one() -> None:
    watch, strategy = Watch((2, 2), (3, 4), (3, 5)), DecodeUpdates(fedavg())
    run(app(), strategy, rounds=7, fault=watch)
    assert failures(strategy) == [0] * 7
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [3, 2, 3, 2, 2, 3, 3]


def test_a_client_that_failed_for_a_round_is_understood_in_the_next() -> None:
    def learn_or_fail(arrays: Arrays, node: int, server_round: int) -> Arrays:
        if node == 1 and server_round == 3:
            raise RuntimeError("out of battery")
        return learn(arrays, node, server_round)

    strategy = DecodeUpdates(fedavg())
    run(app_with([CompressUpdates(SuRP(100, progressive=True))], learn=learn_or_fail), strategy, rounds=5)
    assert failures(strategy) == [0, 0, 1, 0, 0]


def test_a_client_that_lost_its_state_falls_back_to_the_model() -> None:
    strategy = DecodeUpdates(fedavg())

    def forget(reply: Message) -> Message:
        if reply.metadata.message_type == "train":
            grid.contexts[1].state.clear()
        return reply

    watch = Watch()
    grid = run(app(), DecodeUpdates(fedavg()), rounds=1).grid
    grid._fault = lambda reply: watch(forget(reply))
    with as_server():
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=3)
    assert [watch.contexts[1, later] for later in (1, 2, 3)] == [MODEL_ONLY] * 3
    assert [watch.contexts[2, later] for later in (1, 2, 3)] == [MODEL_ONLY, HISTORY, HISTORY]
    assert failures(strategy) == [0, 0, 0]


def test_a_new_server_object_is_not_taken_for_the_old_one() -> None:
    """Clients keep their state while a ServerApp starts a second strategy: its first round must not be lost."""
    grid = run(app(), DecodeUpdates(fedavg()), rounds=3).grid
    second = DecodeUpdates(fedavg())
    with as_server():
        second.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=2)
    assert failures(second) == [0, 0]


def test_schemes_that_change_from_round_to_round_keep_both_ends_at_one_history() -> None:
    def scheme(server_round: int) -> Scheme:
        return SuRP(100, progressive=True) if server_round in (1, 2, 5, 6) else TopK(budget=100)

    strategy = DecodeUpdates(fedavg())
    run(app_with([CompressUpdates(scheme)]), strategy, rounds=6)
    assert failures(strategy) == [0] * 6
    assert all(size <= 100 for traffic in strategy.traffic for size in traffic.payload_bytes_up)


def test_models_of_earlier_rounds_are_kept_within_a_bound() -> None:
    """Clients that were away for longer than that code without history, and are understood."""
    model_bytes = sum(array.nbytes for array in initial().values() if array.dtype.kind == "f") - 20  # "wide" as float32
    asked: list[int] = []

    class Some(FedAvg):
        def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Any:
            messages = super().configure_train(server_round, arrays, config, grid)
            return [each for each in messages if each.metadata.dst_node_id != 1 or server_round in (1, 2, 8, 9)]

    def sizes(strategy: DecodeUpdates) -> int:
        kept = {
            id(each.vector): each.vector.nbytes
            for before in strategy._session.registry._retained.values()
            for each in before
        }
        asked.append(sum(kept.values()))
        return asked[-1]

    class Watched(DecodeUpdates):
        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            sizes(self)
            return super().aggregate_train(server_round, replies)

    for limit, context_in_8 in (
        (2 * model_bytes, HISTORY),
        (model_bytes, MODEL_ONLY),
        (1 << 28, HISTORY),
        (0, MODEL_ONLY),
    ):
        watch = Watch()
        strategy = Watched(Some(min_train_nodes=3, min_available_nodes=3, fraction_evaluate=0.0), history_bytes=limit)
        asked.clear()
        run(app(), strategy, rounds=9, fault=watch)
        assert failures(strategy) == [0] * 9
        assert max(asked) <= max(limit, model_bytes)
        assert [watch.contexts[1, turn] for turn in (1, 2, 3, 4)] == [MODEL_ONLY, HISTORY, context_in_8, HISTORY]
        assert watch.contexts[2, 9] == HISTORY


@pytest.mark.parametrize(("unanswered", "context"), [(1, HISTORY), (7, HISTORY), (8, MODEL_ONLY)])
def test_eight_models_are_kept_of_a_node_that_is_not_heard(unanswered: int, context: int) -> None:
    """The reply to round 2 is lost, and the app fails for some rounds: the client still has the model of round 2."""
    failing = range(3, 3 + unanswered)

    def learn_or_fail(arrays: Arrays, node: int, server_round: int) -> Arrays:
        if node == 0 and server_round in failing:
            raise RuntimeError("out of battery")
        return learn(arrays, node, server_round)

    watch, strategy = Watch((1, 2)), DecodeUpdates(fedavg(2))
    app = app_with([CompressUpdates(SuRP(100, progressive=True))], learn=learn_or_fail)
    run(app, strategy, rounds=failing.stop, nodes=2, fault=watch)
    assert failures(strategy) == [0, 0, *[1] * unanswered, 0]
    assert watch.contexts[1, failing.stop] == context


@pytest.mark.parametrize("columns", [20, 40], ids=["of one size", "of two sizes"])
def test_a_strategy_that_trains_parts_of_a_model_in_turn_loses_no_reply(columns: int) -> None:
    """What a node was sent before is no history of a model with other arrays, on neither end."""

    def two() -> Arrays:
        rng = np.random.default_rng(1)
        return {
            "first": rng.normal(size=(30, 20)).astype(np.float32),
            "second": rng.normal(size=(30, columns)).astype(np.float32),
        }

    class InTurn(FedAvg):
        def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Any:
            self.whole = arrays
            name = ("first", "second")[server_round % 2]
            return super().configure_train(server_round, ArrayRecord({name: arrays[name]}), config, grid)

        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            part, metrics = super().aggregate_train(server_round, replies)
            assert part is not None
            return ArrayRecord({**self.whole, **part}), metrics

    watch = Watch((2, 2))
    strategy = DecodeUpdates(InTurn(min_train_nodes=2, min_available_nodes=2, fraction_evaluate=0.0))
    found = run(app(), strategy, rounds=4, nodes=2, fault=watch, start=two)
    assert failures(strategy) == [0] * 4
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [2, 1, 2, 2]
    assert set(watch.contexts.values()) == {MODEL_ONLY}
    assert not any(np.array_equal(found.models[-1][name], array) for name, array in two().items())
