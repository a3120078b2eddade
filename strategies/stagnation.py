"""Warns when a strategy discards most of what clients send: a coordinate's median over mostly zeros is zero.

A sparse message changes a few coordinates, and each client's messages change different ones. A strategy that takes
medians or trims extremes coordinate by coordinate sees one nonzero value among many zeros, and discards it as an
outlier. Knows models as vectors. Does not know messages.
"""

from __future__ import annotations

import logging

import numpy as np
from flwr.serverapp.strategy import Bulyan, FedMedian, FedTrimmedAvg, Strategy
from numpy.typing import NDArray

from surp_fl.strategies.translated import TranslatedStrategy, chain_of

log = logging.getLogger("flwr")

_COORDINATEWISE = {strategy.aggregate_train for strategy in (FedMedian, FedTrimmedAvg, Bulyan)}
_ROUNDS = 3  # that are observed: the first ones in which a message changed anything
_LEAST_SHARE = 1 / 3  # of the changed coordinates; below it, accuracy fell far behind that with dense replies


class StagnationMonitor:
    """Observes the first rounds of a coordinate-wise robust strategy; warns once.

    Args:
        strategy: that is handed each client's model.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._name = type(chain_of(strategy)[-1]).__name__
        self._rounds = _ROUNDS if _is_coordinatewise(strategy) else 0
        self._shares: list[float] = []  # by round: of the coordinates that messages changed, the share that moved

    @property
    def active(self) -> bool:
        """Whether there are rounds left to observe."""
        return len(self._shares) < self._rounds

    def observe(
        self, coordinates: list[NDArray[np.int64]], before: NDArray[np.float32], after: NDArray[np.float32]
    ) -> None:
        """Observe one round.

        Args:
            coordinates: the indices that each message changed; shape (changed,) each.
            before: the model that all updates were added to; float32, shape (n,).
            after: the strategy's result; float32, shape (n,).
        """
        changed = np.unique(np.concatenate(coordinates))
        if not changed.size:
            return
        self._shares.append(float(np.mean(before[changed] != after[changed])))
        if not self.active and (share := float(np.mean(self._shares))) < _LEAST_SHARE:
            log.warning(
                "surp-fl: %s moved the model at %.0f %% of the coordinates that messages changed in the first %d "
                "rounds: where messages change different coordinates, each is an outlier to a strategy that chooses "
                "coordinate by coordinate, and the model learns slowly or not at all; use MultiKrum, which chooses "
                "whole replies, or larger budgets",
                self._name,
                100 * share,
                _ROUNDS,
            )


def _is_coordinatewise(strategy: Strategy) -> bool:
    if isinstance(strategy, TranslatedStrategy):
        return strategy.coordinatewise
    return type(strategy).aggregate_train in _COORDINATEWISE
