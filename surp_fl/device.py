"""Vectors that are torch tensors, on a GPU or elsewhere. torch is imported where there is a tensor, and only there.

Of a tensor only the largest coordinates come to the host; the bytes of a message are those that the same vector as an
array would give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

DIVERGED = "the vector holds NaN or infinity: the training diverged; lower its learning rate"


def at_least_the_largest(vector: torch.Tensor, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
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
    least = torch.topk(magnitudes, min(count, flat.numel()), sorted=False).values.min()
    if not torch.isfinite(magnitudes.max()):
        raise ValueError(DIVERGED)
    found = torch.nonzero((magnitudes >= least) & (magnitudes > 0)).reshape(-1)
    return found.cpu().numpy(), flat[found].cpu().numpy()


def on_host(vector: NDArray[np.float32] | torch.Tensor) -> NDArray[np.float32]:
    """Give a vector as an array."""
    if isinstance(vector, np.ndarray):
        return vector
    array: NDArray[np.float32] = vector.detach().cpu().numpy()
    return array
