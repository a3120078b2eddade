"""Robust strategies, and rounds without a result: which messages are added back to residuals, and which are not."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp.strategy import (
    Bulyan,
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedMedian,
    FedTrimmedAvg,
    Krum,
    MultiKrum,
    Strategy,
)
from numpy.typing import NDArray

from surp_fl import CompressUpdates, Dense, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import arrays_of
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.stagnation import StagnationMonitor
from surp_fl.updates import as_vector
from tests.flower_app import Arrays, app_with, initial, learn, run

pytestmark = pytest.mark.slow

NODES = 7
ALL: dict[str, Any] = {"min_train_nodes": NODES, "min_available_nodes": NODES, "fraction_evaluate": 0.0}
LAYOUT = Layout.of(initial())
DROPPED, LAST = 3, 5  # rounds

Vector = NDArray[np.float64]


class Recorded(DecodeUpdates):
    """Records the decoded update of each node, by round."""

    said: defaultdict[int, dict[int, Vector]]

    def _decoded(self, parsed: Any, errors: Any) -> Any:
        for each, decoded in super()._decoded(parsed, errors):
            vector = as_vector(decoded.update, LAYOUT.size).astype(float)
            self.said[self.traffic[-1].server_round][each.node] = vector
            yield each, decoded


class Learning:
    """The app's training, which records each client's wanted update; if `fails`, node 1 fails in the dropped round."""

    def __init__(self, fails: bool = False) -> None:
        self.wanted: defaultdict[int, Vector] = defaultdict(lambda: np.zeros(LAYOUT.size))
        self._fails = fails

    def __call__(self, arrays: Arrays, node: int, server_round: int) -> Arrays:
        if self._fails and (node, server_round) == (0, DROPPED):
            raise RuntimeError("out of battery")
        before = LAYOUT.flatten(arrays)
        after = learn(arrays, node, server_round)
        self.wanted[node + 1] += LAYOUT.flatten(after) - before
        return after


class Silent(FedAvg):
    """Gives no model in one round."""

    def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return (None, None) if server_round == DROPPED else super().aggregate_train(server_round, replies)


class SilentOnEach(Silent):
    """Is handed each client's model, for its metrics are its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, train_metrics_aggr_fn=lambda contents, weighted_by: MetricRecord())


def private() -> Strategy:
    return DifferentialPrivacyServerSideFixedClipping(FedAvg(**ALL), 0.0, 1e6, NODES)


def lived_through(inner: Strategy, learning: Learning) -> tuple[Recorded, dict[int, Vector], list[Arrays]]:
    """Decoded updates, the residual of each node, and the models."""
    strategy = Recorded(inner)
    strategy.said = defaultdict(dict)
    found = run(app_with([CompressUpdates(SuRP(budget=100))], learn=learning), strategy, LAST, NODES)
    residual_of = {
        node: arrays_of(context.state.array_records[NAME])["residual"].astype(float)
        for node, context in found.grid.contexts.items()
    }
    return strategy, residual_of, found.models


@pytest.mark.parametrize(
    ("make", "fails"),
    [
        (lambda: Silent(**ALL), False),
        (lambda: SilentOnEach(**ALL), False),
        (private, True),
    ],
    ids=["a mean", "each model", "differential privacy, after one client failed"],
)
def test_messages_of_a_round_without_a_result_are_added_back_to_the_residual(
    make: Callable[[], Strategy], fails: bool
) -> None:
    learning = Learning(fails)
    strategy, residual_of, models = lived_through(make(), learning)
    np.testing.assert_array_equal(models[DROPPED - 1]["weight"], models[DROPPED]["weight"])
    assert not np.array_equal(models[DROPPED]["weight"], models[LAST]["weight"])
    for node, wanted in learning.wanted.items():
        said = sum(heard.get(node, 0) for server_round, heard in strategy.said.items() if server_round != DROPPED)
        np.testing.assert_allclose(said + residual_of[node], wanted, atol=1e-4)
        assert fails or np.linalg.norm(strategy.said[DROPPED][node]) > 0.01


@pytest.mark.parametrize(
    "inner",
    [
        Krum(**ALL, num_malicious_nodes=1),
        MultiKrum(**ALL, num_malicious_nodes=1, num_nodes_to_select=3),
        Bulyan(**ALL, num_malicious_nodes=1),
        FedMedian(**ALL),
        FedTrimmedAvg(**ALL),
    ],
    ids=lambda inner: type(inner).__name__,
)
def test_messages_that_a_strategy_discards_are_not_added_back_to_the_residual(inner: Strategy) -> None:
    learning = Learning()
    strategy, residual_of, models = lived_through(inner, learning)
    assert not np.array_equal(models[0]["weight"], models[LAST]["weight"])
    for node, wanted in learning.wanted.items():
        said = sum(heard[node] for heard in strategy.said.values())
        np.testing.assert_allclose(said + residual_of[node], wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "scheme", "warns"),
    [
        (lambda: FedMedian(**ALL), SuRP(budget=40), True),
        (lambda: FedMedian(**ALL), Dense(), False),
        (lambda: Krum(**ALL, num_malicious_nodes=1), SuRP(budget=40), False),
    ],
    ids=["a median of small messages", "a median of dense ones", "whole replies"],
)
def test_a_stagnating_strategy_is_warned_about_once(
    make: Callable[[], Strategy], scheme: Scheme, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("flwr").propagate = True
    with caplog.at_level(logging.WARNING, "flwr"):
        run(app_with([CompressUpdates(scheme)]), DecodeUpdates(make()), 6, NODES)
    said = [each.getMessage() for each in caplog.records if "of the coordinates that messages changed" in each.message]
    assert len(said) == warns
    assert all("FedMedian moved the model at" in each and "use MultiKrum" in each for each in said)


@pytest.mark.parametrize(("moves", "warns"), [((0, 0, 2), True), ((1, 0, 2), False), ((0, 0, 3), False)])
def test_a_strategy_stagnates_if_it_moves_less_than_a_third_of_the_changed_coordinates(
    moves: tuple[int, ...], warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Of three coordinates, in three rounds; a round without a changed coordinate does not count."""
    logging.getLogger("flwr").propagate = True
    watch, before = StagnationMonitor(FedMedian(**ALL)), np.zeros(9, np.float32)
    with caplog.at_level(logging.WARNING, "flwr"):
        for moved in moves:
            assert watch.active
            watch.observe([np.empty(0, np.int64)], before, before)
            after = before.copy()
            after[:moved] = 1
            after[8] = 1  # which no message changed
            watch.observe([np.array([0, 1]), np.array([1, 2])], before, after)
    assert not watch.active
    share = 100 * sum(moves) / 9
    assert (
        f"moved the model at {share:.0f} % of the coordinates that messages changed in the first 3" in caplog.text
    ) == warns
    assert not StagnationMonitor(FedAvg(**ALL)).active


def test_a_median_of_one_client_is_watched_as_well() -> None:
    strategy = DecodeUpdates(FedMedian(min_train_nodes=1, min_available_nodes=1, fraction_evaluate=0.0))
    run(app_with([CompressUpdates(SuRP(budget=40))]), strategy, 3, nodes=1)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 3
    assert not strategy._aggregator.stagnation.active
