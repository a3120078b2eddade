"""The weighted mean of many replies, summed up from sparse updates in one vector, however many replies there are.

Flower's averaging strategies take the weighted mean of the clients' models. Where all clients were sent one model, that
mean is this model plus the weighted mean of the updates, so that one reply which holds it can replace all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi, QFedAvg, Strategy

from surp_fl.flower.records import CompressedReply, metrics_of, record_of
from surp_fl.flower.versions import aggregate_metricrecords
from surp_fl.strategies.node_registry import SentModel
from surp_fl.strategies.translated import TranslatedStrategy
from surp_fl.types import Update
from surp_fl.updates import add_to

_AVERAGING = {strategy.aggregate_train for strategy in (FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam, FedYogi)}


def needs_weighted_mean_only(strategy: Strategy) -> bool:
    """Whether a strategy aggregates as Flower's averaging strategies do, from the replies' weighted mean alone."""
    if isinstance(strategy, TranslatedStrategy):
        return strategy.weighted_mean_only
    return (
        isinstance(strategy, FedAvg)
        and type(strategy).aggregate_train in _AVERAGING
        and type(strategy)._check_and_log_replies is FedAvg._check_and_log_replies
        and strategy.train_metrics_aggr_fn is aggregate_metricrecords
    )


def averages_untrained_apart(strategy: Strategy) -> bool:
    """Whether integer arrays and running statistics are averaged apart from a strategy.

    Strategies with a server optimiser would step them as weights.

    Robust and private strategies handle them as they handle weights.
    """
    if isinstance(strategy, TranslatedStrategy):
        return strategy.untrained_apart
    return type(strategy).aggregate_train in _AVERAGING | {QFedAvg.aggregate_train}


class Mean:
    """The weighted mean of the float arrays of one round's models.

    Args:
        sent_model: the model that all clients were sent.
        weight_key: the metric that weighs a reply.
    """

    def __init__(self, sent_model: SentModel, weight_key: str) -> None:
        self._sent_model = sent_model
        self._weight_key = weight_key
        self._sum = np.zeros(sent_model.layout.untied.size, np.float32)  # of weight × update
        self.weight = 0.0
        self._unit = 0.0  # the first nonzero weight: float32 sums are in multiples of it
        self._names: tuple[str, str] | None = None
        self._metrics: list[RecordDict] = []

    def add(self, compressed: CompressedReply, update: Update) -> None:
        """Add one client's update, times its weight, and keep its metrics."""
        weight = float(compressed.metrics[self._weight_key])
        self._unit = self._unit or weight
        add_to(self._sum, update, weight / (self._unit or 1.0))
        self.weight += weight
        self._names = self._names or (compressed.arrays_name or self._sent_model.arrays_name, compressed.metrics_name)
        self._metrics.append(metrics_of(compressed))

    def content(self) -> RecordDict:
        """The content of the one reply that replaces all; may be called once, when the weight is not zero."""
        assert self._names is not None
        arrays_name, metrics_name = self._names
        mean = self._sum
        del self._sum  # computed in place: no second vector
        mean /= np.float32(self.weight / self._unit)
        arrays = record_of(self._sent_model.layout.untied.moved(self._sent_model.arrays, mean))
        return RecordDict({arrays_name: arrays, metrics_name: MetricRecord({self._weight_key: self.weight})})

    @contextmanager
    def metrics_of_all(self, strategy: FedAvg) -> Iterator[None]:
        """Within the context, the strategy aggregates the metrics of all clients instead of the one reply's."""
        aggregate = strategy.train_metrics_aggr_fn

        def of_all(contents: list[RecordDict], weighted_by: str) -> MetricRecord:
            return aggregate(self._metrics, weighted_by)

        strategy.train_metrics_aggr_fn = of_all
        try:
            yield
        finally:
            strategy.train_metrics_aggr_fn = aggregate
