"""Which legacy strategies `DecodeLegacyUpdates` can wrap, and how they aggregate. Knows `flwr.server.strategy`."""

from __future__ import annotations

from typing import Any

import flwr.serverapp.strategy as message_api

from surp_fl.strategies.legacy.flower_types import (
    Bulyan,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgAndroid,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedXgbBagging,
    FedXgbCyclic,
    FedXgbNnAvg,
    FedYogi,
    QFedAvg,
    Strategy,
)

_AVERAGING = {strategy.aggregate_fit for strategy in (FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam, FedYogi)}
_COORDINATEWISE = {strategy.aggregate_fit for strategy in (FedMedian, FedTrimmedAvg, Bulyan)}


def needs_weighted_mean_only(strategy: Strategy) -> bool:
    """Whether a strategy aggregates as Flower's averaging strategies do, from the replies' weighted mean alone."""
    return isinstance(strategy, FedAvg) and type(strategy).aggregate_fit in _AVERAGING


def averages_untrained_apart(strategy: Strategy) -> bool:
    """Whether integer arrays and running statistics are averaged apart from a strategy."""
    return type(strategy).aggregate_fit in _AVERAGING | {QFedAvg.aggregate_fit}


def is_coordinatewise(strategy: Strategy) -> bool:
    """Whether a strategy chooses among the replies coordinate by coordinate."""
    return type(strategy).aggregate_fit in _COORDINATEWISE


def nested(strategy: Strategy) -> list[Strategy]:
    """The chain of strategies: this one, its inner one, and so on to the innermost."""
    found = [strategy]
    while isinstance(inner := getattr(found[-1], "strategy", None), Strategy):
        found.append(inner)
    return found


def check_inner(strategy: Any, mean_alone: bool | None) -> None:
    """Refuse strategies that `DecodeLegacyUpdates` cannot wrap.

    Raises:
        TypeError: not a strategy of `flwr.server.strategy`.
        ValueError: its clients do not train NumPy arrays, it decodes already, or `mean_alone` does not fit it.
    """
    name = type(strategy).__name__
    if isinstance(strategy, message_api.Strategy):
        raise TypeError(
            f"{type(strategy).__module__}.{name} is a strategy of flwr.serverapp.strategy; expected one of "
            "flwr.server.strategy: put it inside DecodeUpdates, from surp_fl.strategies"
        )
    if not isinstance(strategy, Strategy):
        raise TypeError(
            f"{type(strategy).__module__}.{name} is no strategy; expected one of flwr.server.strategy, as in "
            "DecodeLegacyUpdates(FedAvg(...))"
        )
    for inner in nested(strategy):
        name = type(inner).__name__
        if isinstance(inner, FedXgbBagging | FedXgbCyclic | FedXgbNnAvg):
            raise ValueError(
                f"{name} collects trees, and DecodeLegacyUpdates adds up updates of arrays: run {name} without it, and "
                "its clients without CompressUpdates"
            )
        if isinstance(inner, FedAvgAndroid):
            raise ValueError(
                f"{name} collects arrays in a format of its own, from clients on Android, where surp-fl does not run: "
                f"run {name} without DecodeLegacyUpdates"
            )
        if hasattr(inner, "decoder"):
            raise ValueError("DecodeLegacyUpdates is inside already: put it outside of everything, once")
    if mean_alone and not isinstance(strategy, FedAvg):
        raise ValueError(
            f"mean_alone needs FedAvg or a strategy that inherits from it, for its metrics; found {name}: leave "
            "mean_alone out"
        )
