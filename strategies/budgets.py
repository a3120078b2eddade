"""How many bytes a client's message may have in a round, for `DecodeUpdates(..., budget_for=...)`."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ExponentialBudgetDecay:
    """A budget that decays from `first` to `last` bytes, by the same factor each round.

    Early rounds, whose updates are large, get more bytes.

    Source: the warm-up of Lin et al. 2018, "Deep Gradient Compression", section 3.3, here in bytes.

    Attributes:
        first: bytes in round 1.
        last: bytes from round `rounds` + 1 on; at most `first`.
        rounds: number of rounds in which the budget decays.

    Raises:
        ValueError: not 0 < last <= first, or less than one round.

    >>> budget_for = ExponentialBudgetDecay(first=800, last=100, rounds=3)
    >>> [budget_for(node_id=7, server_round=number) for number in (1, 2, 3, 4, 5)]
    [800, 400, 200, 100, 100]
    """

    first: int
    last: int
    rounds: int

    def __post_init__(self) -> None:
        if not 0 < self.last <= self.first or self.rounds < 1:
            raise ValueError(
                f"a budget that falls from {self.first} B to {self.last} B in {self.rounds} rounds; expected "
                "0 < last <= first, and 1 round or more"
            )

    def __call__(self, node_id: int, server_round: int) -> int:
        """Give the budget of a round, the same for every node.

        Args:
            node_id: not used.
            server_round: counted from 1.

        Returns:
            Bytes.
        """
        progress = min(1.0, max(0, server_round - 1) / self.rounds)
        return round(self.first * math.pow(self.last / self.first, progress))
