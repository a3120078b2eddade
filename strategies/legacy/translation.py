"""A legacy strategy in the form of the message API, so that `DecodeUpdates` can wrap it.

It is handed what the legacy strategy configured, and gives messages; it is handed decoded replies, and lets the legacy
strategy aggregate them. Knows both of Flower's APIs. Does not know how replies are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from surp_fl.errors import MalformedMessage
from surp_fl.flower.legacy_records import EVALUATE_ARRAYS, EVALUATE_CONFIG, FIT_ARRAYS, FIT_CONFIG, WEIGHT
from surp_fl.strategies.legacy.client_proxies import node_of
from surp_fl.strategies.legacy.conversions import (
    evaluate_res_of,
    fit_res_of,
    metrics_of,
    record_of_parameters,
)
from surp_fl.strategies.legacy.flower_types import (
    ClientProxy,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    Parameters,
    Scalar,
    Strategy,
)
from surp_fl.strategies.legacy.inner_strategies import (
    averages_untrained_apart,
    is_coordinatewise,
    needs_weighted_mean_only,
    nested,
)
from surp_fl.strategies.translated import TranslatedStrategy

Instructions = Sequence[tuple[ClientProxy, FitIns]] | Sequence[tuple[ClientProxy, EvaluateIns]]
Metrics = dict[str, Scalar]
Failures = list[Any]  # pairs of proxy and result with a status other than OK; exceptions


class LegacyStrategy(TranslatedStrategy):
    """Lets a legacy strategy aggregate the replies of `DecodeUpdates`.

    Args:
        strategy: the legacy strategy.
        mean_alone: whether it needs the weighted mean alone; None decides by its type.

    Attributes:
        instructions: what it configured for the next phase; to be set before that is configured here.
        lost: failures that came without a reply; to be set before the round is aggregated.
        loss: of the last evaluation; None if the strategy gave none.
        metrics: that it aggregated last.
    """

    def __init__(self, strategy: Strategy, mean_alone: bool | None) -> None:
        super().__init__(weighted_by_key=WEIGHT, train_metrics_aggr_fn=self._collect_metrics)
        self.chain = nested(strategy)
        self.weighted_mean_only = needs_weighted_mean_only(strategy) if mean_alone is None else mean_alone
        self.untrained_apart = averages_untrained_apart(strategy)
        self.coordinatewise = is_coordinatewise(strategy)
        self.instructions: Instructions = []
        self.lost: Failures = []
        self.loss: float | None = None
        self.metrics: Metrics = {}
        self._legacy = strategy
        self._fit_metrics: list[tuple[int, Metrics]] = []  # of all clients whose updates are in this round
        self._sent: dict[int, tuple[ClientProxy, ArrayRecord]] = {}  # by node id, of the last phase

    def summary(self) -> None:
        """Legacy strategies have none."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The messages for `instructions`, with the entries of `config` in each."""
        return self._messages(server_round, "train", FIT_ARRAYS, FIT_CONFIG, config)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The messages for `instructions`."""
        return self._messages(server_round, "evaluate", EVALUATE_ARRAYS, EVALUATE_CONFIG, config)

    def _messages(
        self, server_round: int, kind: str, arrays_name: str, config_name: str, ours: ConfigRecord
    ) -> list[Message]:
        records: dict[int, ArrayRecord] = {}  # by id of the Parameters, which instructions share
        messages = []
        self._sent = {}
        for proxy, ins in self.instructions:
            node = node_of(proxy)
            if id(ins.parameters) not in records:
                records[id(ins.parameters)] = record_of_parameters(ins.parameters)
            record = records[id(ins.parameters)]
            config = ConfigRecord({**ins.config, **ours})
            content = RecordDict({arrays_name: record, config_name: config})
            messages.append(Message(content, node, kind, group_id=str(server_round)))
            self._sent[node] = (proxy, record)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the legacy strategy aggregate decoded replies; see `metrics`."""
        results: list[tuple[ClientProxy, FitRes]] = []
        failures, self.lost = self.lost, []
        found = list(replies)
        for reply in found:
            if reply.has_error():
                failures.append(_exception_of(reply))
                continue
            proxy, sent = self._sent[reply.metadata.src_node_id]
            results.append((proxy, fit_res_of(reply.content, sent)))
        self.train_metrics_aggr_fn([reply.content for reply in found if reply.has_content()], WEIGHT)
        with self._metrics_of_all(len(results)):
            parameters, metrics = self._legacy.aggregate_fit(server_round, results, failures)
        self.metrics = dict(metrics or {})
        return _record_or_none(parameters), MetricRecord()

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Let the legacy strategy aggregate evaluation replies; see `loss` and `metrics`."""
        results: list[tuple[ClientProxy, EvaluateRes]] = []
        failures, self.lost = self.lost, []
        for reply in replies:
            if reply.has_error():
                failures.append(_exception_of(reply))
                continue
            proxy, _ = self._sent[reply.metadata.src_node_id]
            try:
                result = evaluate_res_of(reply.content)
            except MalformedMessage as fault:
                failures.append(fault)
                continue
            (results if result.status.code.value == 0 else failures).append((proxy, result))
        self.loss, metrics = self._legacy.aggregate_evaluate(server_round, results, failures)
        self.metrics = dict(metrics or {})
        return MetricRecord()

    def _collect_metrics(self, contents: list[RecordDict], weighted_by: str) -> MetricRecord:
        """Note the metrics of all clients; `DecodeUpdates` calls it with them where it hands on their mean alone."""
        self._fit_metrics = [metrics_of(content) for content in contents]
        return MetricRecord()

    @contextmanager
    def _metrics_of_all(self, results: int) -> Iterator[None]:
        """Within the context, the legacy strategy aggregates the metrics of all clients.

        Args:
            results: number of results that it is handed: 1, in place of those of all clients, where that is their mean.
        """
        given: Callable[..., Metrics] | None = getattr(self._legacy, "fit_metrics_aggregation_fn", None)
        if given is None or len(self._fit_metrics) == results:
            yield
            return
        strategy: Any = self._legacy
        of_all = self._fit_metrics
        strategy.fit_metrics_aggregation_fn = lambda _: given(of_all)
        try:
            yield
        finally:
            strategy.fit_metrics_aggregation_fn = given


def _exception_of(reply: Message) -> ValueError:
    """An error reply, as Flower's legacy server hands it to strategies."""
    return ValueError(f"client {reply.metadata.src_node_id} failed: {reply.error.reason}")


def _record_or_none(parameters: Parameters | None) -> ArrayRecord | None:
    return None if parameters is None or not parameters.tensors else record_of_parameters(parameters)
