"""Says when a strategy leaves out most of what clients said: a coordinate's median over mostly zeros is zero.

A message changes a few coordinates, each client's others. A strategy that takes medians or cuts tails coordinate by
coordinate sees one change among many zeros there, and cuts it off as an outlier. Knows models as vectors.
"""

from __future__ import annotations

import logging

import numpy as np
from flwr.serverapp.strategy import Bulyan, FedMedian, FedTrimmedAvg, Strategy
from numpy.typing import NDArray

log = logging.getLogger("flwr")

_BY_COORDINATE = {strategy.aggregate_train for strategy in (FedMedian, FedTrimmedAvg, Bulyan)}
_ROUNDS = 3  # that are looked at, the first ones in which anything was said
_FEW = 1 / 3  # of the coordinates that messages changed; with less, accuracy fell far behind that of dense replies


class Standstill:
    """Watches the first rounds of a strategy that chooses coordinate by coordinate; warns once.

    Args:
        strategy: that is handed each client's model.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._name = type(strategy).__name__
        self._looks = _ROUNDS if type(strategy).aggregate_train in _BY_COORDINATE else 0
        self._shares: list[float] = []  # of the coordinates that messages changed, those at which the model moved

    @property
    def watching(self) -> bool:
        """Whether there are rounds left to look at."""
        return len(self._shares) < self._looks

    def see(self, said: list[NDArray[np.int64]], before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
        """Look at one round.

        Args:
            said: the coordinates that each message changed.
            before: the model that all of them were added to; float32, shape (n,).
            after: the strategy's result, alike.
        """
        changed = np.unique(np.concatenate(said))
        if not changed.size:
            return
        self._shares.append(float(np.mean(before[changed] != after[changed])))
        if not self.watching and (moved := float(np.mean(self._shares))) < _FEW:
            log.warning(
                "surp-fl: %s moved the model at %.0f %% of the coordinates that messages changed in the first %d "
                "rounds: where messages change different coordinates, each is an outlier to a strategy that chooses "
                "coordinate by coordinate, and the model learns slowly or not at all; use MultiKrum, which chooses "
                "whole replies, or larger budgets",
                self._name,
                100 * moved,
                _ROUNDS,
            )
