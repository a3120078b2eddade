"""A decoded update in the smaller of two forms: indices and values, or a dense vector. Does not know codecs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surp_fl.types import Integers, Update, Vector

_PAIR_BYTES = 12  # of an index and its value


def as_vector(update: Update, n: int) -> Vector:
    """The update as a float32 vector of shape (n,); the same object if it is a vector already.

    >>> as_vector((np.array([1]), np.array([2.5], np.float32)), 3)
    array([0. , 2.5, 0. ], dtype=float32)
    """
    if not isinstance(update, tuple):
        return update
    vector = np.zeros(n, np.float32)
    vector[update[0]] = update[1]
    return vector


def compact(vector: Vector, parts: Sequence[slice]) -> Update:
    """A vector that is 0 but in some parts, in the form that takes less memory; the rest of it is not read.

    >>> compact(np.array([0, 0, 0, 2.5], np.float32), [slice(2, 4)])
    (array([3]), array([2.5], dtype=float32))
    """
    if _PAIR_BYTES * sum(np.count_nonzero(vector[part]) for part in parts) >= vector.nbytes:
        return vector
    ascending = sorted(parts, key=lambda part: part.start)
    found = [part.start + np.flatnonzero(vector[part]) for part in ascending]
    indices = np.concatenate(found) if found else np.empty(0, np.int64)
    return indices, vector[indices]


def indices_of(update: Update) -> Integers:
    """The indices of the coordinates that the update changes; int64, ascending.

    >>> indices_of(np.array([0, 2, 0, -1], np.float32))
    array([1, 3])
    """
    return update[0] if isinstance(update, tuple) else np.flatnonzero(update)


def values_of(update: Update) -> Vector:
    """The values that the update stores, float32; all other coordinates are zero."""
    return update[1] if isinstance(update, tuple) else update


def add_to(vector: Vector, update: Update, weight: float = 1.0) -> None:
    """vector ← vector + weight·update, in place; takes time proportional to the values that the update stores.

    >>> vector = np.ones(2, np.float32)
    >>> add_to(vector, (np.array([1]), np.array([2], np.float32)), weight=0.5)
    >>> vector
    array([1., 2.], dtype=float32)
    """
    if isinstance(update, tuple):
        vector[update[0]] += np.float32(weight) * update[1]
    elif weight == 1:
        vector += update
    else:
        vector += np.float32(weight) * update


def memory_bytes(update: Update) -> int:
    """Bytes of memory that the update takes."""
    return update[0].nbytes + update[1].nbytes if isinstance(update, tuple) else update.nbytes
