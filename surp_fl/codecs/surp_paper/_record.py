"""What an encoder sends, written down step by step, in arrays that grow."""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.surp_paper._scans import grown
from surp_fl.types import Integers


class Record:
    """Indices and refreshes of a refinement.

    Attributes:
        picks: number of indices.
        refreshes: estimates of λ, the first one included.
    """

    def __init__(self) -> None:
        self._indices = np.empty(64, np.int64)
        self._at, self._code, self._sides = np.empty(16, np.int64), np.empty(16, np.int64), np.empty(16, np.int64)
        self.picks = self.refreshes = 0

    def add(self, index: int) -> None:
        """Append the index of a coordinate that a step refines."""
        if self.picks == len(self._indices):
            self._indices = grown(np.asarray(self._indices), 2 * self.picks)
        self._indices[self.picks] = index
        self.picks += 1

    def refresh(self, step: int, code: int, sides: int) -> None:
        """Append an estimate: the step before which it is sent, its code, and which sides the next steps refine."""
        count = self.refreshes
        if count == len(self._at):
            self._at, self._code = grown(np.asarray(self._at), 2 * count), grown(np.asarray(self._code), 2 * count)
            self._sides = grown(np.asarray(self._sides), 2 * count)
        self._at[count], self._code[count], self._sides[count] = step, code, sides
        self.refreshes += 1

    def indices(self) -> Integers:
        """All indices; shape (picks,)."""
        return np.asarray(self._indices)[: self.picks]

    def estimates(self) -> tuple[Integers, Integers, Integers]:
        """Steps, codes and sides of all estimates; shape (refreshes,)."""
        at, code, sides = np.asarray(self._at), np.asarray(self._code), np.asarray(self._sides)
        return at[: self.refreshes], code[: self.refreshes], sides[: self.refreshes]
