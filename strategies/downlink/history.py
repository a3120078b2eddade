"""Earlier versions of a model, stored as the values that each change overwrote.

A version of which most values stay as they were takes a few bytes a value that changed, so that many versions fit in
the memory of one model. Knows arrays. Does not know messages or codecs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.bit_patterns import bits_of
from surp_fl.types import Arrays


@dataclass(frozen=True)
class _Overwritten:
    """What a change overwrote: of each array that it touched, the places and the values that were there.

    Attributes:
        version: digest of the version before the change.
        values: by name, ascending flat indices and old values; indices None for the whole array.
        nbytes: of all of these.
    """

    version: bytes
    values: dict[str, tuple[NDArray[np.int64] | None, NDArray[Any]]]
    nbytes: int

    @classmethod
    def between(cls, version: bytes, before: Arrays, after: Arrays) -> _Overwritten:
        """Compare two models of the same arrays, bit by bit."""
        values: dict[str, tuple[NDArray[np.int64] | None, NDArray[Any]]] = {}
        spent = 0
        for name, old in before.items():
            flat = np.ascontiguousarray(old).reshape(-1)
            differ = bits_of(flat) != bits_of(after[name])
            if differ.size > flat.size:  # byte by byte
                differ = differ.reshape(flat.size, -1).any(axis=1)
            (places,) = np.nonzero(differ)
            if not len(places):
                continue
            sparse = len(places) * (places.itemsize + flat.itemsize) < flat.nbytes
            values[name] = (places, flat[places]) if sparse else (None, old)
            spent += len(places) * (places.itemsize + flat.itemsize) if sparse else old.nbytes
        return cls(version, values, spent)

    def restore(self, arrays: Arrays) -> None:
        """Write the old values into the flat, writable arrays of the version after the change."""
        for name, (places, old) in self.values.items():
            arrays[name][slice(None) if places is None else places] = old.reshape(-1)


class History:
    """The versions that led to the latest one.

    Args:
        most_bytes: memory for them; the oldest are dropped beyond it.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._changes: deque[_Overwritten] = deque()  # oldest first
        self._bytes = 0

    def push(self, version: bytes, before: Arrays, after: Arrays) -> None:
        """Store what changed from one version to the next; `version` is the digest of the one before."""
        change = _Overwritten.between(version, before, after)
        self._changes.append(change)
        self._bytes += change.nbytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._changes.popleft().nbytes

    def clear(self) -> None:
        """Forget all versions."""
        self._changes.clear()
        self._bytes = 0

    def __contains__(self, version: bytes) -> bool:
        return any(change.version == version for change in self._changes)

    def arrays_of(self, version: bytes, latest: Arrays) -> Arrays:
        """Restore an earlier version; new arrays, with the shapes of the latest one.

        Raises:
            KeyError: it is not stored.
        """
        arrays = {name: array.flatten() for name, array in latest.items()}
        for change in reversed(self._changes):
            change.restore(arrays)
            if change.version == version:
                return {name: array.reshape(latest[name].shape) for name, array in arrays.items()}
        raise KeyError(version.hex())
