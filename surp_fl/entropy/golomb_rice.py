"""Golomb–Rice codes for the gaps of a sparse index set: a quotient in unary, then a remainder of fixed width.

Source: Golomb 1966, "Run-length encodings"; Rice 1979; the parameter as in Sattler, Wiedemann, Müller, Samek 2019,
"Robust and Communication-Efficient Federated Learning from Non-IID Data", Section V.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from surp_fl.entropy.bit_fields import read_rice_codes
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits

_GOLDEN_RATIO_INVERSE = (math.sqrt(5) - 1) / 2


def rice_parameter(count: int, n: int) -> int:
    """Remainder bits with the shortest code for the gaps of `count` uniform indices out of n.

    1 + ⌊log2(ln φ / ln(1 − count/n))⌋ with φ = (√5 − 1)/2; 0 from count/n = 1/2 on.

    Args:
        count: indices, at most n.
        n: coordinates, at least 1.

    >>> rice_parameter(10, 10_000), rice_parameter(5_000, 10_000)
    (9, 0)
    """
    density = count / n
    if density >= 0.5:
        return 0
    return max(0, 1 + math.floor(math.log2(math.log(_GOLDEN_RATIO_INVERSE) / math.log1p(-density)) + 1e-9))


def gap_bits(indices: NDArray[np.int64], parameter: int) -> int:
    """Length of `write_gaps`, in bits.

    Args:
        indices: ascending; shape (k,).
        parameter: bits of each remainder.
    """
    gaps = np.diff(indices, prepend=-1) - 1
    return int((gaps >> parameter).sum()) + len(gaps) * (1 + parameter)


def write_gaps(bits: BitWriter, indices: NDArray[np.int64], parameter: int) -> None:
    """Append ascending indices: of each gap the quotient in unary (ones, then a zero), then the remainder.

    Args:
        bits: where to.
        indices: ascending; shape (k,).
        parameter: bits of each remainder.

    >>> bits = BitWriter()
    >>> write_gaps(bits, np.array([3, 4, 900]), 9)
    >>> read_gaps(BitReader(bits.to_bytes()), 3, 1000, 9)
    array([  3,   4, 900])
    """
    gaps = np.diff(indices, prepend=-1) - 1
    quotients = gaps >> parameter
    ends = np.cumsum(quotients + 1 + parameter)
    flags = np.ones(int(ends[-1]) if len(ends) else 0, np.uint8)
    flags[ends - parameter - 1] = 0
    for bit in range(parameter):
        flags[ends - 1 - bit] = (gaps >> bit) & 1
    bits.append(flags)


def read_size(bits: BitReader, n: int) -> int:
    """Read the varint that says how many of n indices there are; after 0 nothing may follow.

    Raises:
        MalformedBits: it is more than n, or something follows 0.
    """
    count = bits.read_varint()
    if count == 0:
        bits.finish()
    if count > n:
        raise MalformedBits(f"{count} indices in a model of {n} coordinates")
    return count


def read_gaps(bits: BitReader, count: int, n: int, parameter: int) -> NDArray[np.int64]:
    """Read ascending indices.

    Args:
        bits: where from.
        count: how many.
        n: coordinates; every index is below.
        parameter: bits of each remainder.

    Returns:
        int64, shape (count,).

    Raises:
        MalformedBits: the bits end too early, or an index is n or more.
    """
    if count * (1 + parameter) > bits.left:
        raise MalformedBits(f"{count} gaps of at least {1 + parameter} bits; there are {bits.left}")
    indices = np.full(count, n, np.int64)
    data, first = bits.rest()
    at = read_rice_codes(data, first, n, parameter, indices)
    if at < 0:
        raise MalformedBits("the bits end within a gap")
    if count > 0 and indices[-1] >= n:
        raise MalformedBits(f"index {indices[-1]} in a model of {n} coordinates")
    bits.skip(at - first)
    return indices
