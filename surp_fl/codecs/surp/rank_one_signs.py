"""The signs of a vector's largest entries: of a factor of a rank-one term, as many as are worth their bits.

The encoder's side alone. A factor with k signs s removes (Σ s·v)² / k, where v is the product of the layer with the
other factor, of norm 1; the best k signs are those of the largest entries. Knows vectors. Does not know terms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from surp_fl.types import Floats, Vector


def largest_signs(vectors: Vector, slope: float, most_bits: Floats) -> tuple[Vector, Floats]:
    """The signs of each vector's largest entries, as many as remove most beyond their bits.

    Args:
        vectors: rows; float32, shape (count, n).
        slope: squared error that a bit removes elsewhere.
        most_bits: of the signs of each vector; where not even one sign fits, there is one; float64, shape (count,).

    Returns:
        Signs, −1, 0 or 1, as float32, shape (count, n), and the bits that they take, float64, shape (count,).

    >>> largest_signs(np.array([[0.1, -3, 2, 0]], np.float32), 0.5, np.array([np.inf]))[0].tolist()
    [[0.0, -1.0, 1.0, 0.0]]
    """
    bits = _bits_of_counts(vectors.shape[1])
    signs, kept = np.zeros(vectors.shape, np.float32), np.empty(len(vectors), np.int64)
    keep_largest(vectors, np.sort(np.abs(vectors), axis=1), bits, slope, most_bits, signs, kept)
    return signs, bits[kept - 1]


def keep_largest(
    vectors: Vector, ascending: Vector, bits: Floats, slope: float, most_bits: Floats, signs: Vector,
    kept: NDArray[np.int64],
) -> None:  # fmt: skip
    """Fill in signs and how many are kept of each vector.

    Args:
        ascending: the magnitudes of each vector.
        bits: that 1, 2, … n signs take.
    """
    n = vectors.shape[1]
    for row in range(len(vectors)):
        total = gain = 0.0
        count = 1
        for k in range(1, n + 1):
            total += ascending[row, n - k]
            net = total * total / k - slope * bits[k - 1]
            if k == 1 or (net > gain and bits[k - 1] <= most_bits[row]):
                gain, count = net, k
        least = ascending[row, n - count]
        equal = 0  # of the kept ones, those as small as the least: of all such, the first
        while equal < count and ascending[row, n - count + equal] == least:
            equal += 1
        for i in range(n):
            size = vectors[row, i] if vectors[row, i] >= 0 else -vectors[row, i]
            if size > least or (size == least and equal > 0):
                signs[row, i] = 1 if vectors[row, i] >= 0 else -1
                equal -= size == least
        kept[row] = count


@lru_cache(maxsize=64)
def _bits_of_counts(length: int) -> Floats:
    """The bits that 1, 2, … `length` signs of a vector take, by the entropy of which they are; read-only."""
    k = np.arange(1.0, length + 1)
    share = k / length
    with np.errstate(divide="ignore", invalid="ignore"):
        zero_bits = np.where(share < 1, -(length - k) * np.log2(1 - share), 0.0)
    bits: Floats = zero_bits - k * np.log2(share) + k
    bits.setflags(write=False)
    return bits
