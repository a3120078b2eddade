"""Scores of single weights: the larger, the sooner is a weight kept.

Knows magnitudes, gradients and random numbers. Does not know how many weights are kept.
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.surp_paper.scales import Scale, l2
from surp_fl.pruning.layers import Layer
from surp_fl.pruning.task import Selection, Task
from surp_fl.types import Array, Floats


def magnitude(task: Task, place: int) -> Array:
    """|w| of one layer; shape (size,)."""
    return task.layers[place].flat_magnitudes()


def scaled(task: Task, place: int, *, scale: Scale = l2) -> Array:
    """|w| / s of one layer, s being its scale; shape (size,).

    Remark 1 of Isik et al.: a step of SuRP finds a near-maximum of these, and pruning by magnitude is its special case.
    """
    layer = task.layers[place]
    divisor = checked_scale(scale, layer)
    magnitudes = layer.flat_magnitudes().astype(np.float64)
    return np.where(magnitudes <= 0, magnitudes, magnitudes / divisor if divisor > 0 else 0.0)


def sensitivity(task: Task, place: int) -> Array:
    """|g·w| of one layer, to first order what changes if w were 0: the loss (SNIP), or a path norm; shape (size,)."""
    layer = task.layers[place]
    gradient = np.abs(task.gradients[layer.name]).reshape(-1)
    magnitudes = layer.flat_magnitudes().astype(np.float64)
    return np.where(magnitudes < 0, magnitudes, magnitudes * gradient)


def checked_scale(scale: Scale, layer: Layer) -> float:
    """What a layer is divided by, from its weights in their own shape; 0 for a layer of zeros.

    Raises:
        ValueError: it is negative, NaN or infinite.
    """
    found = float(scale(layer.masked()))
    if not 0 <= found < np.inf:
        raise ValueError(f"scale gives {found} for '{layer.name}'; expected a finite number, at least 0")
    return found


def lamp(magnitudes: Floats) -> Floats:
    """LAMP of magnitudes in falling order: w² / Σ w'² over all w' that are not smaller.

    >>> lamp(np.array([1.0, 1.0, 0.5])).round(3).tolist()
    [1.0, 0.5, 0.111]
    """
    squares = np.square(magnitudes)
    ratios: Floats = squares / np.cumsum(squares)
    return ratios


def surp_lamp(magnitudes: Floats) -> Floats:
    """|w| / Σ |w'| over all w' that are not smaller, of magnitudes in falling order.

    Theorem 3 bounds the perturbation of the output by Σ over layers of ‖w − ŵ‖ / max(‖ŵ‖, ‖w‖). This is what one
    weight adds to its layer's l1 distortion, in units of the norm of what is kept when it is the next to go.

    >>> surp_lamp(np.array([1.0, 1.0, 0.5])).tolist()
    [1.0, 0.5, 0.2]
    """
    ratios: Floats = magnitudes / np.cumsum(magnitudes)
    return ratios


def random(task: Task) -> Selection:
    """Weights drawn uniformly without replacement, over all layers."""
    masks = [np.zeros(layer.size, np.bool_) for layer in task.layers]
    drawn = np.sort(task.rng.choice(sum(task.left), task.keep, replace=False, shuffle=False))
    starts = np.cumsum([0, *task.left[:-1]])
    parts = np.split(drawn, np.searchsorted(drawn, starts[1:]))
    for layer, mask, part, start in zip(task.layers, masks, parts, starts.tolist(), strict=True):
        mask[part - start if layer.within is None else np.flatnonzero(layer.within)[part - start]] = True
    return Selection(masks)
