"""What a model was before it changed: the values that were overwritten, and their places.

A version of which most values stay as they were takes a few bytes a value that changed. Knows arrays alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from surp_fl.bit_patterns import bits_of
from surp_fl.types import Array, Arrays, Integers


@dataclass(frozen=True)
class Overwritten:
    """The values of a model that another one has overwritten.

    Attributes:
        values: by name, of each array that differs: ascending flat indices and the values that were there, of shape
            (changed,); indices None for the whole array, where that takes no more memory.
        changed: how many values differ.
    """

    values: dict[str, tuple[Integers | None, Array]]
    changed: int

    @classmethod
    def between(cls, before: Mapping[str, Array], after: Mapping[str, Array]) -> Overwritten:
        """Compare two models bit by bit: all arrays of `before`, which `after` has too."""
        values: dict[str, tuple[Integers | None, Array]] = {}
        changed = 0
        for name, old in before.items():
            flat = np.ascontiguousarray(old).reshape(-1)
            differ = bits_of(flat) != bits_of(after[name])
            if differ.size > flat.size:  # byte by byte
                differ = differ.reshape(flat.size, -1).any(axis=1)
            (places,) = np.nonzero(differ)
            if not len(places):
                continue
            changed += len(places)
            sparse = len(places) * (places.itemsize + flat.itemsize) < flat.nbytes
            values[name] = (places, flat[places]) if sparse else (None, old)
        return cls(values, changed)

    @property
    def nbytes(self) -> int:
        """Memory of indices and values."""
        return sum((0 if places is None else places.nbytes) + old.nbytes for places, old in self.values.values())

    def restore(self, arrays: Arrays) -> None:
        """Write the old values into the flat, writable arrays of the model after the change."""
        for name, (places, old) in self.values.items():
            arrays[name][slice(None) if places is None else places] = old.reshape(-1)

    def restored(self, after: Mapping[str, Array]) -> Arrays:
        """The model before, of the one after: new arrays where values differ."""
        flat = {name: after[name].flatten() for name in self.values}
        self.restore(flat)
        return {**after, **{name: array.reshape(after[name].shape) for name, array in flat.items()}}
