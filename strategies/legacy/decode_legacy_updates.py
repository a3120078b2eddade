"""The decoding wrapper for legacy servers: a strategy of `flwr.server` around another one.

It must be the outermost strategy. Knows Flower's legacy API. All decoding is that of `DecodeUpdates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from flwr.app import ConfigRecord, Message

from surp_fl.codecs.codec import Scheme
from surp_fl.statistics import Kind
from surp_fl.strategies.decode_updates import DecodeUpdates
from surp_fl.strategies.directives import BudgetFor
from surp_fl.strategies.downlink.delivery import Lossless
from surp_fl.strategies.downlink.initial import Initial
from surp_fl.strategies.legacy.client_proxies import DecodingProxy, grid_of, replies_in
from surp_fl.strategies.legacy.conversions import parameters_of_record, record_of_parameters
from surp_fl.strategies.legacy.flower_types import (
    ClientManager,
    ClientProxy,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    Parameters,
    Scalar,
    Strategy,
)
from surp_fl.strategies.legacy.inner_strategies import check_inner
from surp_fl.strategies.legacy.translation import LegacyStrategy
from surp_fl.strategies.round_stats import MetricsChoice, RoundStats

_Ins = TypeVar("_Ins", FitIns, EvaluateIns)


class DecodeLegacyUpdates(Strategy):
    """`DecodeUpdates` for legacy apps: decodes updates for any strategy of `flwr.server` that averages arrays.

    It goes where the strategy was, in `ServerAppComponents(strategy=DecodeLegacyUpdates(FedAvg(...)))`, and needs a
    `ClientApp(client_fn=..., mods=[CompressUpdates(...)])`. The model's arrays are named "0", "1", … in messages about
    them, by their place in the list. The metrics of a round ("surp-fl/...") are added to those of the strategy.

    FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam and FedYogi (and strategies that inherit their `aggregate_fit`) are
    handed one result, the weighted mean of all; `fit_metrics_aggregation_fn` is given the metrics of all clients. Any
    other strategy is handed each client's model.

    Public attributes of the inner strategy can be read on the wrapper, for a `Server` of your own.

    Args:
        strategy: the inner strategy.
        scheme: see `DecodeUpdates`, as for the arguments below.
        budget_for: (node id, round) -> bytes that the node's message may have in that round.
        mean_alone: whether the inner strategy needs the weighted mean alone; None decides by its type.
        patience: rounds in a row without a usable reply that are tolerated, once a reply was usable.
        history_bytes: memory for the models of earlier rounds.
        downlink: the scheme that compresses the model's changes for clients, as SuRP(budget=2000), or "lossless".
        packed: send a full model as one array.
        initial: the model that clients make by themselves: its name, or a function that makes it, its arrays named "0",
            "1", …
        statistics: which float arrays are running statistics, "mean" or "variance" by their place in the list of
            arrays, from 0. None for no array: a list has no names by which they could be recognised.
        proportion: reject updates whose L2 norm is more than this many times the usual one; None accepts any norm.
        metrics: which figures of a round join the strategy's metrics, under "surp-fl/": "few", "all" or "none".

    Attributes:
        decoder: the `DecodeUpdates` that decodes.

    Raises:
        TypeError, ValueError: the strategy cannot be the inner one; when made.
        RuntimeError: replies came past this strategy's proxies; in `aggregate_fit`.
        NoUsableReplyError: there were replies, and none of them could be used, in the first round or in more than
            `patience` rounds in a row; in `aggregate_fit`.
    """

    def __init__(
        self,
        strategy: Strategy,
        scheme: Scheme | None = None,
        *,
        budget_for: BudgetFor | None = None,
        mean_alone: bool | None = None,
        patience: int = 2,
        history_bytes: int = 1 << 28,
        downlink: Scheme | Lossless | None = None,
        packed: bool = True,
        initial: Initial | None = None,
        statistics: Mapping[int, Kind] | None = None,
        proportion: float | None = 100.0,
        metrics: MetricsChoice | None = None,
    ) -> None:
        check_inner(strategy, mean_alone)
        self.strategy = strategy
        self._translated = LegacyStrategy(strategy, mean_alone)
        self.decoder = DecodeUpdates(
            self._translated,
            scheme,
            budget_for=budget_for,
            patience=patience,
            history_bytes=history_bytes,
            downlink=downlink,
            packed=packed,
            initial=initial,
            statistics=None if statistics is None else {str(place): kind for place, kind in statistics.items()},
            proportion=proportion,
            metrics=metrics,
        )
        self._proxies: list[DecodingProxy] = []  # of this phase
        self._begun = False  # whether this run has sent its first model

    @property
    def traffic(self) -> list[RoundStats]:
        """Bytes and seconds of every round so far."""
        return self.decoder.traffic

    def __repr__(self) -> str:
        return f"DecodeLegacyUpdates({self.strategy!r})"

    def __getattr__(self, name: str) -> Any:
        """Public attributes and methods of the inner strategy, for servers that read them."""
        if name.startswith("_") or name == "strategy":
            raise AttributeError(f"DecodeLegacyUpdates has no attribute '{name}'")
        return getattr(self.strategy, name)

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """Give the inner strategy's initial model; a new run begins."""
        if self._begun:
            self.decoder.end()
            self._begun = False
        return self.strategy.initialize_parameters(client_manager)

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Configure as the inner strategy does, and prepare a message with model and directives for each client."""
        instructions = self.strategy.configure_fit(server_round, parameters, client_manager)
        if not instructions:
            return []
        model = record_of_parameters(parameters)
        if not self._begun:
            self.decoder.begin()
            self._begun = True
        self._translated.instructions = instructions
        grid = grid_of(instructions[0][0])
        messages = self.decoder.configure_train(server_round, model, ConfigRecord(), grid)
        return self._prepare(instructions, messages)

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Decode, aggregate as the inner strategy does, and restore the model's dtypes."""
        arrays, ours = self.decoder.aggregate_train(server_round, self._replies(results, failures))
        if arrays is None:
            return None, {}
        return parameters_of_record(arrays), self._translated.metrics | _scalars(ours)

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Configure as the inner strategy does, and prepare a message for each client, once a round was trained."""
        instructions = self.strategy.configure_evaluate(server_round, parameters, client_manager)
        if not instructions or not self._begun:
            return instructions
        model = record_of_parameters(parameters)
        self._translated.instructions = instructions
        grid = grid_of(instructions[0][0])
        messages = self.decoder.configure_evaluate(server_round, model, ConfigRecord(), grid)
        return self._prepare(instructions, messages)

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Aggregate as the inner strategy does; a metric counts the model bytes that evaluation sent to clients."""
        if not self._begun:
            return self.strategy.aggregate_evaluate(server_round, results, failures)
        ours = self.decoder.aggregate_evaluate(server_round, self._replies(results, failures))
        return self._translated.loss, self._translated.metrics | _scalars(ours)

    def evaluate(self, server_round: int, parameters: Parameters) -> tuple[float, dict[str, Scalar]] | None:
        """Evaluate on the server, as the inner strategy does."""
        return self.strategy.evaluate(server_round, parameters)

    def _prepare(
        self, instructions: Sequence[tuple[ClientProxy, _Ins]], messages: Iterable[Message]
    ) -> list[tuple[ClientProxy, _Ins]]:
        """Instructions whose proxies send the messages."""
        self._proxies = [
            DecodingProxy(proxy, ins, message) for (proxy, ins), message in zip(instructions, messages, strict=True)
        ]
        return [(proxy, ins) for proxy, (_, ins) in zip(self._proxies, instructions, strict=True)]

    def _replies(self, results: Sequence[tuple[ClientProxy, Any]], failures: Sequence[Any]) -> list[Message]:
        """The replies in what the server hands on; failures without a reply are left to the inner strategy."""
        replies, self._translated.lost = replies_in(self._proxies, results, failures)
        return replies


def _scalars(metrics: Mapping[str, Any] | None) -> dict[str, Scalar]:
    return dict(metrics or {})
