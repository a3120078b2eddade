"""How many weights each layer keeps: functions of the layers' shapes, places and sizes alone.

With earlier masks, a layer keeps at most what they left in it, and the others share the rest in proportion.
"""

from __future__ import annotations

import numpy as np

from surp_fl.pruning.selection import apportion
from surp_fl.pruning.task import Task
from surp_fl.types import Integers

_LAST_SHARE = 0.2  # of the last layer, which is kept at least: Gale et al. 2019
_CONVOLUTION = 3  # dimensions of the weight of a convolution, or more


def uniform(task: Task) -> Integers:
    """The same share of each layer."""
    return apportion(task.sizes.astype(np.float64), task.left, task.keep)


def adaptive(task: Task) -> Integers:
    """Uniform+ of Gale, Elsen, Hooker 2019: the first convolution is kept whole, at least 20 % of the last layer too.

    The first convolution is the first array of three dimensions or more, the last layer the last array. Without a
    convolution no layer is kept whole.

    Raises:
        ValueError: these two alone are more than the weights to keep.
    """
    least = np.zeros(len(task.layers), np.int64)
    first = next((i for i, layer in enumerate(task.layers) if layer.weights.ndim >= _CONVOLUTION), None)
    free = np.ones(len(task.layers), np.bool_)
    if first is not None:
        least[first], free[first] = task.left[first], False
    last_least = min(round(_LAST_SHARE * task.layers[-1].size), task.layers[-1].left)
    least[-1] = max(int(least[-1]), last_least)
    if least.sum() > task.keep:
        raise ValueError(
            f"adaptive keeps the first convolution and {_LAST_SHARE:.0%} of the last layer: {least.sum():,} weights, "
            f"but only {task.keep:,} may be kept: lower the sparsity, or choose another method"
        )
    shares = np.where(free, task.sizes, 0).astype(np.float64)
    counts = np.where(free, apportion(shares, task.left * free, task.keep - int(least[~free].sum())), least)
    if counts[-1] < least[-1]:  # its share is below 20 %
        free[-1], shares[-1] = False, 0.0
        rest = apportion(shares, task.left * free, task.keep - int(least[~free].sum()))
        counts = np.where(free, rest, least)
    return counts


def erk(task: Task) -> Integers:
    """Erdős–Rényi kernel (Evci et al. 2020): the share of a layer is in proportion to Σ dimensions / Π dimensions.

    So its number of weights is in proportion to Σ dimensions. A layer whose share would exceed 1 is kept whole, and the
    others share what is left; again until none exceeds 1.
    """
    return apportion(np.array([max(sum(layer.weights.shape), 1) for layer in task.layers], float), task.left, task.keep)
