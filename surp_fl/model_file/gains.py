"""Gains: what is left of an array is scaled back to norms that the file tells.

A coarse message leaves small weights out and rounds the others, so that each layer's output shrinks, and with many
layers the last one's vanishes. Normalising layers make it worse: their statistics are those of the whole model. The
decoder multiplies each array, or each of its rows, by a gain, so that it has the norm in the file. The encoder chooses
the norm. One such that <w, ŵ> = <w, w> is unbiased as in EDEN (Vargaftik et al. 2022), and adds noise; the original's
own is less. By default it is between them: docs/models.md. If the file is cut, less is left, and the gain grows by
itself.

Sums are taken in the order of coordinates, so that every machine computes the same gain. Knows arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from surp_fl.layout import Layout
from surp_fl.types import Floats, Vector

MAX_GAIN = 4.0
BETWEEN, NO_GAIN = "between", "none"
_SHARE_OF_PROJECTION = 2 / 3  # in the geometric mean of the two norms
_PIECE = 1 << 20  # coordinates that are held in float64
_NEGLIGIBLE = 1 / 256  # relative change: the precision of a norm in the file


def norms_of(vector: Vector, layout: Layout, rows: Sequence[int]) -> list[Floats]:
    """The L2 norms of each array of a vector: of each of its rows; the same on every machine.

    Args:
        vector: float32, shape (n,).
        layout: of the vector.
        rows: that each array is divided into.

    Returns:
        Of each array; float64, shape (rows,).

    >>> layout = Layout.of({"a": np.zeros((2, 2), np.float32), "b": np.zeros((1, 1), np.float32)})
    >>> norms_of(np.array([3, 4, 0, 1, 2], np.float32), layout, [2, 1])
    [array([5., 1.]), array([2.])]
    """
    return [np.sqrt(each) for each in _products(vector, vector, layout, rows)]


def gains_for(norms: Floats, left: Floats) -> Floats:
    """The gains from norms `left` to those in the file, at most MAX_GAIN; 1 if either is 0, or if it is close to 1.

    >>> gains_for(np.array([2.0, 9.0, 0.0, 1.001]), np.array([1.0, 1.0, 1.0, 1.0]))
    array([2., 4., 1., 1.])
    """
    known = (norms > 0) & (left > 0)
    gains = np.minimum(norms / np.where(known, left, 1.0), MAX_GAIN)
    return np.where(known & (np.abs(gains - 1) > _NEGLIGIBLE), gains, 1.0)


def _of_projection(original: Vector, decoded: Vector, layout: Layout, rows: Sequence[int]) -> list[Floats]:
    """<w, ŵ> = <w, w> after the gain."""
    return _unbiased(norms_of(original, layout, rows), original, decoded, layout, rows)


def _unbiased(
    norms: list[Floats], original: Vector, decoded: Vector, layout: Layout, rows: Sequence[int]
) -> list[Floats]:
    """The same, with the norms of the original."""
    left, found = norms_of(decoded, layout, rows), []
    for norm, mine, product in zip(norms, left, _products(original, decoded, layout, rows), strict=True):
        gains = np.where(product > 0, norm**2 / np.where(product > 0, product, 1.0), 1.0)
        found.append(mine * np.minimum(gains, MAX_GAIN))
    return found


def _of_norm(original: Vector, decoded: Vector, layout: Layout, rows: Sequence[int]) -> list[Floats]:
    """The norm of the original."""
    return norms_of(original, layout, rows)


def _of_both(original: Vector, decoded: Vector, layout: Layout, rows: Sequence[int]) -> list[Floats]:
    """A geometric mean of the two; 0 where one of them is."""
    norms = norms_of(original, layout, rows)
    return [
        each**_SHARE_OF_PROJECTION * norm ** (1 - _SHARE_OF_PROJECTION)
        for each, norm in zip(_unbiased(norms, original, decoded, layout, rows), norms, strict=True)
    ]


def _of_none(original: Vector, decoded: Vector, layout: Layout, rows: Sequence[int]) -> list[Floats]:
    """No gain."""
    return [np.zeros(each) for each in rows]


# What norms a file tells of each array's rows: of the original in units, and of what a message says of it.
GAINS: dict[str, Callable[[Vector, Vector, Layout, Sequence[int]], list[Floats]]] = {
    BETWEEN: _of_both,
    "projection": _of_projection,
    "norm": _of_norm,
    NO_GAIN: _of_none,
}


def _products(first: Vector, second: Vector, layout: Layout, rows: Sequence[int]) -> list[Floats]:
    """The inner products of each array's rows: float64, the terms added in their order, piece by piece."""
    found = []
    for end, spec, count in zip(layout.ends.tolist(), layout.floats, rows, strict=True):
        place = slice(end - spec.size, end)
        one, other, products = first[place].reshape(count, -1), second[place].reshape(count, -1), np.zeros(count)
        columns = max(1, _PIECE // count)
        for start in range(0, one.shape[1], columns):
            terms = np.multiply(one[:, start : start + columns], other[:, start : start + columns], dtype=np.float64)
            terms[:, 0] += products
            products = np.cumsum(terms, axis=1)[:, -1]
        found.append(products)
    return found
