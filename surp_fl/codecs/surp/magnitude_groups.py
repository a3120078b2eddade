"""How to split falling magnitudes into groups of one magnitude each, for rate–distortion selection.

A group is split in two wherever the distortion saved exceeds the current slope of the rate–distortion curve, times the
bits that the split costs. Knows magnitudes. Does not know coordinates.
"""

from __future__ import annotations

import math

from surp_fl.types import Floats

_GROUP_BITS = 18.0  # set by hand: about the count and the magnitude of one more group
_MIN_MAGNITUDE_SHARE = 0.55  # of the group's magnitude: below 1/2 sending adds error; 0.05 for its rounding


def split_by_magnitude(values: Floats, slope: float) -> tuple[list[tuple[int, int]], float]:
    """Split magnitudes into groups, recursively.

    Args:
        values: falling magnitudes; float64, shape (k,), k at least 1.
        slope: squared error that one bit removes elsewhere.

    Returns:
        First position and end of each group, without magnitudes far below the group's mean; and the bits that all
        splits cost.

    >>> import numpy as np
    >>> split_by_magnitude(np.array([9.0, 9.0, 1.0, 1.0]), 0.1)
    ([(0, 2), (2, 4)], 22.0)
    """
    groups: list[tuple[int, int]] = []
    return groups, _split(values, 0, len(values), slope, groups)


def _split(values: Floats, start: int, end: int, slope: float, groups: list[tuple[int, int]]) -> float:
    """Append the groups of the magnitudes start to end; gives the bits of their splits."""
    k = end - start
    total = 0.0
    for i in range(start, end):
        total += values[i]
    boundary, most, bits = start, 0.0, 0.0
    upper = 0.0
    for i in range(start, end - 1):
        upper += values[i]
        first = i + 1 - start
        share = float(first) / k
        gain = upper * upper / first + (total - upper) * (total - upper) / (k - first) - total * total / k
        split_bits = _GROUP_BITS - k * (share * math.log2(share) + (1.0 - share) * math.log2(1.0 - share))
        if gain - slope * split_bits > most:
            boundary, most, bits = i + 1, gain - slope * split_bits, split_bits
    if boundary > start:
        bits += _split(values, start, boundary, slope, groups)
        return bits + _split(values, boundary, end, slope, groups)
    while values[end - 1] * (end - start) < _MIN_MAGNITUDE_SHARE * total:  # sending these would add error
        end -= 1
        total -= values[end]
    groups.append((start, end))
    return 0.0
