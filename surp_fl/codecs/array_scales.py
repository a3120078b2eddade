"""One float32 scale for each array, or for the whole vector, at the front of a body: for schemes that quantise.

A level l of an array with the scale s stands for l·(s/largest level), in float64, rounded to float32.
"""

from __future__ import annotations

import numpy as np

from surp_fl.entropy.bitio import MalformedBits
from surp_fl.layout import Layout
from surp_fl.types import Floats, Integers, Levels, Vector

_BLOCK = 1 << 14  # coordinates that are worked on at a time, so that float64 takes little memory


def sizes_of(layout: Layout, per_array: bool) -> Integers:
    """Coordinates of each part of the vector that has a scale of its own: of arrays that are not empty, or of all.

    >>> shapes = {"a": (2, 3), "b": (0,), "c": (4,)}
    >>> layout = Layout.of({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    >>> sizes_of(layout, per_array=True).tolist(), sizes_of(layout, per_array=False).tolist()
    ([6, 4], [10])
    """
    sizes = np.diff(layout.ends, prepend=0) if per_array else np.array([layout.size])
    return sizes[sizes > 0].astype(np.int64)


def starts_of(sizes: Integers) -> Integers:
    """The first coordinate of each part."""
    return np.cumsum(sizes) - sizes


def write_scales(scales: Floats | Vector) -> bytes:
    """Scales as little-endian float32; those beyond its range become its largest number."""
    return np.minimum(scales, np.finfo(np.float32).max).astype("<f4").tobytes()


def read_scales(body: bytes, count: int) -> Vector:
    """Read the scales at the front of a body; new, float32, shape (count,).

    Raises:
        MalformedBits: there are fewer, or one is negative or not finite.
    """
    if len(body) < 4 * count:
        raise MalformedBits(f"{len(body)} bytes where {count} scales take {4 * count}")
    scales = np.frombuffer(body, "<f4", count).astype(np.float32)
    if not np.isfinite(scales).all() or np.signbit(scales).any():
        raise MalformedBits("a scale that is negative or not finite")
    return scales


def largest_of(vector: Vector, sizes: Integers) -> Floats:
    """The largest magnitude of each part."""
    return np.maximum.reduceat(np.abs(vector), starts_of(sizes)).astype(np.float64)


def scaled(levels: Levels, scales: Vector, sizes: Integers, max_level: int) -> Vector:
    """The values that levels stand for; float32, shape (n,).

    Args:
        levels: of each coordinate; shape (n,).
        scales: of each part; 0 only where all of its levels are 0.
        sizes: coordinates of each part; n in all.
        max_level: the level of the scale itself.

    Raises:
        MalformedBits: a part has a scale and no levels, or levels and no scale.
    """
    used = np.logical_or.reduceat(levels != 0, starts_of(sizes)) if sizes.size else np.empty(0, np.bool_)
    if (used != (scales > 0)).any():
        raise MalformedBits("an array with a scale and without levels, or without a scale and with levels")
    vector = np.repeat(scales, sizes)
    for start in range(0, vector.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        vector[part] = levels[part] * (vector[part].astype(np.float64) / max_level)
    return vector
