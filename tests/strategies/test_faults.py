"""A hundred rounds in which everything goes wrong at random: nothing is lost, and nothing is counted twice."""

from __future__ import annotations

import copy
import logging
import random
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg

from surp_fl import DGC, STC, CompressUpdates, MomentumCorrection, SuRP, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.protocol import NAME, SENT
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates, NoUsableReplyError
from surp_fl.testing import InProcessGrid, as_server
from surp_fl.updates import as_vector
from tests.flower_app import Arrays, app_with, initial, learn

pytestmark = pytest.mark.slow

LAYOUT = Layout.of(initial())
NODES = 6
Vector = np.ndarray[Any, Any]
_OTHER = Layout.of({"other": np.zeros(700, np.float32)})
_FOREIGN = SuRP(budget=80).codec.encode(
    np.random.default_rng(0).normal(size=700).astype(np.float32), _OTHER, rng=np.random.default_rng(0)
)


class Chaos:
    """Clients and a network that fail at random, and the sum of each client's wanted updates.

    Of every client's round: its app raises, its reply is lost (late replies are, too: Flower gives the server those of
    its round alone), damaged, cut, or of another model. Now and then a client loses its state.
    """

    def __init__(self, seed: int, losing_state: bool) -> None:
        self._random = random.Random(seed)
        self._losing_state = losing_state
        self._begun = False  # a first round without a usable reply ends the run
        self.wanted = {node: np.zeros(LAYOUT.size) for node in range(1, NODES + 1)}  # by clients, since their last loss
        self.happened: Counter[str] = Counter()
        self.grid: InProcessGrid | None = None

    def learn(self, arrays: Arrays, node: int, server_round: int) -> Arrays:
        """What a client's app does: raise, or learn something; it is noted when the reply leaves the client."""
        if server_round > 1 and self._random.random() < 0.1:
            self.happened["app raised"] += 1
            raise RuntimeError("out of battery")
        delta = (np.random.default_rng([node, server_round]).standard_t(2, LAYOUT.size) / 64).astype(np.float32)
        start = LAYOUT.flatten(arrays)
        after = LAYOUT.unflatten(start + delta, {"batches": arrays["batches"] + 1})
        self.wanted[node + 1] += (LAYOUT.flatten(after) - start).astype(float)
        return after

    def fault(self, reply: Message) -> Message | None:
        """What happens to a reply on its way."""
        if reply.metadata.message_type != "train" or reply.has_error() or not self._begun:
            return reply
        record = reply.content.config_records[NAME]
        message = record[NAME]
        assert isinstance(message, bytes)
        what = self._random.choices(["nothing", "lost", "damaged", "cut", "foreign", "text"], [60, 15, 8, 6, 6, 5])[0]
        self.happened[what] += 1
        if what == "lost":
            return None
        if what == "damaged":
            place = self._random.randrange(len(message))
            record[NAME] = (
                message[:place] + bytes([message[place] ^ 1 << self._random.randrange(8)]) + message[place + 1 :]
            )
        elif what == "cut":
            record[NAME] = message[: self._random.randrange(1, len(message))]
        elif what == "foreign":
            record[NAME] = _FOREIGN
        elif what == "text":
            record["loss"] = "a text"
        return reply

    def between_rounds(self, server_round: int) -> None:
        """A client restarts, with nothing left."""
        assert self.grid is not None
        self._begun = server_round > 0
        if self._losing_state and self._random.random() < 0.05:
            node = self._random.choice(sorted(self.grid.contexts))
            self.grid.contexts[node].state.clear()
            self.happened["state lost"] += 1


class Watched(DecodeUpdates):
    """Records, for each node, the sum of its updates that were applied."""

    applied: dict[int, Vector]

    def watch(self) -> None:
        self.applied = {node: np.zeros(LAYOUT.size) for node in range(1, NODES + 1)}

    def _decoded(self, parsed: Any, errors: Any) -> Any:
        for each, decoded in super()._decoded(parsed, errors):
            self.applied[each.node] += as_vector(decoded.update, LAYOUT.size)
            yield each, decoded


def memory_of(grid: InProcessGrid, node: int, name: str, key: str) -> Vector:
    records = grid.contexts[node].state.array_records
    return arrays_of(records[name]).get(key, np.zeros(0)) if name in records else np.zeros(0)


def residual_of(grid: InProcessGrid, node: int, applied_round: int) -> Vector:
    """A client's residual, with its last message added back if that was not applied."""
    vector = np.zeros(LAYOUT.size)
    residual = memory_of(grid, node, NAME, "residual")
    if residual.size:
        vector += residual
    state = grid.contexts[node].state.config_records
    if "surp-fl:session" in state and state["surp-fl:session"]["round"] != applied_round:
        indices, values = (memory_of(grid, node, SENT, key) for key in ("indices", "values"))
        vector[indices.astype(int) if len(indices) else slice(None)] += values if len(values) else 0
    return vector


def run_through(chaos: Chaos, scheme: Scheme, rounds: int, sampled: int = NODES) -> tuple[Watched, list[Arrays]]:
    inner = FedAvg(
        fraction_train=sampled / NODES, fraction_evaluate=0.0, min_train_nodes=sampled, min_available_nodes=NODES
    )
    strategy = Watched(inner, patience=10)
    strategy.watch()
    models: list[Arrays] = []

    def after_round(server_round: int, record: Any) -> None:
        models.append(arrays_of(record))
        chaos.between_rounds(server_round)

    with as_server():
        chaos.grid = InProcessGrid(app_with([CompressUpdates(scheme)], learn=chaos.learn), NODES, {}, chaos.fault)
        strategy.start(grid=chaos.grid, initial_arrays=record_of(initial()), num_rounds=rounds, evaluate_fn=after_round)
    return strategy, models


@pytest.mark.parametrize(
    "scheme", [SuRP(budget=100), STC(budget=100), TopK(budget=400)], ids=lambda scheme: type(scheme).__name__
)
@pytest.mark.parametrize("sampled", [NODES, 3])
def test_what_was_applied_is_what_clients_believe_they_sent(scheme: Scheme, sampled: int) -> None:
    """For every client that kept its state: Σ wanted = Σ applied + residual."""
    random.seed(5)  # Flower samples with it
    chaos = Chaos(1, losing_state=False)
    strategy, _ = run_through(chaos, scheme, rounds=100, sampled=sampled)
    assert chaos.grid is not None
    for node, wanted in chaos.wanted.items():
        believed = strategy.applied[node] + residual_of(
            chaos.grid, node, strategy._session.registry.applied.get(node, 0)
        )
        np.testing.assert_allclose(believed, wanted, atol=2e-3)  # float32 sums of 100 rounds
        assert np.linalg.norm(strategy.applied[node]) > 0.3 * np.linalg.norm(wanted)
    assert all(chaos.happened[what] > 5 for what in ("app raised", "lost", "damaged", "cut", "foreign", "text"))
    failures = sum(traffic.failures for traffic in strategy.traffic)
    bad = sum(chaos.happened[what] for what in ("app raised", "damaged", "cut", "foreign", "text"))
    assert failures == bad


def test_rounds_go_on_where_clients_restart_with_nothing() -> None:
    chaos = Chaos(2, losing_state=True)
    strategy, models = run_through(chaos, SuRP(budget=100), rounds=120)
    assert chaos.happened["state lost"] > 5
    assert len(models) == 121
    bad = sum(chaos.happened[what] for what in ("app raised", "damaged", "cut", "foreign", "text"))
    assert sum(traffic.failures for traffic in strategy.traffic) == bad  # no reply fails for a lost state


def test_a_client_that_joins_late_is_one_like_the_others() -> None:
    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0, min_available_nodes=2))
    app = app_with([CompressUpdates(SuRP(budget=100))])
    with as_server():
        grid = InProcessGrid(app, 3)
        late = grid.contexts.pop(3)

        def join(server_round: int, record: Any) -> None:
            if server_round == 50:
                grid.contexts[3] = late

        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=60, evaluate_fn=join)
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [2] * 50 + [3] * 10
    assert sum(traffic.failures for traffic in strategy.traffic) == 0


def test_a_round_without_a_usable_reply_leaves_the_model_and_residuals_as_they_were() -> None:
    app = app_with([CompressUpdates(SuRP(budget=100))])
    models: list[Arrays] = []
    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0))

    def lose(reply: Message) -> Message:
        if strategy.traffic and strategy.traffic[-1].server_round in (3, 4):
            reply.content.config_records[NAME][NAME] = b"cut"
        return reply

    with as_server():
        grid = InProcessGrid(app, 2, fault=lose)
        strategy.start(
            grid=grid,
            initial_arrays=record_of(initial()),
            num_rounds=5,
            evaluate_fn=lambda server_round, record: models.append(arrays_of(record)),
        )
    assert [traffic.failures for traffic in strategy.traffic] == [0, 0, 2, 2, 0]
    np.testing.assert_array_equal(models[2]["weight"], models[4]["weight"])
    assert not np.array_equal(models[4]["weight"], models[5]["weight"])


def test_rounds_that_fail_for_too_long_end_the_run() -> None:
    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0), patience=2)

    def lose(reply: Message) -> Message:
        if len(strategy.traffic) > 1:
            reply.content.config_records[NAME][NAME] = b"cut"
        return reply

    grid = InProcessGrid(app_with([CompressUpdates(SuRP(budget=100))]), 2, fault=lose)
    with as_server(), pytest.raises(NoUsableReplyError, match="round 4: none of the 2 replies"):
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=9)


def test_a_second_reply_of_a_node_in_a_round_is_not_counted_twice() -> None:
    class Twice(InProcessGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            replies = super().send_and_receive(messages)
            return [*replies, *copy.deepcopy(replies[:1])]

    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0))
    with as_server():
        grid = Twice(app_with([CompressUpdates(SuRP(budget=100))]), 2)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=2)
    assert [(traffic.failures, len(traffic.payload_bytes_up)) for traffic in strategy.traffic] == [(1, 2), (1, 2)]


@pytest.mark.parametrize("alone", [None, False], ids=["pairs", "models"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num-examples": -1.0}, "its weight, is -1.0; expected one number, 0 or up to"),
        ({"num-examples": float("nan")}, "its weight, is nan"),
        ({"num-examples": 1e39}, "its weight, is 1e[+]39"),
        ({"num-examples": 1e-46}, "its weight, is 1e-46"),
        ({"loss": [0.5]}, r"\['loss\[1\]', 'num-examples'\]"),
        ({"surp-fl:metrics": "numbers"}, "in 'numbers' beside 'arrays'"),
        ({"num-examples": [1.0, 2.0]}, r"\['loss', 'num-examples\[2\]'\]"),
        ({"accuracy": 1.0}, "let every client report the same ones"),
    ],
)
def test_odd_metrics_cost_one_reply(
    change: dict[str, Any], says: str, alone: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(reply: Message) -> Message:
        if reply.metadata.src_node_id == 2:
            for name, value in change.items():
                reply.content.config_records[NAME][name] = value
        return reply

    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0), mean_alone=alone)
    with as_server(), caplog.at_level(logging.WARNING, "flwr"):
        logging.getLogger("flwr").propagate = True
        grid = InProcessGrid(app_with([CompressUpdates(SuRP(budget=100))]), 3, fault=odd)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=2)
    assert [traffic.failures for traffic in strategy.traffic] == [1, 1]
    assert re.search(f"the reply of node 2 is left out of this round: .*{says}", caplog.text)


def test_a_lost_message_with_momentum_is_added_back_to_the_residual_too() -> None:
    chaos = Chaos(3, losing_state=False)
    run_through(chaos, DGC(budget=400, memory=MomentumCorrection(0.5)), rounds=50)
    assert chaos.happened["lost"] > 5


class Unnumbered(FedAvg):
    """Counts rounds in a way of its own, or not at all."""

    first: int | None = None

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Any:
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for message in messages:
            record = ConfigRecord(dict(message.content.config_records["config"]))
            del record["server-round"]
            if self.first is not None:
                record["server-round"] = self.first + server_round
            message.content = RecordDict({**message.content, "config": record})
        return messages


@pytest.mark.parametrize("first", [None, -1, 7])
def test_session_rounds_do_not_depend_on_the_strategys_numbers(first: int | None) -> None:
    app = ClientApp(mods=[CompressUpdates(SuRP(budget=100))])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        node = int(context.node_config["partition-id"])
        arrays = learn(arrays_of(message.content.array_records["arrays"]), node, 1)
        metrics = MetricRecord({"num-examples": 1})
        return Message(RecordDict({"arrays": record_of(arrays), "metrics": metrics}), reply_to=message)

    inner = Unnumbered(fraction_evaluate=0.0, min_available_nodes=2)
    inner.first = first
    strategy = Watched(inner)
    strategy.watch()
    with as_server():
        grid = InProcessGrid(app, 2)
        first_six = strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=6)
        strategy.start(grid=grid, initial_arrays=first_six.arrays, num_rounds=6)  # its rounds begin at 1 again
    for node in (1, 2):
        delta = LAYOUT.flatten(
            learn(LAYOUT.unflatten(np.zeros(LAYOUT.size, np.float32), {"batches": np.array(0)}), node - 1, 1)
        )
        believed = strategy.applied[node] + residual_of(grid, node, strategy._session.registry.applied[node])
        np.testing.assert_allclose(believed, 12 * delta, atol=1e-4)


def test_a_reply_that_flower_cannot_count_is_used() -> None:
    def empty(reply: Message) -> Message:
        reply.content["notes"] = ConfigRecord({"warning": "", "tags": []})
        return reply

    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0))
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(SuRP(budget=100))]), 2, fault=empty)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=2)
    assert [traffic.failures for traffic in strategy.traffic] == [0, 0]


@pytest.mark.parametrize("alone", [None, False], ids=["pairs", "models"])
def test_a_round_without_any_weight_leaves_the_model(alone: bool | None) -> None:
    def weigh(reply: Message) -> Message:
        record = reply.content.config_records[NAME]
        record["num-examples"] = 10 if reply.metadata.src_node_id == 1 else 0
        if reply.metadata.src_node_id == 1:
            record[NAME] = b"\x2300000"
        return reply

    models: list[Arrays] = []
    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0), mean_alone=alone)
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(SuRP(budget=100))]), 3, fault=weigh)
        strategy.start(
            grid=grid,
            initial_arrays=record_of(initial()),
            num_rounds=2,
            evaluate_fn=lambda server_round, record: models.append(arrays_of(record)),
        )
    np.testing.assert_array_equal(models[0]["weight"], models[2]["weight"])


def test_a_damaged_reply_does_not_stop_differential_privacy() -> None:
    def damage(reply: Message) -> Message:
        if reply.metadata.src_node_id == 2:
            reply.content.config_records[NAME][NAME] = b"\x2300000"
        return reply

    models: list[Arrays] = []
    inner = DifferentialPrivacyServerSideFixedClipping(FedAvg(fraction_evaluate=0.0), 0.01, 1.0, 3)
    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(SuRP(budget=100))]), 3, fault=damage)
        DecodeUpdates(inner).start(
            grid=grid,
            initial_arrays=record_of(initial()),
            num_rounds=2,
            evaluate_fn=lambda server_round, record: models.append(arrays_of(record)),
        )
    assert not np.array_equal(models[1]["weight"], models[2]["weight"])
