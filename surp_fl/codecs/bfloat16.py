"""bfloat16, the upper half of a float32: its sign, its exponent, and 7 bits of mantissa."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.types import Vector


def to_bfloat16(values: Vector) -> NDArray[np.uint16]:
    """Round float32 to nearest, ties to even, but never up to infinity.

    Args:
        values: contiguous, finite.

    >>> [hex(code) for code in to_bfloat16(np.array([1, -2, 3.4e38], np.float32)).tolist()]
    ['0x3f80', '0xc000', '0x7f7f']
    """
    bits = values.view(np.uint32).astype(np.int64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    overflow = (rounded & 0x7FFF) == 0x7F80
    return np.where(overflow, rounded - 1, rounded).astype(np.uint16)


def from_bfloat16(codes: NDArray[np.uint16]) -> Vector:
    """The numbers of codes, of either byte order, exactly; NaN and infinity included."""
    values: Vector = (codes.astype(np.uint32) << 16).view(np.float32)
    return values
