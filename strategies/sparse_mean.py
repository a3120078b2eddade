"""The weighted mean of many replies, added up in pairs of index and value: one vector, however many replies there are.

Flower's averaging strategies take the weighted mean of the clients' models. Where all clients were sent one model, that
mean is this model plus the weighted mean of the updates, so that one reply which holds it can stand for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi, QFedAvg, Strategy
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

from surp_fl.flower.records import CompressedReply, record_of
from surp_fl.strategies.node_registry import Broadcast
from surp_fl.types import Update
from surp_fl.updates import add_to

_OF_MEANS = {strategy.aggregate_train for strategy in (FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam, FedYogi)}


def needs_only_the_mean(strategy: Strategy) -> bool:
    """Whether a strategy does with the replies what one of Flower's averaging strategies does, and nothing else."""
    return (
        isinstance(strategy, FedAvg)
        and type(strategy).aggregate_train in _OF_MEANS
        and type(strategy)._check_and_log_replies is FedAvg._check_and_log_replies
        and strategy.train_metrics_aggr_fn is aggregate_metricrecords
    )


def keeps_others_out(strategy: Strategy) -> bool:
    """Whether integer arrays and running statistics are averaged beside a strategy: it would step them as weights.

    Strategies that choose among clients, or protect them, do with them what they do with weights.
    """
    return type(strategy).aggregate_train in _OF_MEANS | {QFedAvg.aggregate_train}


class Mean:
    """The weighted mean of the float arrays of one round's models.

    Args:
        broadcast: what all of the clients were sent.
        weighted_by: the metric that is the weight.
    """

    def __init__(self, broadcast: Broadcast, weighted_by: str) -> None:
        self._broadcast = broadcast
        self.weighted_by = weighted_by
        self._sum = np.zeros(broadcast.layout.untied.size, np.float32)  # of weight × update
        self.weight = 0.0
        self._unit = 0.0  # the first weight that is not 0: what float32 is to hold are its multiples
        self._names: tuple[str, str] | None = None
        self._metrics: list[RecordDict] = []

    def add(self, update: CompressedReply, change: Update) -> None:
        """Take in what one client sent."""
        weight = float(update.metrics[self.weighted_by])
        self._unit = self._unit or weight
        add_to(self._sum, change, weight / (self._unit or 1.0))
        self.weight += weight
        self._names = self._names or (update.arrays_name or self._broadcast.arrays_name, update.metrics_name)
        self._metrics.append(RecordDict({update.metrics_name: MetricRecord(dict(update.metrics))}))

    def content(self) -> RecordDict:
        """The content of the one reply that stands for all; to be called once, after some weight was added."""
        assert self._names is not None
        arrays_name, metrics_name = self._names
        mean = self._sum
        del self._sum  # its memory is used again, and freed
        mean /= np.float32(self.weight / self._unit)
        arrays = record_of(self._broadcast.layout.untied.moved(self._broadcast.arrays, mean))
        return RecordDict({arrays_name: arrays, metrics_name: MetricRecord({self.weighted_by: self.weight})})

    @contextmanager
    def metrics_of_all(self, strategy: FedAvg) -> Iterator[None]:
        """While it lasts, the strategy aggregates the metrics of all clients in place of the one reply's."""
        aggregate = strategy.train_metrics_aggr_fn

        def of_all(contents: list[RecordDict], weighted_by: str) -> MetricRecord:
            return aggregate(self._metrics, weighted_by)

        strategy.train_metrics_aggr_fn = of_all
        try:
            yield
        finally:
            strategy.train_metrics_aggr_fn = aggregate
