"""A strategy of another API in the form of one of Flower's message API.

`DecodeUpdates` reads off a strategy's type how it aggregates; a translated one says so itself. Knows Flower's
strategies. Does not know the other API.
"""

from __future__ import annotations

from typing import Any

from flwr.serverapp.strategy import FedAvg, Strategy

from surp_fl.strategies.validation import nested


class TranslatedStrategy(FedAvg):
    """Base of strategies that hand a round on to one of another API; it has FedAvg's weight and metrics.

    Attributes:
        chain: the strategies of the other API, from the outermost to the innermost.
        weighted_mean_only: whether they need the weighted mean of the replies alone.
        untrained_apart: whether integer arrays and running statistics are averaged apart from them.
        coordinatewise: whether they choose among the replies coordinate by coordinate.
    """

    chain: list[Any]
    weighted_mean_only: bool
    untrained_apart: bool
    coordinatewise: bool


def chain_of(strategy: Strategy) -> list[Any]:
    """The chain of strategies that hold the state of aggregation, whatever API they are of; outermost first."""
    return strategy.chain if isinstance(strategy, TranslatedStrategy) else nested(strategy)
