"""How many bytes a client's message may have in a round, for `DecodeUpdates(..., budget_for=...)`."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class FallingBudget:
    """Large messages first, while updates are large, and smaller ones from round to round: by the same factor each.

    The warm-up of Lin et al. 2018, "Deep Gradient Compression", in bytes.

    Attributes:
        first: bytes in round 1.
        last: bytes from round `rounds` + 1 on.
        rounds: in which the budget falls.
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
        """The bytes of every node in a round, counted from 1."""
        share = min(1.0, max(0, server_round - 1) / self.rounds)
        return round(self.first * math.pow(self.last / self.first, share))
