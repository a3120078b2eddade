"""Integer arrays and running statistics of one round, averaged apart from the strategy: no optimiser steps them.

Where all clients agree on an integer array, their common value is taken; otherwise the mean is rounded and saturated.
Means are computed from changes relative to what clients were sent, so that unchanged arrays stay the same to the bit.
A short message holds some arrays of running statistics only. Each array is averaged over the clients whose message
changes any of its values: those that left it out do not vote for what it was before.
Knows layouts. Does not know messages.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from surp_fl.integer_arrays import add_saturated, subtract
from surp_fl.layout import Layout
from surp_fl.statistics import as_dtype
from surp_fl.types import Array


class UntrainedMean:
    """The weighted mean of one round's integer arrays and running statistics.

    Args:
        layout: of the model.
        before: these arrays as clients were sent them, by name.
    """

    def __init__(self, layout: Layout, before: Mapping[str, Array]) -> None:
        self._layout = layout
        self._before = before
        self._kinds = dict(layout.kinds)
        self._first: dict[str, Array] = {}  # as the first client has them
        self._agreed: set[str] = set()
        self._sums: dict[str, NDArray[np.float64]] = {}  # of weight × change
        self._told = dict.fromkeys(before, 0.0)  # the weights of those that told each array, added up
        self._weight = 0.0

    def add(self, weight: float, arrays: Mapping[str, Array], in_part: bool = False) -> None:
        """Add one client's arrays; one that is the object in `before` counts as unchanged.

        Args:
            weight: of the client.
            arrays: all of `before`, by name.
            in_part: whether arrays of running statistics that are the same as before were not told.
        """
        if not self._first:
            self._first, self._agreed = dict(arrays), set(arrays)
        self._agreed = {name for name in self._agreed if np.array_equal(arrays[name], self._first[name])}
        self._weight += weight
        for name, array in arrays.items():
            told = not in_part or name not in self._kinds
            if array is not self._before[name]:
                change = subtract(array, self._before[name])
                self._sums[name] = self._sums.get(name, 0.0) + weight * change
                told = told or bool(change.any())
            self._told[name] += weight * told

    def agreed(self) -> dict[str, Array]:
        """The integer arrays that are equal in all clients."""
        return {spec.name: self._first[spec.name] for spec in self._layout.exact if spec.name in self._agreed}

    def mean(self) -> dict[str, Array]:
        """The mean of all arrays, in the model's dtypes; empty if the weights sum to zero."""
        if not self._weight:
            return {}
        means = {}
        for name, before in self._before.items():
            if name not in self._sums or not self._told[name]:
                means[name] = before
                continue
            change = self._sums[name] / self._told[name]
            if name in self._kinds:
                means[name] = as_dtype(before + change, before.dtype, self._kinds[name])
            else:
                means[name] = add_saturated(before, np.rint(change))
        return means | self.agreed()
