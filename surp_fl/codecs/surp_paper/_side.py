"""One side of a refinement: magnitudes u that steps reduce, and the candidates among them, u ≥ τ, as τ falls.

Coordinates that can become candidates soon are tracked (`_scans.py`), with the candidates among them in a Fenwick tree
and the others in a heap (`_candidates.py`). When the threshold falls below the tracked range, the vector is scanned
again for a range of at least a factor of two, so that there are few scans. Algorithm 2 has one side, all magnitudes;
Algorithm 1 has two, what is above zero and what is below it.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp_paper._candidates import add_to_count, partition, pop, position_of, push, top_waiting
from surp_fl.codecs.surp_paper._scans import sum_and_top, track_above
from surp_fl.types import Floats, Integers, Vector

_INFINITY = float("inf")
_STALE_SHARE = math.ldexp(1.0, -20)  # a running sum below this share is computed again, for its rounding error


class Side:
    """The magnitudes |vector| / scale, and what steps have taken away from them.

    Args:
        vector: float32, shape (n,).
        ends: end of each layer; shape (layers,).
        scales: of each layer, 0 for one that is left out; shape (layers,).
        expected: k, how many of the largest are looked at when λ is estimated.

    Attributes:
        tracked: indices of tracked coordinates, ascending; shape (t,).
        refined: whether each tracked coordinate was refined; shape (t,).
        candidates: number of tracked coordinates with u ≥ τ.
        total: sum of u over all coordinates.
        scans: how often the vector was read.
        most: the largest u, at the beginning and whenever `survey` looks at a side without candidates.
        least: the k-th largest u then, or the smallest that is not 0 if there are fewer; infinity if all are 0.
    """

    def __init__(self, vector: Vector, ends: Integers, scales: Floats, expected: int) -> None:
        self._vector, self._ends, self._scales, self._expected = vector, ends, scales, expected
        self.tracked, self._residual, self.refined = np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint8)
        self._tree, self._heap = np.zeros(1, np.int64), np.empty(0, np.int64)
        self.candidates = self._waiting = self.scans = 0
        self._floor = _INFINITY  # every coordinate with u ≥ floor is tracked
        self.total = self._total_when_summed = self.most = 0.0
        self.least = _INFINITY
        self._sum()

    def advance(self, threshold: float) -> int:
        """Make candidates of all that reach a threshold, which is not above earlier ones; gives how many there are."""
        if threshold < self._floor:
            self._floor = 0.5 * threshold
            tracked, residual, refined = track_above(
                self._vector, self._ends, self._scales, self.tracked, self._residual, self.refined, self._floor
            )
            self.tracked, self._residual, self.refined = tracked, residual, refined
            tree, heap, self.candidates, self._waiting = partition(residual, threshold)
            self._tree, self._heap = tree, heap
            self.scans += 1
        while self._waiting > 0 and self._residual[self._heap[0]] >= threshold:  # these have become candidates
            add_to_count(self._tree, pop(self._heap, self._waiting, self._residual), 1)
            self.candidates += 1
            self._waiting -= 1
        return self.candidates

    def survey(self) -> None:
        """Look at the sum, and at the largest magnitudes of a side without candidates, for an estimate of λ."""
        if self.total < _STALE_SHARE * self._total_when_summed:
            self._sum()
        elif self.candidates == 0:
            top = top_waiting(self._heap, self._waiting, self._residual, self._floor, self._expected)
            if len(top) == 0:
                self._sum()
            else:
                self._look_at(top)

    def _sum(self) -> None:
        self.total, top = sum_and_top(
            self._vector, self._ends, self._scales, self.tracked, self._residual, self._expected
        )
        self._total_when_summed = self.total
        self.scans += 1
        self._look_at(top)

    def _look_at(self, top: Floats) -> None:
        self.most, self.least = 0.0, _INFINITY
        for i in range(len(top)):
            self.most = max(self.most, top[i])
            if 0.0 < top[i] < self.least:
                self.least = top[i]

    def select(self, uniform: float) -> int:
        """The position of a candidate among the tracked: the ⌊x·candidates⌋-th one by index, x from 0 to below 1."""
        return position_of(self._tree, min(int(uniform * self.candidates), self.candidates - 1))

    def reduce(self, position: int, threshold: float, next_threshold: float) -> None:
        """Take the threshold from a candidate, which waits again if what is left is below the next threshold."""
        self.refined[position] = 1
        self._residual[position] -= threshold
        self.total -= threshold
        if self._residual[position] < next_threshold:
            add_to_count(self._tree, position, -1)
            self.candidates -= 1
            push(self._heap, self._waiting, self._residual, position)
            self._waiting += 1
