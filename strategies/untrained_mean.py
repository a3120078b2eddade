"""Integer arrays and running statistics of one round, averaged beside the strategy: no optimiser steps them.

Integers are exact where all clients agree, and else rounded and saturated; both start from what clients were sent, so
that what nobody changed stays as it is, to the bit. Does not know messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.layout import Layout
from surp_fl.statistics import as_dtype
from surp_fl.types import Array


class Beside:
    """The weighted mean of one round's integer arrays and running statistics.

    Args:
        layout: of the model.
        before: these arrays as clients were sent them.
    """

    def __init__(self, layout: Layout, before: Mapping[str, Array]) -> None:
        self._layout = layout
        self._before = before
        self._first: dict[str, Array] = {}  # as the first client has them
        self._agreed: set[str] = set()
        self._sums: dict[str, NDArray[np.float64]] = {}  # of weight × change
        self._weight = 0.0

    def add(self, weight: float, arrays: Mapping[str, Array]) -> None:
        """Take in what one client has."""
        if not self._first:
            self._first, self._agreed = dict(arrays), set(arrays)
        self._agreed = {name for name in self._agreed if np.array_equal(arrays[name], self._first[name])}
        self._weight += weight
        for name, array in arrays.items():
            if array is not self._before[name]:
                change = difference(array, self._before[name])
                self._sums[name] = self._sums.get(name, np.zeros(array.shape)) + weight * change

    def agreed(self) -> dict[str, Array]:
        """The integer arrays of which all clients have the same."""
        return {spec.name: self._first[spec.name] for spec in self._layout.exact if spec.name in self._agreed}

    def mean(self) -> dict[str, Array]:
        """The mean of all arrays, in the model's dtypes; nothing where no client had a weight."""
        if not self._weight:
            return {}
        kinds = dict(self._layout.kinds)
        means = {}
        for name, before in self._before.items():
            change = self._sums[name] / self._weight if name in self._sums else None
            if change is None:
                means[name] = before
            elif name in kinds:
                means[name] = as_dtype(before + change, before.dtype, kinds[name])
            else:
                means[name] = moved(before, np.rint(change))
        return means | self.agreed()


def difference(after: Array, before: Array) -> NDArray[np.float64]:
    """after − before, each rounded once to float64, however large the integers are."""
    if after.dtype.kind not in "iu":
        return after.astype(np.float64) - before.astype(np.float64)
    unsigned = np.dtype(f"u{after.itemsize}")
    up = (after.astype(unsigned) - before.astype(unsigned)).astype(np.float64)  # differences wrap around
    down = (before.astype(unsigned) - after.astype(unsigned)).astype(np.float64)
    signed: NDArray[np.float64] = np.where(after >= before, up, -down)
    return signed


def moved(before: Array, change: NDArray[np.float64]) -> Array:
    """Integers or booleans after a whole change, saturated: exact however large they are."""
    if before.dtype.kind == "b":
        return np.asarray(before + change >= 0.5)
    limits = np.iinfo(before.dtype)
    unsigned = np.dtype(f"u{before.itemsize}")
    bits = before.astype(unsigned)
    above = np.asarray(limits.max, before.dtype).astype(unsigned) - bits  # what is left up to the limits
    below = bits - np.asarray(limits.min, before.dtype).astype(unsigned)
    up, down = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    too_high, too_low = up >= above.astype(np.float64), down >= below.astype(np.float64)
    step = np.where(too_high, 0.0, up).astype(unsigned) - np.where(too_low, 0.0, down).astype(unsigned)
    after = (bits + step).astype(unsigned).astype(before.dtype)
    after = np.where(too_high & (up > 0), limits.max, np.where(too_low & (down > 0), limits.min, after))
    return after.astype(before.dtype)


def saturated(array: Array, dtype: np.dtype[Any]) -> Array:
    """An array that a strategy averaged, in the dtype of the model: integers rounded, and no further than they go."""
    if array.dtype == dtype or dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(dtype, copy=False)
    if dtype.kind == "b":
        return np.asarray(array >= 0.5)
    if array.dtype.kind != "f":
        limits = np.iinfo(dtype)
        return np.clip(array, limits.min, limits.max).astype(dtype)
    return moved(np.zeros(array.shape, dtype), np.rint(array.astype(np.float64)))
