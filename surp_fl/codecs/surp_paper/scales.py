"""What each layer is divided by before it is refined, the number's 16 bits in a message, and the way back.

The paper's ‖W‖₁ is `induced_l1`: Theorem 1 is about the matrix norm that is induced by the L1 norm of vectors, the
largest sum of a column. Read as the L1 norm of all weights it is `l1`; the authors' published code divides by `l2`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.minifloat import decode_minifloat, encode_minifloat
from surp_fl.layout import Layout
from surp_fl.types import Floats, Integers, Signs, Vector

Layer = NDArray[np.float32]  # in its own shape: (out, ...) for the weights of a layer, (out,) for its bias
Scale = Callable[[Layer], float]  # one layer → s

_BLOCK = 1 << 14  # coordinates that are decoded at a time


def induced_l1(layer: Layer) -> float:
    """The matrix norm that the L1 norm induces, max ‖Wx‖₁ for ‖x‖₁ ≤ 1: the largest sum of |w| over a column.

    An array of shape (out, ...) is a matrix of shape (out, rest), which for a convolution is what multiplies a patch;
    one of fewer than two dimensions is a column, whose norm is the sum of its |w|.

    Source: Isik, Weissman, No 2022, Theorem 1.

    >>> induced_l1(np.array([[3, -4], [1, 2]], np.float32)), induced_l1(np.array([3, -4], np.float32))
    (6.0, 7.0)
    """
    matrix = layer.reshape(layer.shape[0], -1) if layer.ndim > 1 and layer.size > 0 else layer.reshape(-1, 1)
    return float(np.abs(matrix).sum(axis=0, dtype=np.float64).max())


def l1(layer: Layer) -> float:
    """The sum of all |w| of the layer: the paper's Algorithms 1 and 2, read entry by entry.

    >>> l1(np.array([[3, -4], [1, 2]], np.float32))
    10.0
    """
    return float(np.abs(layer.ravel()).sum(dtype=np.float64))


def l2(layer: Layer) -> float:
    """The layer's L2 norm, as in the authors' published code.

    >>> l2(np.array([3, -4], np.float32))
    5.0
    """
    return float(np.sqrt(np.square(layer.ravel(), dtype=np.float64).sum()))


def rms(layer: Layer) -> float:
    """The layer's root mean square: layers of all sizes get the same share of steps a coordinate."""
    return l2(layer) / float(np.sqrt(max(layer.size, 1)))


def codes_of(scale: Scale | None, vector: Vector, layout: Layout) -> Integers | None:
    """The 16-bit codes of all layers' scales, shape (layers,); None without a scale.

    Raises:
        ValueError: a scale is NaN or infinite.
    """
    if scale is None:
        return None
    parts = zip(np.split(vector, layout.ends[:-1]), layout.floats, strict=False)  # an empty model is one part
    found = np.array([scale(part.reshape(spec.shape)) for part, spec in parts])
    if not np.isfinite(found).all():
        raise ValueError("a layer's scale is NaN or infinite: the training diverged; lower its learning rate")
    return np.array([encode_minifloat(each) for each in found], np.int64)


def scales_of(codes: Integers | None, layout: Layout) -> Floats:
    """Scales of all layers from their 16-bit codes, shape (layers,); ones if there are no codes."""
    if codes is None:
        return np.ones(layout.ends.size)
    return np.array([decode_minifloat(int(code)) for code in codes], np.float64)


def values_of(indices: Integers, sums: Floats, layer_scales: Floats, layout: Layout) -> Vector:
    """Signed sums of thresholds, in units of their layers' scales.

    Args:
        indices: ascending; shape (k,).
        sums: signed; shape (k,).
        layer_scales: shape (layers,).
        layout: of the model.

    Raises:
        MalformedBits: an index in a layer whose scale is zero.
    """
    scales = layer_scales[np.searchsorted(layout.ends, indices, side="right")]
    if (scales == 0).any():
        raise MalformedBits("an index in a layer whose scale is zero")
    with np.errstate(over="ignore"):
        values: Vector = (sums * scales).astype(np.float32)
    return values


def vector_of(sums: Floats, refined: Signs, layer_scales: Floats, layout: Layout) -> Vector:
    """As `values_of`, for all n coordinates in blocks: float32, shape (n,), 0 where `refined` is false."""
    vector = np.zeros(layout.size, np.float32)
    for start in range(0, layout.size, _BLOCK):
        indices = start + np.flatnonzero(refined[start : start + _BLOCK])
        vector[indices] = values_of(indices, sums[indices], layer_scales, layout)
    return vector
