"""How many weights each layer keeps: functions of the layers' shapes, places and sizes alone.

With earlier masks, a layer keeps at most what they left in it, and the others share the rest in proportion.
"""

from __future__ import annotations

from collections.abc import Mapping

from surp_fl.pruning.selection import apportion
from surp_fl.pruning.task import Task
from surp_fl.types import Integers

_LAST_SHARE = 0.2  # of the last layer, which is kept at least: Gale et al. 2019
_CONVOLUTION = 3  # dimensions of the weight of a convolution, or more


class TooSparse(ValueError):  # noqa: N818  (a public name that reads as what it is)
    """A method's rules keep more weights than the sparsity leaves."""


def uniform(task: Task) -> Integers:
    """The same share of each layer."""
    return apportion(task.sizes, task.left, task.keep)


def adaptive(task: Task) -> Integers:
    """Uniform+ of Gale, Elsen, Hooker 2019: the first convolution is kept whole, at least 20 % of the last layer too.

    The first convolution is the first array of three dimensions or more, the last layer the last array. Without a
    convolution no layer is kept whole.

    Raises:
        TooSparse: these two alone are more than the weights to keep.
    """
    last = len(task.layers) - 1
    first = next((i for i, layer in enumerate(task.layers) if layer.weights.ndim >= _CONVOLUTION), None)
    fixed = {} if first is None else {first: task.left[first]}
    of_last = min(round(_LAST_SHARE * task.sizes[last]), task.left[last])
    needed = sum(({last: of_last} | fixed).values())
    if needed > task.keep:
        raise TooSparse(
            f"adaptive keeps the first convolution and {_LAST_SHARE:.0%} of the last layer: {needed:,} weights, "
            f"but only {task.keep:,} may be kept: lower the sparsity, or choose another method"
        )
    counts = _uniform_but(task, fixed)
    return counts if counts[last] >= of_last else _uniform_but(task, {last: of_last} | fixed)


def _uniform_but(task: Task, fixed: Mapping[int, int]) -> Integers:
    """The same share of each layer, but for those whose number of weights is fixed."""
    shares = [0 if i in fixed else size for i, size in enumerate(task.sizes)]
    counts = apportion(
        shares, [0 if i in fixed else left for i, left in enumerate(task.left)], task.keep - sum(fixed.values())
    )
    counts[list(fixed)] = list(fixed.values())
    return counts


def erk(task: Task) -> Integers:
    """Erdős–Rényi kernel (Evci et al. 2020): the share of a layer is in proportion to Σ dimensions / Π dimensions.

    So its number of weights is in proportion to Σ dimensions. A layer whose share would exceed 1 is kept whole, and the
    others share what is left; again until none exceeds 1.
    """
    return apportion([max(sum(layer.weights.shape), 1) for layer in task.layers], task.left, task.keep)
