"""Evaluations of other forms, or of no weight: left out where Flower's own mean would end the run, and only there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from surp_fl import CompressUpdates, SuRP
from surp_fl.strategies import DecodeUpdates
from tests.flower_app import app_with, fedavg, run


def with_metrics(change: Callable[[int, Message], None]) -> Callable[[Message], Message]:
    def fault(reply: Message) -> Message:
        if reply.metadata.message_type == "evaluate":
            change(reply.metadata.src_node_id, reply)
        return reply

    return fault


def test_evaluations_that_all_weigh_nothing_have_no_mean_and_end_no_run() -> None:
    def weightless(node: int, reply: Message) -> None:
        reply.content = RecordDict({"metrics": MetricRecord({"num-examples": 0, "norm": 1.0})})

    strategy = DecodeUpdates(fedavg())
    done = run(app_with([CompressUpdates(SuRP(60))]), strategy, rounds=2, fault=with_metrics(weightless))
    assert not done.result.evaluate_metrics_clientapp


class OwnEvaluation(FedAvg):
    """A strategy that takes whatever metrics clients report."""

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        names = {name for reply in replies if reply.has_content() for name in reply.content["metrics"]}
        return MetricRecord(dict.fromkeys(sorted(names), 1.0))


def test_a_strategy_that_aggregates_evaluations_in_its_own_way_gets_all_forms() -> None:
    def own_names(node: int, reply: Message) -> None:
        reply.content = RecordDict({"metrics": MetricRecord({f"accuracy of {node}": 0.5})})

    strategy = DecodeUpdates(OwnEvaluation(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3))
    done = run(app_with([CompressUpdates(SuRP(60))]), strategy, rounds=1, fault=with_metrics(own_names))
    assert len(done.result.evaluate_metrics_clientapp[1]) == 3
