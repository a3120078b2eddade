"""Delivery of models: strategies that send several, and clients that cannot apply what they are sent."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp.strategy import FedAvg

from surp_fl import CompressUpdates, SuRP
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.protocol import NAME
from surp_fl.flower.received_model import receive_model
from surp_fl.flower.records import arrays_of, error_reply, record_of
from surp_fl.strategies import DecodeUpdates, NoUsableReplyError
from surp_fl.strategies.downlink.delivery import Delivery
from surp_fl.strategies.downlink.deltas import Downlink
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, app_with, fedavg, initial, learn, run

UP, DOWN = SuRP(budget=100), SuRP(budget=150)
WHOLE = sum(array.nbytes for array in initial().values())


class Sends(FedAvg):
    """FedAvg that does something to its messages."""

    def __init__(self, train: Any = None, evaluate: Any = None, **options: Any) -> None:
        super().__init__(min_available_nodes=3, **options)
        self.to_train, self.to_evaluate = train, evaluate

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
        return self._done(self.to_train, super().configure_train(server_round, arrays, config, grid))

    def configure_evaluate(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
        return self._done(self.to_evaluate, super().configure_evaluate(server_round, arrays, config, grid))

    def _done(self, change: Any, messages: Iterable[Message]) -> list[Message]:
        found = list(messages)
        for place, message in enumerate(found if change else []):
            message.content = RecordDict(change(place, dict(message.content.items())))
        return found


def own_copy(place: int, content: dict[str, Any]) -> dict[str, Any]:
    return content | {"arrays": record_of(arrays_of(content["arrays"]))}


def own_model(place: int, content: dict[str, Any]) -> dict[str, Any]:
    arrays = arrays_of(content["arrays"])
    arrays["bias"] += place
    return content | {"arrays": record_of(arrays)}


def signs_alone(place: int, content: dict[str, Any]) -> dict[str, Any]:
    arrays = arrays_of(content["arrays"])
    return content | {"arrays": record_of(arrays | {"weight": np.sign(arrays["weight"])})}


def no_model(place: int, content: dict[str, Any]) -> dict[str, Any]:
    return {"config": ConfigRecord({"server-round": 1, "stop": True})} if place == 0 else content


def two_models(place: int, content: dict[str, Any]) -> dict[str, Any]:
    return content | {"extra": ArrayRecord({"c": Array(np.zeros(3, np.float32))})}


def test_different_models_in_one_round_are_refused_with_changes_and_sent_as_they_are_without() -> None:
    app = app_with([CompressUpdates(UP)])
    found = run(app, DecodeUpdates(Sends(own_model)), rounds=2)
    assert found.models[-1]["batches"] == 60
    with pytest.raises(ValueError, match="3 different models in one round"):
        run(app, DecodeUpdates(Sends(own_model), downlink=DOWN), rounds=1)


def test_equal_models_in_records_of_their_own_are_one_model() -> None:
    strategy = DecodeUpdates(Sends(own_copy, own_copy), downlink=DOWN)
    run(app_with([CompressUpdates(UP)]), strategy)
    assert max(strategy.traffic[-1].payload_bytes_down) <= 150 + 8


def test_a_model_that_is_only_evaluated_is_sent_in_full_and_leaves_the_public_model_unchanged() -> None:
    trained: list[Arrays] = []
    evaluated: list[Any] = []

    def look(arrays: Arrays, node: int, server_round: int) -> Arrays:
        trained.append({name: array.copy() for name, array in arrays.items()})
        return learn(arrays, node, server_round)

    def mod(message: Message, context: Any, call_next: Any) -> Message:
        if message.metadata.message_type == "evaluate":
            evaluated.append(np.abs(arrays_of(message.content.array_records["arrays"])["weight"]))
        reply: Message = call_next(message, context)
        return reply

    for train in (None, signs_alone):
        strategy = DecodeUpdates(Sends(train, None if train else signs_alone), downlink=SuRP(budget=600))
        trained.clear()
        evaluated.clear()
        found = run(app_with([CompressUpdates(SuRP(budget=600)), mod], learn=look), strategy, rounds=4)
        assert [traffic.failures for traffic in strategy.traffic] == [0] * 4
        assert [sorted(traffic.payload_bytes_down)[3] for traffic in strategy.traffic] == 4 * [WHOLE]  # to evaluate
        assert all(sorted(traffic.payload_bytes_down)[2] <= 608 for traffic in strategy.traffic[1:])  # to train
        if not train:
            assert all(np.all(weight == 1) for weight in evaluated)
            for before, start in zip(found.models, trained[::3], strict=False):
                assert np.linalg.norm(start["weight"] - before["weight"]) < 0.1 * np.linalg.norm(before["weight"])


@pytest.mark.parametrize("options", [{}, {"packed": False}, {"downlink": DOWN}], ids=str)
@pytest.mark.parametrize("change", [no_model, two_models])
def test_evaluate_messages_may_hold_no_model_or_more(change: Any, options: dict[str, Any]) -> None:
    def mod(message: Message, context: Any, call_next: Any) -> Message:
        if "arrays" not in message.content:
            return Message(RecordDict(), reply_to=message)
        if message.metadata.message_type == "evaluate":
            assert ("extra" in message.content) is (change is two_models)
        reply: Message = call_next(message, context)
        return reply

    class Some(Sends):
        def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> Any:
            return super().aggregate_evaluate(server_round, [reply for reply in replies if len(reply.content)])

    strategy = DecodeUpdates(Some(evaluate=change), **options)
    found = run(app_with([CompressUpdates(UP), mod]), strategy)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 3
    assert len(found.result.evaluate_metrics_clientapp) == 3


def test_a_second_start_begins_with_its_own_model() -> None:
    seen: list[bytes] = []

    def look(arrays: Arrays, node: int, server_round: int) -> Arrays:
        seen.append(digest_of({"weight": arrays["weight"]}))
        return learn(arrays, node, server_round)

    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN)
    app = app_with([CompressUpdates(UP)], learn=look)
    for seed in (5, 6):
        model = initial() | {"weight": np.random.default_rng(seed).normal(size=(30, 20)).astype(np.float32)}
        with as_server():
            strategy.start(grid=InProcessGrid(app, 3), initial_arrays=record_of(model), num_rounds=2)
        assert seen[-6:-3] == 3 * [digest_of({"weight": model["weight"]})]


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_client_that_never_takes_the_model_costs_its_own_replies(kind: str) -> None:
    def never(reply: Message) -> Message:
        if reply.metadata.src_node_id == 1 and reply.metadata.message_type == kind:
            reply.content = RecordDict({NAME: ConfigRecord({"surp-fl:missing": True})})
        return reply

    strategy = DecodeUpdates(fedavg(), downlink=DOWN)
    found = run(app_with([CompressUpdates(UP)]), strategy, fault=never)
    assert [traffic.failures for traffic in strategy.traffic] == 3 * [int(kind == "train")]
    assert len(found.result.evaluate_metrics_clientapp) == 3


def test_after_two_errors_in_a_row_a_client_is_sent_the_full_model_and_after_one_it_is_not() -> None:
    def fails(reply: Message) -> Message:
        calls.append(reply.metadata.src_node_id)
        if reply.metadata.src_node_id == 1 and calls.count(1) in (2, 4, 5):  # rounds
            return error_reply(reply, "out of memory")
        return reply

    calls: list[int] = []
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN)
    run(app_with([CompressUpdates(UP)]), strategy, rounds=6, fault=fails)
    assert [traffic.failures for traffic in strategy.traffic] == [0, 1, 0, 1, 1, 0]
    assert [traffic.payload_bytes_down.count(WHOLE) for traffic in strategy.traffic] == [3, 0, 0, 0, 0, 1]


class Damaging(InProcessGrid):
    """Does something to the messages on their way down to node 1."""

    damage: Callable[[Any], None]
    timeouts: list[float | None]
    lives: list[float]
    groups: list[str]

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
        found = list(messages)
        self.timeouts.append(timeout)
        self.lives += [message.metadata.ttl for message in found]
        self.groups += [message.metadata.group_id for message in found]
        for message in found:
            config = message.content.config_records.get("config")
            if message.metadata.dst_node_id == 1 and config is not None and "surp-fl:deltas" in config:
                self.damage(config)
        return super().send_and_receive(found, timeout=timeout)


def cut_delta(config: Any) -> None:
    config["surp-fl:deltas"] = [delta[:-1] for delta in config["surp-fl:deltas"]]


def other_version(config: Any) -> None:
    config["surp-fl:version"] = b"another."


@pytest.mark.parametrize("damage", [cut_delta, other_version])
def test_a_client_that_cannot_read_deltas_is_sent_the_full_model_in_the_time_that_is_left(damage: Any) -> None:
    class Brief(FedAvg):
        def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
            messages = list(super().configure_train(server_round, arrays, config, grid))
            for message in messages:
                message.metadata.ttl, message.metadata.group_id = 100, "ours"
            return messages

    strategy = DecodeUpdates(Brief(fraction_evaluate=0.0, min_available_nodes=3), downlink=DOWN)
    with as_server():
        grid = Damaging(app_with([CompressUpdates(UP)]), 3)
        grid.damage, grid.timeouts, grid.lives, grid.groups = damage, [], [], []
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=4, timeout=60)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 4
    assert [len(traffic.payload_bytes_down) for traffic in strategy.traffic] == [3, 4, 4, 4]
    again = [timeout for timeout in grid.timeouts if timeout != 60]
    assert len(again) == 3
    assert all(timeout is not None and 30 < timeout < 60 for timeout in again)
    assert set(grid.lives) == {100}
    assert set(grid.groups) == {"ours"}


@pytest.mark.parametrize("name", ["surp-fl:held", "surp-fl", "surp-fl:sent", "surp-fl:model"])
def test_state_that_cannot_be_read_is_as_if_there_were_none(name: str) -> None:
    def spoil(server_round: int, record: Any) -> None:
        state = grid.contexts[1].state
        if server_round == 2:
            broken = Array(dtype="float32", shape=(632,), stype="numpy.ndarray", data=b"\x93NUMPY")
            state[name] = ArrayRecord({"weight": broken})
        if server_round == 3:
            state[name] = ConfigRecord({"not": "arrays"})

    for options in ({}, {"downlink": DOWN}):
        strategy = DecodeUpdates(fedavg(), **options)  # type: ignore[arg-type]
        with as_server():
            grid = InProcessGrid(app_with([CompressUpdates(UP)]), 3)
            strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=6, evaluate_fn=spoil)
        assert [traffic.failures for traffic in strategy.traffic] == [0] * 6


def test_integer_arrays_go_down_when_they_change() -> None:
    def with_mask(arrays: Arrays, node: int, server_round: int) -> Arrays:
        mask = arrays.pop("mask")
        return learn(arrays, node, server_round) | {"mask": mask}

    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0), downlink=DOWN)
    seen: list[Arrays] = []

    def look(arrays: Arrays, node: int, server_round: int) -> Arrays:
        seen.append({name: array.copy() for name, array in arrays.items()})
        return with_mask(arrays, node, server_round)

    model = initial() | {"mask": np.random.default_rng(0).random((64, 64)) < 0.5}
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(UP)], learn=look), 3)
        strategy.start(grid=grid, initial_arrays=record_of(model), num_rounds=4)
    assert all(size <= 150 + 8 for traffic in strategy.traffic[1:] for size in traffic.payload_bytes_down)
    assert [int(arrays["batches"]) for arrays in seen[::3]] == [0, 30, 60, 90]
    assert all(np.array_equal(arrays["mask"], model["mask"]) for arrays in seen)


def messages_to(nodes: int, model: Arrays) -> list[Message]:
    record = record_of(model)
    return [Message(RecordDict({"arrays": record, "config": ConfigRecord({})}), node, "train") for node in range(nodes)]


def test_a_chain_of_deltas_is_never_longer_than_the_full_model() -> None:
    model, rng = initial(), np.random.default_rng(0)
    with as_server():
        downlink = Downlink(SuRP(budget=40))
        downlink.advance(record_of(model))
        held = downlink.version
        for server_round in range(200):
            model["weight"] += rng.normal(size=(30, 20)).astype(np.float32)
            model["batches"] += server_round % 2
            downlink.advance(record_of(model))
        spent = sum(delta.change.payload + 16 for delta in downlink._public._deltas)
        assert WHOLE / 4 < spent <= WHOLE / 2
        big = {"weight": rng.normal(size=40_000).astype(np.float32)}
        downlink = Downlink(SuRP(budget=40))
        for _ in range(200):
            big["weight"] = big["weight"] + rng.normal(size=40_000).astype(np.float32)
            downlink.advance(record_of(big))
        assert len(downlink._public._deltas) == 128
        again = downlink.version
        downlink.advance(record_of(big))
        assert (downlink.version, len(downlink._public._deltas)) == (again, 128)
        assert held != again


@pytest.mark.parametrize(
    "wrong", [2000, "surp:2000", SuRP, lambda server_round: SuRP], ids=["number", "text", "class", "function"]
)
def test_a_downlink_that_is_no_scheme_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a scheme, as in downlink=SuRP\(budget=2000\), a function"):
        DecodeUpdates(fedavg(), downlink=wrong)


@pytest.mark.parametrize("options", [{}, {"downlink": DOWN}], ids=str)
def test_a_model_with_nan_ends_the_run_as_divergence_does(options: dict[str, Any]) -> None:
    class Diverging(FedAvg):
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            arrays, metrics = super().aggregate_train(server_round, replies)
            assert arrays is not None
            model = arrays_of(arrays)
            if server_round == 2:
                model["weight"][0] = np.nan
            return record_of(model), metrics

    with pytest.raises(NoUsableReplyError, match="NaN or infinity"):
        run(app_with([CompressUpdates(UP)]), DecodeUpdates(Diverging(min_available_nodes=3), **options), rounds=9)


def test_the_compression_ratio_is_that_of_the_model_to_the_messages() -> None:
    random.seed(1)
    for options in ({}, {"downlink": DOWN}):
        strategy = DecodeUpdates(fedavg(), **options)  # type: ignore[arg-type]
        found = run(app_with([CompressUpdates(UP)]), strategy)
        for server_round, metrics in found.result.train_metrics_clientapp.items():
            up = strategy.traffic[server_round - 1].payload_bytes_up
            assert metrics["surp-fl/compression_ratio"] == pytest.approx(WHOLE / (sum(up) / len(up)))


def test_a_model_that_is_evaluated_before_any_is_trained_is_not_kept() -> None:
    record = record_of(initial())
    with as_server():
        grid = InProcessGrid(app_with([]), 1)
        (message,) = messages_to(1, initial())
        delivery = Delivery(DOWN, packed=True)
        delivery.evaluate([message], grid, record, 0)
        assert delivery.attach_models([message]).payload == [WHOLE]
        assert not receive_model(message.content, None).keep
        (message,) = messages_to(1, initial())
        delivery.train([message], grid, record, 1)
        assert delivery.attach_models([message]).payload == [WHOLE]
        assert receive_model(message.content, None).keep
