"""A decoded update in whichever form is smaller: indices and values, or a whole vector. Does not know codecs."""

from __future__ import annotations

import numpy as np

from surp_fl.types import Integers, Update, Vector


def as_vector(update: Update, n: int) -> Vector:
    """The update as a float32 vector of shape (n,); a new one where it was indices and values."""
    if not isinstance(update, tuple):
        return update
    vector = np.zeros(n, np.float32)
    vector[update[0]] = update[1]
    return vector


def indices_of(update: Update) -> Integers:
    """The coordinates that the update changes; ascending.

    >>> indices_of(np.array([0, 2, 0, -1], np.float32))
    array([1, 3])
    """
    return update[0] if isinstance(update, tuple) else np.flatnonzero(update)


def values_of(update: Update) -> Vector:
    """The numbers that the update holds; all others are zero."""
    return update[1] if isinstance(update, tuple) else update


def add_to(vector: Vector, update: Update, weight: float = 1.0) -> None:
    """vector ← vector + weight·update, in place: in a pass over what the update holds."""
    if isinstance(update, tuple):
        vector[update[0]] += np.float32(weight) * update[1]
    elif weight == 1:
        vector += update
    else:
        vector += np.float32(weight) * update


def bytes_of(update: Update) -> int:
    """Bytes in memory."""
    return update[0].nbytes + update[1].nbytes if isinstance(update, tuple) else update.nbytes
