"""Golomb–Rice codes for the gaps of a sparse index set.

Source: Golomb 1966; Rice 1979; the parameter as in Sattler et al. 2019, "Robust and Communication-Efficient Federated
Learning from Non-IID Data", Section V.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits

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


def read_size(bits: BitReader, n: int) -> int:
    """Take how many of n indices there are; where there are none, nothing may follow.

    Raises:
        MalformedBits: more than n, or something follows none.
    """
    count = bits.read_varint()
    if count == 0:
        bits.finish()
    if count > n:
        raise MalformedBits(f"{count} indices in a model of {n} coordinates")
    return count


def read_gaps(bits: BitReader, count: int, n: int, parameter: int) -> NDArray[np.int64]:
    """Take `count` ascending indices below n.

    Raises:
        MalformedBits: the bits end too early, or an index is n or more.
    """
    if count * (1 + parameter) > bits.left:
        raise MalformedBits(f"{count} gaps of at least {1 + parameter} bits; there are {bits.left}")
    indices = np.full(count, n, np.int64)
    data, first = bits.rest()
    at = _read(data, first, n, parameter, indices)
    if at < 0:
        raise MalformedBits("the bits end within a gap")
    if count > 0 and indices[-1] >= n:
        raise MalformedBits(f"index {indices[-1]} in a model of {n} coordinates")
    bits.skip(at - first)
    return indices


@njit(cache=True)
def _bit(data: NDArray[np.uint8], at: int) -> int:
    return (int(data[at >> 3]) >> (7 - (at & 7))) & 1


@njit(cache=True)
def _read(data: NDArray[np.uint8], at: int, n: int, parameter: int, indices: NDArray[np.int64]) -> int:
    """Fill in indices, below n, and give the bit where they end (−1: beyond the last byte)."""
    index = -1
    for place in range(indices.size):
        zero = at
        while zero < 8 * data.size and _bit(data, zero) == 1:
            zero += 1
        if zero + 1 + parameter > 8 * data.size:
            return -1
        low = 0
        for bit in range(zero + 1, zero + 1 + parameter):
            low = low << 1 | _bit(data, bit)
        index += 1 + ((zero - at) << parameter | low)
        at = zero + 1 + parameter
        if index >= n:
            return at
        indices[place] = index
    return at
