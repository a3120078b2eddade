"""The k largest coordinates of a vector, in one pass over it; of a torch tensor, on the device where it is.

Of a tensor only the largest coordinates are copied to the host, and messages have the same bytes as for an array. torch
is imported only if there is a tensor. Does not know what the coordinates are for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from surp_fl.errors import DIVERGED
from surp_fl.types import Integers, Vector
from surp_fl.vector_scans import at_least

if TYPE_CHECKING:
    import torch

_MAGNITUDE_MASK = np.int32(0x7FFFFFFF)  # clears the sign bit
_SAMPLE = 8192  # coordinates that estimate the threshold; set by hand, simulations.benchmarks.codec measures it


def largest(vector: Vector | torch.Tensor, count: int) -> tuple[Integers, Vector]:
    """Find the `count` largest magnitudes that are not zero; among equals, those of the lowest coordinates.

    Args:
        vector: float32, shape (n,); an array, or a tensor on any device.
        count: how many; fewer are found if fewer are not zero.

    Returns:
        Coordinates by falling magnitude, int64, and the values there; both of shape (found,).

    Raises:
        ValueError: the vector holds NaN or infinity.

    >>> largest(np.array([1, -3, 0, 2], np.float32), 2)
    (array([1, 3]), array([-3.,  2.], dtype=float32))
    """
    count = min(count, math.prod(vector.shape))
    if isinstance(vector, np.ndarray):
        found = _at_least_the_largest(vector, count)
        values = vector[found]
        if not np.isfinite(values).all():
            raise ValueError(DIVERGED)
    else:
        found, values = _at_least_the_largest_of_tensor(vector, count)
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    return found[order], values[order]


def _at_least_the_largest(vector: Vector, count: int) -> Integers:
    """As `largest`, unsorted and with some more, in about one pass.

    A threshold is estimated from a sample, and one pass gathers what reaches it; a lower one follows if that was too
    few.
    """
    bits = vector.view(np.int32)
    if count == 0:
        return np.empty(0, np.int64)
    stride = bits.size // _SAMPLE + 1
    sample = bits[::stride] & _MAGNITUDE_MASK
    rank = count / stride
    while True:
        place = int(rank + 3 * math.sqrt(rank) + 4)
        last = sample.size - 1 - place
        threshold = max(1, int(np.partition(sample, last)[last])) if last >= 0 else 1
        found = at_least(bits, threshold, count)
        if found.size >= count or threshold == 1:
            return found
        rank = 4 * rank + 4


def _at_least_the_largest_of_tensor(vector: torch.Tensor, count: int) -> tuple[Integers, Vector]:
    """Find all coordinates whose magnitude is at least that of the count-th largest, and is not zero.

    Returns:
        Ascending coordinates, and the values there, on the host.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    import torch

    flat = vector.detach().reshape(-1)
    magnitudes = flat.abs()
    if count == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    threshold = torch.topk(magnitudes, min(count, flat.numel()), sorted=False).values.min()
    if not torch.isfinite(magnitudes.max()):
        raise ValueError(DIVERGED)
    found = torch.nonzero((magnitudes >= threshold) & (magnitudes > 0)).reshape(-1)
    return found.cpu().numpy(), flat[found].cpu().numpy()


def on_host(vector: Vector | torch.Tensor) -> Vector:
    """A vector as an array; a tensor is copied from its device."""
    if isinstance(vector, np.ndarray):
        return vector
    array: Vector = vector.detach().cpu().numpy()
    return array
