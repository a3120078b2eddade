"""Bands of a model: runs of rows whose coordinates share a scale factor.

Knows layouts. Does not know bits, and not which factors are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from surp_fl.layout import Layout
from surp_fl.types import Floats, Integers, Vector

# Part of the format.
_MOST_BANDS = 4096  # of an array
_LEAST_COORDINATES = 16  # in a run of rows, but the last of an array
_QUARTER_OCTAVES = np.array([1.0, 0.8408964152537145, 0.7071067811865476, 0.5946035575013605])  # 2^(−i/4)


@dataclass(frozen=True)
class Bands:
    """Consecutive parts of the vector, in its order.

    Attributes:
        starts: first coordinate of each; int64, shape (bands,).
        sizes: coordinates of each, at least 1; int64, shape (bands,).
    """

    starts: Integers
    sizes: Integers

    @classmethod
    @lru_cache(maxsize=8)
    def of(cls, layout: Layout) -> Bands:
        """Cut every array of two dimensions or more into runs of rows; all others are one band."""
        sizes: list[int] = []
        for spec in layout.floats:
            rows = spec.shape[0] if len(spec.shape) > 1 else 1
            if spec.size:
                columns = spec.size // rows
                each = max(-(-rows // _MOST_BANDS), -(-_LEAST_COORDINATES // columns))  # rows
                sizes += [columns * min(each, rows - row) for row in range(0, rows, each)]
        found = np.array(sizes, np.int64)
        return cls(np.cumsum(found) - found, found)

    def energies(self, vector: Vector) -> Floats:
        """The sum of squares in each band; shape (bands,)."""
        return np.add.reduceat(np.square(vector, dtype=np.float64), self.starts)

    @staticmethod
    def weights(factors: Integers) -> Floats:
        """The weight 2^(−factor/4) of each band; shape (bands,).

        >>> Bands.weights(np.array([0, 6])).tolist()
        [1.0, 0.3535533905932738]
        """
        found: Floats = np.ldexp(_QUARTER_OCTAVES[factors & 3], -(factors >> 2))
        return found
