"""The form of the model that a run began with: names, their order, dtypes. Every aggregate is cast back to it.

Averaging turns integers into floats, adaptive strategies return float64, and float16 cannot represent small steps: the
rounding error is kept as a residual and added to the next aggregate. Knows Flower's records. Does not know messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from numpy.typing import NDArray

from surp_fl.flower.records import arrays_of, record_of
from surp_fl.integer_arrays import cast_saturated
from surp_fl.statistics import Kind, Kinds, kinds_in


class InitialModel:
    """Names, order and dtypes of the first model that it reads.

    Args:
        kinds: which arrays are running statistics; None recognises them by name.

    Attributes:
        residual: by name, the rounding error of arrays narrower than float32, added to the next aggregate.
    """

    def __init__(self, kinds: Kinds | None) -> None:
        self.residual: dict[str, NDArray[np.float32]] = {}
        self._configured_kinds = kinds
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._kinds: dict[str, Kind] = {}

    def read(self, arrays: ArrayRecord) -> None:
        """Read names and dtypes off a model; only the first call has an effect."""
        if not self._dtypes:
            self._dtypes = {name: array.numpy().dtype for name, array in arrays.items()}
            floats = [name for name, dtype in self._dtypes.items() if dtype.kind == "f"]
            self._kinds = kinds_in(floats, self._configured_kinds)

    def untrained_in(self, arrays: ArrayRecord) -> dict[str, Array]:
        """The arrays of a model that no optimiser trains: integers and booleans, and running statistics."""
        return {name: array for name, array in arrays.items() if self._dtypes[name].kind != "f" or name in self._kinds}

    def cast(self, arrays: ArrayRecord, untrained: Mapping[str, NDArray[Any]]) -> ArrayRecord:
        """Give an aggregate the names, order and dtypes of the initial model.

        Args:
            arrays: the aggregate.
            untrained: arrays that replace those of the aggregate, or that it lacks.

        Returns:
            `arrays` itself where nothing has to be changed.
        """
        same = all(array.dtype == str(self._dtypes[name]) for name, array in arrays.items())
        if same and not untrained and not self._kinds and not any(map(_is_narrow, self._dtypes.values())):
            return arrays
        found = {**arrays_of(arrays), **untrained}
        for name in sorted(found, key=list(self._dtypes).index):
            array, dtype = found.pop(name), self._dtypes[name]  # inserted again below, at the end: sorts the dict
            if self._kinds.get(name) == "variance":
                array = np.maximum(array, 0)
            elif _is_narrow(dtype):
                array = self._rounded(name, array, dtype)
            found[name] = cast_saturated(array, dtype)
        return record_of(found)

    def _rounded(self, name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Round to a narrower float dtype with error feedback: rounded = array + residual, residual ← the error."""
        wide = array.astype(np.float32) + self.residual.get(name, np.float32(0))
        with np.errstate(over="ignore", invalid="ignore"):  # the caller checks for infinity and NaN
            narrow: NDArray[Any] = wide.astype(dtype)
            self.residual[name] = wide - narrow.astype(np.float32)
        return narrow


def put_untrained(messages: list[Message], untrained: dict[str, Array], order: list[str]) -> None:
    """Add arrays that the inner strategy was not given to its messages; messages that share a record still share one.

    Args:
        messages: with one ArrayRecord each.
        untrained: the arrays to add, by name.
        order: names of all arrays of the model, in its order.
    """
    full: dict[int, ArrayRecord] = {}
    for message in messages:
        ((name, record),) = message.content.array_records.items()
        if id(record) not in full:
            full[id(record)] = ArrayRecord({key: untrained[key] if key in untrained else record[key] for key in order})
        message.content = RecordDict({**message.content, name: full[id(record)]})


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """Whether updates, which are float32, can be rounded away in it."""
    return dtype.kind == "f" and dtype.itemsize < 4
