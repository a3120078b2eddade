"""Gains: what is left of an array is scaled back to a norm that the file tells.

A coarse message leaves small weights out and rounds the others, so that each layer's output shrinks, and with many
layers the last one's vanishes. Normalising layers make it worse: their statistics are those of the whole model. The
decoder multiplies each array by one gain, so that it has the norm in the file. The encoder chooses the norm: by
default such that the decoded array's projection on the original is the original, <w, ŵ> = <w, w>, which is unbiased as
in EDEN (Vargaftik et al. 2022). If the file is cut, less is left, and the gain grows by itself.

Sums are taken in the order of coordinates, so that every machine computes the same gain. Knows arrays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from surp_fl.entropy.minifloat import encode_minifloat
from surp_fl.layout import Layout
from surp_fl.types import Floats, Vector

MAX_GAIN = 4.0
NO_GAIN = "none"
_PIECE = 1 << 20  # coordinates that are held in float64
_NEGLIGIBLE = 1 / 256  # relative change: the precision of a norm in the file


def norms_of(vector: Vector, layout: Layout) -> Floats:
    """The L2 norm of each array of a vector; float64, shape (arrays,), the same on every machine.

    >>> layout = Layout.of({"a": np.zeros(2, np.float32), "b": np.zeros((1, 1), np.float32)})
    >>> norms_of(np.array([3, 4, 2], np.float32), layout)
    array([5., 2.])
    """
    return np.sqrt(_products(vector, vector, layout))


def gain_for(norm: float, left: float) -> float:
    """The gain from norm `left` to the norm in the file, at most MAX_GAIN; 1 if either is 0, or if it is close to 1."""
    gain = min(norm / left, MAX_GAIN) if norm and left else 1.0
    return gain if abs(gain - 1) > _NEGLIGIBLE else 1.0


def _of_projection(original: Vector, decoded: Vector, layout: Layout) -> Floats:
    """<w, ŵ> = <w, w> after the gain."""
    norms, left = norms_of(original, layout), norms_of(decoded, layout)
    products = _products(original, decoded, layout)
    gains = np.where(products > 0, norms**2 / np.where(products > 0, products, 1.0), 1.0)
    return left * np.minimum(gains, MAX_GAIN)


def _of_norm(original: Vector, decoded: Vector, layout: Layout) -> Floats:
    """The norm of the original."""
    return norms_of(original, layout)


def _of_none(original: Vector, decoded: Vector, layout: Layout) -> Floats:
    """No gain."""
    return np.zeros(len(layout.floats))


GAINS: dict[str, Callable[[Vector, Vector, Layout], Floats]] = {
    "projection": _of_projection,
    "norm": _of_norm,
    NO_GAIN: _of_none,
}


def codes_of_norms(gain: str, original: Vector, decoded: Vector, layout: Layout) -> list[int]:
    """The norms that a file tells, as 16-bit minifloats; 0 for no gain.

    Args:
        gain: one of GAINS.
        original: the vector in units; float32, shape (n,).
        decoded: what a message says of it.
        layout: of both.
    """
    return [encode_minifloat(norm) for norm in GAINS[gain](original, decoded, layout).tolist()]


def _products(first: Vector, second: Vector, layout: Layout) -> Floats:
    """The inner product of each array of two vectors: float64, the terms added in their order, piece by piece."""
    products = np.zeros(len(layout.floats))
    for place, (end, spec) in enumerate(zip(layout.ends.tolist(), layout.floats, strict=True)):
        for start in range(end - spec.size, end, _PIECE):
            piece = slice(start, min(start + _PIECE, end))
            terms = np.multiply(first[piece], second[piece], dtype=np.float64)
            terms[0] += products[place]
            products[place] = np.cumsum(terms)[-1]
    return products
