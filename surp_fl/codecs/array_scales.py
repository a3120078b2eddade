"""One float32 scale for each array, or for the whole vector, at the front of a body: for schemes that quantise."""

from __future__ import annotations

import numpy as np

from surp_fl.entropy.bitio import MalformedBits
from surp_fl.layout import Layout
from surp_fl.types import Floats, Integers, Vector


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


def write_scales(scales: Floats) -> bytes:
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
