"""Spread and rotate the coordinates of a vector, and back: blocks of coordinates that are alike, of mean square 1.

Each block takes its coordinates from all over the vector, at steps near n over the golden ratio, so that one threshold
fits all blocks; where the first one starts, the seed says, so that no coordinate is always in a small one. Knows
vectors and bands. Does not know bits.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.rotation import blocks_of, hadamard
from surp_fl.codecs.surp_unbiased.bands import Bands
from surp_fl.codecs.surp_unbiased.spreading import gather, spread
from surp_fl.entropy.minifloat import decode_minifloat, encode_minifloat
from surp_fl.types import Floats, Integers, Vector

SEEDS = 1 << 16
_GOLDEN = 0.6180339887498949


def rotated_size(n: int) -> int:
    """Rotated coordinates of a vector of n."""
    return sum(block.size for block in blocks_of(n))


def rotated(vector: Vector, bands: Bands, factors: Integers, seed: int) -> tuple[Floats, float]:
    """The rotation of a vector over its weights, in units that a scale can be, of mean square near 1.

    Args:
        vector: float32, shape (n,), not 0.
        bands: of its model.
        factors: of the bands.
        seed: of the rotation.

    Returns:
        Shape (rotated_size(n),); and the unit.
    """
    n = vector.size
    found = np.zeros(rotated_size(n))
    spread(vector, bands.sizes, bands.weights(factors), *_places(n, seed), found)
    unit = decode_minifloat(encode_minifloat(float(np.linalg.norm(found)) / math.sqrt(found.size)))
    for block in blocks_of(n):
        part = found[block.start : block.start + block.size]
        np.negative(part, where=block.signs(seed), out=part)
        hadamard(part)
        part *= 1 / (math.sqrt(block.size) * unit)
    return found, unit


def rotated_back(normal: Floats, bands: Bands, factors: Integers, n: int, seed: int, scale: float) -> Vector:
    """The inverse, times a scale over the square root of each block's size; overwrites its input.

    Args:
        normal: rotated coordinates; shape (rotated_size(n),).
        bands: of the model, n coordinates.
        factors: of the bands.
        n: coordinates of the vector.
        seed: of the rotation.
        scale: of the whole.

    Returns:
        float32, shape (n,).
    """
    found = np.empty(n, np.float32)
    for block in blocks_of(n):
        part = hadamard(normal[block.start : block.start + block.size])
        np.negative(part, where=block.signs(seed), out=part)
        part *= scale / math.sqrt(block.size)
    gather(normal, bands.sizes, bands.weights(factors), *_places(n, seed), found)
    return found


def _places(n: int, seed: int) -> tuple[int, int]:
    """The place of coordinate 0, and places from each coordinate to the next: place j holds j·stride + offset."""
    inverse = pow(stride(n), -1, n)
    return -(seed * n // SEEDS) * inverse % n, inverse % n


def stride(n: int) -> int:
    """The step from a coordinate to the next: the least one from n / φ on that has no divisor in common with n.

    >>> [stride(n) for n in (1, 2, 10, 431_080)]
    [1, 1, 7, 266423]
    """
    step = max(1, int(n * _GOLDEN))
    while math.gcd(step, n) > 1:
        step += 1
    return step
