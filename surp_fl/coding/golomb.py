"""Golomb–Rice codes for the gaps of a sparse index set.

Source: Golomb 1966; Rice 1979; the parameter as in Sattler et al. 2019, "Robust and Communication-Efficient Federated
Learning from Non-IID Data", Section V.
"""

from __future__ import annotations

import math

import numpy as np
from bitarray import bitarray
from numpy.typing import NDArray

from surp_fl.coding.fixed import BitReader, BitWriter, MalformedBits

_GOLDEN = (math.sqrt(5) - 1) / 2


def rice_parameter(count: int, n: int) -> int:
    """The best number of low bits for the gaps of `count` indices out of n."""
    density = count / n
    if density >= 0.5:
        return 0
    return max(0, 1 + math.floor(math.log2(math.log(_GOLDEN) / math.log1p(-density)) + 1e-9))


def gap_bits(indices: NDArray[np.int64], parameter: int) -> int:
    """Bits that `write_gaps` spends on ascending indices."""
    gaps = np.diff(indices, prepend=-1) - 1
    return int((gaps >> parameter).sum()) + len(gaps) * (1 + parameter)


def write_gaps(bits: BitWriter, indices: NDArray[np.int64], parameter: int) -> None:
    """Append ascending indices: for each gap its high part in unary (ones, then a zero), then its low bits."""
    gaps = np.diff(indices, prepend=-1) - 1
    high = gaps >> parameter
    ends = np.cumsum(high + 1 + parameter)
    flags = np.ones(int(ends[-1]) if len(ends) else 0, np.uint8)
    flags[ends - parameter - 1] = 0
    for low in range(parameter):
        flags[ends - 1 - low] = (gaps >> low) & 1
    bits.append(flags)


def read_gaps(bits: BitReader, count: int, n: int, parameter: int) -> NDArray[np.int64]:
    """Take `count` ascending indices below n.

    Raises:
        MalformedBits: the bits end too early, or an index is n or more.
    """
    flags = bits.rest()
    if count * (1 + parameter) > len(flags):
        raise MalformedBits(f"{count} gaps of at least {1 + parameter} bits; there are {len(flags)}")
    indices = np.empty(count, np.int64)
    at, index = 0, -1
    for place in range(count):
        zero = flags.find(0, at)
        if zero < 0 or zero + 1 + parameter > len(flags):
            raise MalformedBits("the bits end within a gap")
        low = flags[zero + 1 : zero + 1 + parameter]
        index += 1 + ((zero - at) << parameter | _integer(low))
        if index >= n:
            raise MalformedBits(f"index {index} in a model of {n} coordinates")
        indices[place] = index
        at = zero + 1 + parameter
    bits.skip(at)
    return indices


def _integer(bits: bitarray) -> int:
    return int(bits.to01(), 2) if len(bits) else 0
