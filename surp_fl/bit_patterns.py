"""The bits of arrays as unsigned integers, and signed integers as unsigned ones. Knows arrays alone."""

from __future__ import annotations

import numpy as np

from surp_fl.types import Array, Integers


def bits_of(array: Array) -> Array:
    """The elements of an array as unsigned integers, so that NaN equals itself and −0 differs from 0.

    Returns:
        Shape (size,), in this machine's byte order, a view where that is possible; of elements of more than 8 bytes
        their single bytes, shape (size · itemsize,).
    """
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(-1)
    return flat.view(f"u{flat.itemsize}" if flat.itemsize <= 8 else np.uint8)


def zigzag(values: Integers) -> Integers:
    """Signed integers as unsigned ones, the small ones first: 0, −1, 1, −2, … → 0, 1, 2, 3, …; int64, |v| < 2**62."""
    return np.where(values >= 0, 2 * values, -2 * values - 1)


def unzigzag(values: Integers) -> Integers:
    """The inverse of `zigzag`; int64."""
    return np.where(values & 1, -(values + 1) // 2, values // 2)
