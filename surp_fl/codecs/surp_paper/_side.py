"""One side of a refinement: magnitudes u that steps reduce, and the candidates among them, u ≥ τ, as τ falls.

Coordinates that can become candidates soon are tracked (`_scans.py`), with a tree that counts the candidates among them
and a sorted list of those that become candidates next (`_candidates.py`). When the threshold falls below the tracked
range, the vector is scanned again for a range of a factor of two, so that there are few scans; when it falls below the
sorted range, the next ones are sorted: all, or where they are many, those down to 0.9 of the threshold. Algorithm 2 has
one side, all magnitudes; Algorithm 1 has two, what is above zero and what is below it.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp_paper._candidates import add_to_count, arrange, pop, position_of, push, top_waiting
from surp_fl.codecs.surp_paper._scans import sum_and_top, track_above
from surp_fl.types import Floats, Integers, Vector

_INFINITY = float("inf")
_SORTED_SHARE = 0.9  # of the threshold, down to which many tracked coordinates are sorted at a time; set by hand
_FEW = 1 << 16  # tracked coordinates that are sorted all at once
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
        self._counts, self._starts, self._waiting = arrange(self._residual, _INFINITY, _INFINITY)
        self._heap = np.empty(0, np.int64)
        self.candidates = self.scans = 0
        self._arrived = self._returned = 0  # of those that wait: the ones in the list that came, the ones in the heap
        self._threshold = _INFINITY
        self._floor = self._sorted_floor = _INFINITY  # u ≥ floor is tracked; what waits above the other is sorted
        self.total = self._total_when_summed = self.most = 0.0
        self.least = _INFINITY
        self._sum()

    def advance(self, threshold: float) -> int:
        """Make candidates of all that reach a threshold, which is not above earlier ones; gives how many there are."""
        self._threshold = threshold
        if threshold < self._floor:
            self._floor = 0.5 * threshold
            tracked, residual, refined = track_above(
                self._vector, self._ends, self._scales, self.tracked, self._residual, self.refined, self._floor
            )
            self.tracked, self._residual, self.refined = tracked, residual, refined
            self._heap, self._sorted_floor = np.empty(len(tracked), np.int64), _INFINITY
            self.scans += 1
        if threshold < self._sorted_floor:
            few = len(self.tracked) <= _FEW
            self._sort(self._floor if few else max(self._floor, _SORTED_SHARE * threshold))
            self.candidates = self._counts[len(self._counts) - 1]
        while self._arrived < len(self._waiting) and self._residual[self._waiting[self._arrived]] >= threshold:
            add_to_count(self._counts, self._starts, self._waiting[self._arrived], 1)
            self._arrived += 1
            self.candidates += 1
        while self._returned > 0 and self._residual[self._heap[0]] >= threshold:
            add_to_count(self._counts, self._starts, pop(self._heap, self._returned, self._residual), 1)
            self._returned -= 1
            self.candidates += 1
        return self.candidates

    def _sort(self, floor: float) -> None:
        """Count the candidates anew, and sort what waits, from a floor on."""
        counts, starts, waiting = arrange(self._residual, floor, self._threshold)
        self._counts, self._starts, self._waiting = counts, starts, waiting
        self._sorted_floor = floor
        self._arrived = self._returned = 0

    def _top(self) -> Floats:
        """The largest of those that wait, as `top_waiting`."""
        return top_waiting(self._waiting, self._arrived, self._heap, self._returned, self._residual, self._expected)

    def survey(self) -> None:
        """Look at the sum, and at the largest magnitudes of a side without candidates, for an estimate of λ."""
        if self.total < _STALE_SHARE * self._total_when_summed:
            self._sum()
        elif self.candidates == 0:
            top = self._top()
            if len(top) == 0 and self._sorted_floor > self._floor:
                self._sort(self._floor)
                top = self._top()
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
        rank = min(int(uniform * self.candidates), self.candidates - 1)
        return position_of(self._counts, self._starts, self._residual, self._threshold, rank)

    def reduce(self, position: int, threshold: float, next_threshold: float) -> None:
        """Take the threshold from a candidate, which waits again if what is left is below the next threshold."""
        self.refined[position] = 1
        self._residual[position] -= threshold
        self.total -= threshold
        if self._residual[position] < next_threshold:
            add_to_count(self._counts, self._starts, position, -1)
            self.candidates -= 1
            if self._residual[position] >= self._sorted_floor:
                push(self._heap, self._returned, self._residual, position)
                self._returned += 1
