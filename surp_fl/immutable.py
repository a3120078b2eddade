"""Immutable vectors, so that values derived from one can be cached for as long as it lives.

A cleared WRITEABLE flag is not enough: the owner of the memory can set it again. numpy refuses that for an array whose
memory belongs to a `bytes` object. Knows vectors. Does not know what is cached.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def immutable(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """An immutable float32 copy of a vector, shape (n,); the argument itself if it is immutable already.

    >>> once = immutable(np.arange(3, dtype=np.float32))
    >>> immutable(once) is once
    True
    """
    if is_immutable(vector) and vector.dtype == np.float32 and vector.ndim == 1:
        return vector
    return np.frombuffer(np.asarray(vector, np.float32).tobytes(), np.float32)


def is_immutable(array: object) -> bool:
    """True if an array is a view of a `bytes` object, directly or through other views."""
    while isinstance(array, np.ndarray):
        array = array.base
    return type(array) is bytes  # a subclass may expose other memory
