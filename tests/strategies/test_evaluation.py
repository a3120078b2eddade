"""Evaluation in the train exchange: the same metrics for the same models, in half of the messages."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Result

from surp_fl import CompressUpdates, ErrorFeedback, SuRP
from surp_fl.flower.protocol import NAME, SESSION
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.strategies import DecodeUpdates
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, fedavg, initial, learn

UP, DOWN = SuRP(budget=100, memory=ErrorFeedback()), SuRP(budget=150)


class Counting(InProcessGrid):
    messages = 0

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
        sent = list(messages)
        self.messages += len(sent)
        return super().send_and_receive(sent, timeout=timeout)


class App:
    """Trains as the tiny app does, and evaluates: the norm of what it was sent, and the config that it was sent."""

    def __init__(self, tell: bool = True, fails: bool = False, name: str = "metrics") -> None:
        self.configs: list[dict[str, Any]] = []
        self.train_configs: list[dict[str, Any]] = []
        self.evaluated: list[tuple[int, Any]] = []  # node, and the one whose config it was sent
        compress = CompressUpdates(UP)
        self.client = ClientApp(mods=[compress])

        @self.client.train()
        def train(message: Message, context: Context) -> Message:
            assert message.metadata.message_type == "train"
            config = message.content.config_records["config"]
            self.train_configs.append({key: value for key, value in config.items() if key != SESSION})
            node, server_round = int(context.node_config["partition-id"]), int(config["server-round"])  # type: ignore
            arrays = learn(arrays_of(message.content.array_records["arrays"]), node, server_round)
            metrics = MetricRecord({"num-examples": 10 + node, "loss": 0.5})
            return Message(RecordDict({"arrays": record_of(arrays), "metrics": metrics}), reply_to=message)

        def evaluate(message: Message, context: Context) -> Message:
            assert message.metadata.message_type == "evaluate"
            self.configs.append(dict(message.content.config_records["config"]))
            self.evaluated.append((context.node_id, self.configs[-1].get("id")))
            if fails:
                raise RuntimeError("no data")
            arrays = arrays_of(message.content.array_records["arrays"])
            message.content.array_records["arrays"].clear()  # to save memory, as Flower's keep_input=False does
            node = int(context.node_config["partition-id"])
            figures: dict[str, Any] = {"num-examples": 1 + node, "norm": float(np.linalg.norm(arrays["weight"]))}
            return Message(RecordDict({name: MetricRecord(figures)}), reply_to=message)

        self.client.evaluate()(compress.evaluates(evaluate) if tell else evaluate)


def run(app: App, rounds: int = 4, nodes: int = 3, **options: Any) -> tuple[Result, Counting, DecodeUpdates]:
    strategy = DecodeUpdates(options.pop("inner", None) or fedavg(nodes), **options)
    with as_server():
        grid = Counting(app.client, nodes)
        result = strategy.start(
            grid=grid,
            initial_arrays=record_of(initial()),
            num_rounds=rounds,
            train_config=ConfigRecord({"rate": 0.1}),
            evaluate_config=ConfigRecord({"batch": 64, "names": ["a", "b"], "key": b"bytes"}),
        )
    return result, grid, strategy


@pytest.mark.parametrize("downlink", [None, DOWN], ids=["full models", "changes"])
@pytest.mark.parametrize("name", ["metrics", "scores"])
def test_it_gives_the_metrics_that_an_exchange_of_its_own_gives(downlink: Any, name: str) -> None:
    apart, together = App(name=name), App(name=name)
    usual, exchanges, _ = run(apart, downlink=downlink)
    result, grid, strategy = run(together, downlink=downlink, evaluate_with_train=True)
    for server_round, metrics in usual.evaluate_metrics_clientapp.items():  # summed in another order
        assert dict(result.evaluate_metrics_clientapp[server_round]) == pytest.approx(dict(metrics))
    assert list(result.evaluate_metrics_clientapp) == [1, 2, 3, 4]
    assert dict(result.train_metrics_clientapp).keys() == dict(usual.train_metrics_clientapp).keys()
    assert {**result.arrays} == {**usual.arrays}
    assert (exchanges.messages, grid.messages) == (24, 15)  # 4 rounds of 3 clients; the last model apart
    assert sum(traffic.failures for traffic in strategy.traffic) == 0
    order = lambda config: config["server-round"]  # noqa: E731
    assert sorted(together.configs, key=order) == sorted(apart.configs, key=order)
    assert together.train_configs == apart.train_configs  # the app does not see what was asked of the mod


def test_a_client_that_cannot_evaluate_trains_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    for app, says in ((App(tell=False), "@compress.evaluates"), (App(fails=True), "RuntimeError('no data')")):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "flwr"):
            result, _, strategy = run(app, rounds=2, evaluate_with_train=True)
        assert says in caplog.text
        assert "none of 3 clients evaluated the model of round 1" in caplog.text
        assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [3, 3]
        assert 1 not in result.evaluate_metrics_clientapp


def test_the_clients_that_were_chosen_evaluate_each_with_its_own_config() -> None:
    class Chooses(FedAvg):
        def configure_evaluate(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            messages = sorted(
                super().configure_evaluate(server_round, arrays, config, grid),
                key=lambda each: -each.metadata.dst_node_id,
            )[:2]
            for message in messages:
                own = ConfigRecord({**message.content.config_records["config"], "id": message.metadata.dst_node_id})
                message.content = RecordDict({**message.content, "config": own})
            return messages

    app = App()
    _, grid, _ = run(app, inner=Chooses(min_available_nodes=3), evaluate_with_train=True)
    assert sorted(app.evaluated) == [(2, 2)] * 4 + [(3, 3)] * 4
    assert grid.messages == 4 * 3 + 2


@pytest.mark.parametrize("more", [ConfigRecord({"a": 1}), MetricRecord({"a": 1})], ids=["config", "metrics"])
def test_what_a_train_message_cannot_carry_is_evaluated_apart(more: Any) -> None:
    class Second(FedAvg):
        def configure_evaluate(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            messages = list(super().configure_evaluate(server_round, arrays, config, grid))
            messages[0].content = RecordDict({**messages[0].content, "more": more})
            return messages

    app = App()
    result, grid, _ = run(app, inner=Second(min_available_nodes=3), evaluate_with_train=True)
    assert grid.messages == 24
    assert list(result.evaluate_metrics_clientapp) == [1, 2, 3, 4]


def test_as_many_clients_evaluate_as_the_strategy_asks_for(caplog: pytest.LogCaptureFixture) -> None:
    inner = FedAvg(fraction_evaluate=0.4, fraction_train=0.6, min_available_nodes=5)
    app = App()
    result, grid, _ = run(app, rounds=5, nodes=5, inner=inner, evaluate_with_train=True)
    assert len(app.configs) == 2 * 5
    assert list(result.evaluate_metrics_clientapp) == [1, 2, 3, 4, 5]
    none = App()
    result, grid, _ = run(none, inner=fedavg(fraction_evaluate=0.0), evaluate_with_train=True)
    assert (none.configs, grid.messages, dict(result.evaluate_metrics_clientapp)) == ([], 12, {})
    assert "clients evaluated" not in caplog.text


def test_a_metric_that_is_none_costs_that_clients_evaluation_alone(caplog: pytest.LogCaptureFixture) -> None:
    def spoil(message: Message, reply: Message) -> Message:
        record = reply.content.config_records.get(NAME) if reply.has_content() else None
        if record is not None and reply.metadata.src_node_id == 1:
            record["surp-fl:evaluated:norm"] = "text"
        return reply

    class Spoiling(Counting):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            return [spoil(reply, reply) for reply in super().send_and_receive(messages, timeout=timeout)]

    strategy = DecodeUpdates(fedavg(), evaluate_with_train=True)
    with as_server(), caplog.at_level(logging.WARNING, "flwr"):
        grid = Spoiling(App().client, 3)
        result = strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=2)
    assert "its evaluation is no metrics" in caplog.text
    assert [traffic.failures for traffic in strategy.traffic] == [0, 0]
    assert list(result.evaluate_metrics_clientapp) == [1, 2]


def test_what_a_client_that_was_not_asked_says_of_the_model_does_not_count() -> None:
    class Unasked(Counting):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            replies = super().send_and_receive(messages, timeout=timeout)
            for reply in replies:
                record = reply.content.config_records.get(NAME)
                if record is not None and "surp-fl:evaluated" not in record:
                    told: Any = {"surp-fl:evaluated": "metrics", "surp-fl:evaluated:num-examples": 1}
                    record.update({**told, "surp-fl:evaluated:norm": 1e9})
            return replies

    inner = FedAvg(fraction_evaluate=0.4, min_available_nodes=5)
    strategy = DecodeUpdates(inner, evaluate_with_train=True)
    with as_server():
        grid = Unasked(App().client, 5)
        result = strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=3)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 3
    assert all(float(metrics["norm"]) < 1e3 for metrics in result.evaluate_metrics_clientapp.values())  # type: ignore


def test_no_other_model_is_evaluated_in_place_of_the_one_that_waits(caplog: pytest.LogCaptureFixture) -> None:
    class LaterDerived(FedAvg):
        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            moved: Arrays = {**arrays_of(arrays), "weight": np.zeros((30, 20), np.float32)}
            record = record_of(moved) if server_round == 2 else arrays
            return super().configure_train(server_round, record, config, grid)

    with caplog.at_level(logging.WARNING, "flwr"):
        result, _, _ = run(App(), inner=LaterDerived(min_available_nodes=3), evaluate_with_train=True)
    assert list(result.evaluate_metrics_clientapp) == [2, 3, 4]
    assert "none of 0 clients evaluated the model of round 1" in caplog.text


def test_a_strategy_that_trains_another_model_than_it_evaluates_evaluates_apart() -> None:
    class Derived(FedAvg):
        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            moved: Arrays = {**arrays_of(arrays), "bias": np.zeros(20, np.float32)}
            return super().configure_train(server_round, record_of(moved), config, grid)

    result, grid, _ = run(App(), inner=Derived(min_available_nodes=3), evaluate_with_train=True)
    assert grid.messages == 24
    assert list(result.evaluate_metrics_clientapp) == [1, 2, 3, 4]
