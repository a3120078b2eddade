"""Earlier versions of a model, stored as the values that each change overwrote.

A version of which most values stay as they were takes a few bytes a value that changed, so that many versions fit in
the memory of one model. Knows arrays. Does not know messages or codecs.
"""

from __future__ import annotations

from collections import deque

from surp_fl.overwritten import Overwritten
from surp_fl.types import Arrays


class History:
    """The versions that led to the latest one.

    Args:
        most_bytes: memory for them; the oldest are dropped beyond it.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._changes: deque[tuple[bytes, Overwritten]] = deque()  # digest of the version before each; oldest first
        self._bytes = 0

    def push(self, version: bytes, before: Arrays, after: Arrays) -> None:
        """Store what changed from one version to the next; `version` is the digest of the one before."""
        change = Overwritten.between(before, after)
        self._changes.append((version, change))
        self._bytes += change.nbytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._changes.popleft()[1].nbytes

    def clear(self) -> None:
        """Forget all versions."""
        self._changes.clear()
        self._bytes = 0

    def __contains__(self, version: bytes) -> bool:
        return any(known == version for known, _ in self._changes)

    def arrays_of(self, version: bytes, latest: Arrays) -> Arrays:
        """Restore an earlier version; new arrays, with the shapes of the latest one.

        Raises:
            KeyError: it is not stored.
        """
        arrays = {name: array.flatten() for name, array in latest.items()}
        for known, change in reversed(self._changes):
            change.restore(arrays)
            if known == version:
                return {name: array.reshape(latest[name].shape) for name, array in arrays.items()}
        raise KeyError(version.hex())
