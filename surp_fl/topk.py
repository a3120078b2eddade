"""The k largest coordinates of a vector, in one pass over it; of a torch tensor, on the device where it lies.

Of a tensor only the largest coordinates come to the host; a message's bytes are those that the same vector as an array
would give. torch is imported where there is a tensor, and only there. Does not know what the coordinates are for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.errors import DIVERGED
from surp_fl.types import Integers, Vector

if TYPE_CHECKING:
    import torch

_INFINITY_BITS = 0x7F800000  # the bits of float32's infinity; NaN lies above it
_MAGNITUDE_MASK = np.int32(0x7FFFFFFF)  # the bits of |v|
_BLOCK = 256  # coordinates
_SAMPLE = 16384  # coordinates that tell the threshold


@njit(cache=True)
def _gather(bits: NDArray[np.int32], threshold: int, count: int) -> tuple[Integers, int]:
    """Where |v| (as float bits) is at least a threshold, and the largest |v|; one pass.

    Where there are far more than `count`, the smaller ones are let go on the way, and among equals the later ones.
    """
    capacity = 4 * count + 1024
    found = np.empty(capacity, np.int64)
    size = 0
    largest = np.int32(0)
    for block in range(-(-bits.size // _BLOCK)):
        block_bits = bits[block * _BLOCK : (block + 1) * _BLOCK]
        peak = _peak(block_bits)
        largest = max(largest, peak)
        if peak >= threshold:
            for i in range(block_bits.size):
                if (block_bits[i] & _MAGNITUDE_MASK) >= threshold:
                    if size == capacity:
                        size, threshold = _prune_to(bits, found, count)
                        if (block_bits[i] & _MAGNITUDE_MASK) < threshold:
                            continue
                    found[size] = block * _BLOCK + i
                    size += 1
    return found[:size].copy(), int(largest)


@njit(cache=True)
def _peak(block_bits: NDArray[np.int32]) -> np.int32:
    """Largest magnitude; written so that a whole block takes a few vector instructions."""
    peak = np.int32(0)
    if block_bits.size == _BLOCK:
        for i in range(_BLOCK):
            magnitude = np.int32(block_bits[i] & _MAGNITUDE_MASK)
            peak = magnitude if magnitude > peak else peak
    else:
        for i in range(block_bits.size):
            magnitude = np.int32(block_bits[i] & _MAGNITUDE_MASK)
            peak = magnitude if magnitude > peak else peak
    return peak


@njit(cache=True)
def _prune_to(bits: NDArray[np.int32], found: Integers, count: int) -> tuple[int, int]:
    """Keep the `count` largest of what was found, in place; give their number, and what a later one has to reach."""
    magnitudes = bits[found] & _MAGNITUDE_MASK
    last = np.partition(magnitudes, magnitudes.size - count)[magnitudes.size - count]
    equals = count - (magnitudes > last).sum()
    size = 0
    for place in range(found.size):
        if magnitudes[place] > last or (magnitudes[place] == last and equals > 0):
            equals -= 1 if magnitudes[place] == last else 0
            found[size] = found[place]
            size += 1
    return size, int(last) + 1


def largest(vector: Vector | torch.Tensor, count: int) -> tuple[Integers, Vector]:
    """Find the `count` largest magnitudes that are not zero; among equals, those of the lowest coordinates.

    Args:
        vector: float32, shape (n,); an array, or a tensor on any device: then only what is found comes to the host.
        count: how many; all there are, where there are fewer.

    Returns:
        Coordinates by falling magnitude, and the values there.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    count = min(count, math.prod(vector.shape))
    if isinstance(vector, np.ndarray):
        found = _at_least_the_largest(vector, count)
        values = vector[found]
    else:
        found, values = _at_least_the_largest_of_tensor(vector, count)
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    return found[order], values[order]


def _at_least_the_largest(vector: Vector, count: int) -> Integers:
    """As `largest`, with some more, in about one pass.

    A sample tells a threshold, one pass gathers what reaches it; a lower threshold where the sample misled.
    """
    bits = vector.view(np.int32)
    if count == 0:
        return np.empty(0, np.int64)
    stride = bits.size // _SAMPLE + 1
    sample = np.sort(bits[::stride] & _MAGNITUDE_MASK)[::-1]
    rank = count / stride
    while True:
        place = int(rank + 3 * math.sqrt(rank) + 4)
        threshold = max(1, int(sample[place])) if place < sample.size else 1
        found, peak = _gather(bits, threshold, count)
        if peak >= _INFINITY_BITS:
            raise ValueError(DIVERGED)
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
    """Give a vector as an array."""
    if isinstance(vector, np.ndarray):
        return vector
    array: Vector = vector.detach().cpu().numpy()
    return array
