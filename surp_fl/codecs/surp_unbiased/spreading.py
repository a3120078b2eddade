"""One pass between a vector and its spread coordinates, weights applied on the way: what both ends of a rotation do.

Coordinate i of the vector is at place (first + i·step) mod n. Knows steps and weights. Does not know rotations.
"""

from __future__ import annotations

import numpy as np

from surp_fl.types import Floats, Integers, Vector

_LARGEST = float(np.finfo(np.float32).max)


def spread(vector: Vector, sizes: Integers, weights: Floats, first: int, step: int, found: Floats) -> None:
    """Write every coordinate, over the weight of its band, to its place.

    Args:
        vector: float32, shape (n,).
        sizes: coordinates of each band, n in all; shape (bands,).
        weights: of each band; float64, shape (bands,).
        first: place of coordinate 0, 0 to n − 1.
        step: places from each coordinate to the next, 0 to n − 1, without a common divisor with n.
        found: where to write; float64, shape (n,) or more.
    """
    n, place, i = len(vector), first, 0
    for band in range(len(sizes)):
        weight = weights[band]
        for _ in range(sizes[band]):
            found[place] = float(vector[i]) / weight
            i += 1
            place += step
            if place >= n:
                place -= n


def gather(spread_out: Floats, sizes: Integers, weights: Floats, first: int, step: int, found: Vector) -> None:
    """The inverse: times the weights, limited to what float32 holds. Arguments as of `spread`, but:

    Args:
        spread_out: what is read; float64, shape (n,) or more.
        found: where to write; float32, shape (n,).
    """
    n, place, i = len(found), first, 0
    for band in range(len(sizes)):
        weight = weights[band]
        for _ in range(sizes[band]):
            value = spread_out[place] * weight
            found[i] = min(max(value, -_LARGEST), _LARGEST)
            i += 1
            place += step
            if place >= n:
                place -= n
