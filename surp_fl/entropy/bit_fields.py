"""Loops over the bits of a message: integers of a fixed width, and Golomb–Rice codes.

`bitio.py` and `golomb_rice.py` check that the bits suffice before they call these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def read_integers(data: bytes, at: int, width: int, values: NDArray[np.int64]) -> None:
    """Fill `values` with integers of `width` bits, from bit `at` of the data on."""
    for place in range(len(values)):
        value, missing = 0, width
        while missing > 0:
            here = min(8 - (at & 7), missing)
            value = value << here | (data[at >> 3] >> (8 - (at & 7) - here)) & ((1 << here) - 1)
            at += here
            missing -= here
        values[place] = value


def read_rice_codes(data: bytes, at: int, n: int, parameter: int, indices: NDArray[np.int64]) -> int:
    """Read gaps into `indices`, each below n, until they are filled or an index is n or more.

    Args:
        data: the message.
        at: the bit where the first gap begins.
        n: coordinates.
        parameter: bits of each remainder.
        indices: where to; shape (count,).

    Returns:
        The bit where the last gap ends; −1 if that lies beyond the last byte.
    """
    end = 8 * len(data)
    index = -1
    for place in range(len(indices)):
        zero = at
        while zero < end and (data[zero >> 3] >> (7 - (zero & 7))) & 1:
            zero += 1
        if zero + 1 + parameter > end:
            return -1
        remainder = 0
        for bit in range(zero + 1, zero + 1 + parameter):
            remainder = remainder << 1 | (data[bit >> 3] >> (7 - (bit & 7))) & 1
        index += 1 + ((zero - at) << parameter | remainder)
        at = zero + 1 + parameter
        if index >= n:
            return at
        indices[place] = index
    return at
