"""The form of the model that a run began with: names, their order, dtypes. Every aggregate is brought back to it.

Averaging makes counters floats, adaptive strategies make float64, and float16 cannot hold small steps: what it could
not hold is kept, and added the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from surp_fl.flower.records import arrays_of, record_of
from surp_fl.statistics import Kind, Kinds, kinds_in
from surp_fl.strategies.untrained_mean import saturated


class FirstModel:
    """Names and dtypes of the first model that it sees.

    Args:
        statistics: the user's word on which arrays are running statistics.

    Attributes:
        owed: by name, what arrays narrower than float32 could not hold yet.
    """

    def __init__(self, statistics: Kinds | None) -> None:
        self.owed: dict[str, NDArray[np.float32]] = {}
        self._said = statistics
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._kinds: dict[str, Kind] = {}

    def see(self, arrays: ArrayRecord) -> None:
        """Look at a model, if it is the first."""
        if not self._dtypes:
            self._dtypes = {name: array.numpy().dtype for name, array in arrays.items()}
            self._kinds = kinds_in([name for name, dtype in self._dtypes.items() if dtype.kind == "f"], self._said)

    def others_in(self, arrays: ArrayRecord) -> dict[str, Array]:
        """The arrays of a model that are not trained: integers and booleans, and running statistics."""
        return {name: array for name, array in arrays.items() if self._dtypes[name].kind != "f" or name in self._kinds}

    def like(self, arrays: ArrayRecord, others: Mapping[str, NDArray[Any]]) -> ArrayRecord:
        """An aggregate with the names and dtypes of the first model.

        Args:
            arrays: of the aggregate.
            others: arrays that take the place of the aggregate's, or that it does not have.
        """
        same = all(array.dtype == str(self._dtypes[name]) for name, array in arrays.items())
        if same and not others and not self._kinds and not any(map(_is_narrow, self._dtypes.values())):
            return arrays
        found = {**arrays_of(arrays), **others}
        for name in sorted(found, key=list(self._dtypes).index):
            array, dtype = found.pop(name), self._dtypes[name]  # and to the end
            if self._kinds.get(name) == "variance":
                array = np.maximum(array, 0)
            elif _is_narrow(dtype):
                array = self._rounded(name, array, dtype)
            found[name] = saturated(array, dtype)
        return record_of(found)

    def _rounded(self, name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        whole = array.astype(np.float32) + self.owed.get(name, np.float32(0))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is looked at by who called
            narrow: NDArray[Any] = whole.astype(dtype)
            self.owed[name] = whole - narrow.astype(np.float32)
        return narrow


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """Whether updates, which are float32, may be lost in it."""
    return dtype.kind == "f" and dtype.itemsize < 4
