"""What joins an app's metrics and log: four figures unless asked for more, and none where an app writes its own."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp.strategy import FedAvg, Krum, Result

from surp_fl import CompressUpdates, SuRP
from surp_fl.strategies import DecodeUpdates, RoundStats
from surp_fl.strategies.round_stats import PREFIX
from tests.flower_app import app_with, fedavg, run

APP = app_with([CompressUpdates(SuRP(budget=100))])
ALL: dict[str, Any] = {"min_train_nodes": 3, "min_evaluate_nodes": 3, "min_available_nodes": 3}
FEW = {f"{PREFIX}{name}" for name in ("payload_bytes_up_mean", "compression_ratio", "relative_error_mean", "failures")}


def ours(metrics: MetricRecord) -> set[str]:
    return {name for name in metrics if name.startswith(PREFIX)}


class Watching(FedAvg):
    """Keeps the names of the metrics that its own aggregation gives."""

    seen: set[str]

    def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
        replies = list(replies)
        arrays, metrics = super().aggregate_train(server_round, replies)
        given = [name for reply in replies for record in reply.content.metric_records.values() for name in record]
        self.seen = {*given, *(metrics or {})}
        return arrays, metrics


class Looping(FedAvg):
    def start(self, *args: Any, **options: Any) -> Result:
        return super().start(*args, **options)


def test_four_figures_join_the_apps_training_metrics_by_default() -> None:
    result = run(APP, DecodeUpdates(fedavg())).result
    for server_round in (1, 2, 3):
        assert ours(result.train_metrics_clientapp[server_round]) == FEW
        assert set(result.train_metrics_clientapp[server_round]) - FEW == {"loss"}
        assert not ours(result.evaluate_metrics_clientapp[server_round])


def test_all_figures_or_none_join_them_on_request_and_traffic_has_all_in_any_case() -> None:
    everything, nothing = DecodeUpdates(fedavg(), metrics="all"), DecodeUpdates(fedavg(), metrics="none")
    result = run(APP, everything).result
    assert ours(result.train_metrics_clientapp[1]) == {PREFIX + name for name in everything.traffic[0].figures()}
    assert len(everything.traffic[0].figures()) == 14
    assert ours(result.evaluate_metrics_clientapp[1]) == {"surp-fl/payload_bytes_down_sum"}
    result = run(APP, nothing).result
    assert not ours(result.train_metrics_clientapp[1])
    for one, other in zip(everything.traffic, nothing.traffic, strict=True):
        assert one.payload_bytes_up == other.payload_bytes_up
        assert len(other.update_norm) == len(other.tenth) == 3
        assert set(one.figures()) == set(other.figures())


def test_the_inner_strategy_is_given_none_of_them() -> None:
    inner = Watching(**ALL)
    run(APP, DecodeUpdates(inner, metrics="all"))
    assert inner.seen == {"num-examples", "loss"}


@pytest.mark.parametrize(("options", "expected"), [({}, set()), ({"metrics": "few"}, FEW)])
def test_a_start_of_the_strategys_own_is_given_none_unless_asked_for(options: Any, expected: set[str]) -> None:
    strategy = DecodeUpdates(Looping(**ALL), **options)
    assert ours(run(APP, strategy).result.train_metrics_clientapp[1]) == expected
    assert strategy.traffic[0].figures()["failures"] == 0


def test_metrics_of_the_inner_strategys_own_name_stay_its_own() -> None:
    inner = Watching(**ALL)
    inner.metrics = ["mine"]  # type: ignore[attr-defined]
    strategy = DecodeUpdates(inner, metrics="none")
    assert strategy.metrics == ["mine"]


@pytest.mark.parametrize("odd", ["some", ["all"], 3])
def test_the_error_of_another_choice_names_those_that_there_are(odd: Any) -> None:
    with pytest.raises(ValueError, match=r"metrics is .*; expected one of 'few', 'all', 'none', or None"):
        DecodeUpdates(fedavg(), metrics=odd)


def test_a_round_without_a_reply_has_its_failures_alone() -> None:
    metrics = MetricRecord()
    RoundStats(1, failures=2).add_to_metrics(metrics, "few")
    assert dict(metrics) == {"surp-fl/failures": 2}


def test_the_log_says_how_many_updates_the_one_result_stands_for(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("flwr").propagate = True
    with caplog.at_level(logging.INFO, "flwr"):
        run(APP, DecodeUpdates(fedavg()), rounds=2)
    lines = [(each.levelno, each.getMessage()) for each in caplog.records]
    expected = (logging.INFO, "surp-fl: the 1 result below is the weighted mean of 3 clients' updates")
    places = [place for place, line in enumerate(lines) if line == expected]
    assert len(places) == 2
    assert all(lines[place + 1][1] == "aggregate_train: Received 1 results and 0 failures" for place in places)
    caplog.clear()
    with caplog.at_level(logging.INFO, "flwr"):
        run(APP, DecodeUpdates(Krum(**ALL, num_malicious_nodes=0)), rounds=1)
    assert "aggregate_train: Received 3 results" in caplog.text
    assert "weighted mean" not in caplog.text
