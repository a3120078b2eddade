"""Vectors that nobody can ever write to, so that what is read off one may be kept for as long as it lives.

A cleared WRITEABLE flag is no such promise: who owns the memory can set it again. numpy sets it on no array whose
memory is a `bytes` object's. Knows vectors. Does not know what is read off them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def immutable(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same numbers where nobody can write to them: float32, shape (n,), one copy; the argument if it already is so.

    >>> once = immutable(np.arange(3, dtype=np.float32))
    >>> immutable(once) is once
    True
    """
    if is_immutable(vector) and vector.dtype == np.float32 and vector.ndim == 1:
        return vector
    return np.frombuffer(np.asarray(vector, np.float32).tobytes(), np.float32)


def is_immutable(array: object) -> bool:
    """Whether an array's memory is that of a `bytes` object, through however many views."""
    while isinstance(array, np.ndarray):
        array = array.base
    return type(array) is bytes  # a subclass may lend other memory
