"""Messages of indices and values, for schemes that send values as they are: top-k, rTop-k, DGC.

k            varint   0 ends the message
width        8 bits   of a value: 32 (float32) or 16 (bfloat16: its upper half, rounded to nearest)
indices      Golomb–Rice gaps; the parameter is a function of k and n
values       k of them, by ascending index
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.bfloat16 import to_bfloat16
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits, varint_bits
from surp_fl.entropy.golomb_rice import gap_bits, read_gaps, read_size, rice_parameter, write_gaps
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.types import Reference, Sparse, Vector

Indices = NDArray[np.int64]

WIDTHS = (16, 32)
_BLOCK = 1 << 14  # values that are decoded at a time
SMALLEST_BUDGET = HEADER_BYTES + 12


def check_options(budget: int | None, sparsity: float | None, value_bits: int) -> None:
    """Check the options that all these schemes have.

    Raises:
        ValueError: not exactly one of budget (bytes) and sparsity is given, or an option is out of its range.
    """
    if (budget is None) == (sparsity is None):
        raise ValueError(f"budget = {budget}, sparsity = {sparsity}: give one of the two")
    if budget is not None and budget < SMALLEST_BUDGET:
        raise ValueError(f"budget = {budget} bytes; a message with one coordinate needs {SMALLEST_BUDGET}")
    if sparsity is not None and not 0 <= sparsity < 1:
        raise ValueError(f"sparsity = {sparsity}; expected the share of coordinates not to send, such as 0.999")
    if value_bits not in WIDTHS:
        raise ValueError(f"value_bits = {value_bits}; expected 16 or 32")


def largest_fitting(budget: int, max_count: int, chosen: Callable[[int], Indices], n: int, value_bits: int) -> Indices:
    """The indices of a k, found by bisection, whose message fits the budget; hardly any larger k fits.

    Args:
        budget: bytes, whole message.
        max_count: upper bound of k.
        chosen: gives the ascending indices for a k.
        n: coordinates.
        value_bits: of each value.
    """
    budget_bits = 8 * (budget - HEADER_BYTES)
    low, high = 0, min(max_count, budget_bits // (1 + value_bits))
    while low < high:
        k = (low + high + 1) // 2
        low, high = (k, high) if _bits(chosen(k), n, value_bits) <= budget_bits else (low, k - 1)
    return chosen(low)


def _bits(indices: Indices, n: int, value_bits: int) -> int:
    count = indices.size
    return varint_bits(count) + 8 + gap_bits(indices, rice_parameter(count, n)) + count * value_bits


def write(vector: Vector, indices: Indices, value_bits: int) -> bytes:
    """Make a body.

    Args:
        vector: float32, shape (n,).
        indices: ascending; shape (k,).
        value_bits: 16 or 32.
    """
    bits = BitWriter()
    bits.write_varint(indices.size)
    if indices.size > 0:
        bits.write_one(value_bits, 8)
        write_gaps(bits, indices, rice_parameter(indices.size, vector.size))
        values = np.ascontiguousarray(vector[indices])
        stored = to_bfloat16(values).astype(">u2") if value_bits == 16 else values.astype(">f4")
        bits.append(np.unpackbits(stored.view(np.uint8)))
    return bits.to_bytes()


def read(body: bytes, layout: Layout, reference: Reference) -> Sparse:
    """Decode a body to ascending int64 indices and float32 values, both of shape (k,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    bits = BitReader(body)
    count = read_size(bits, layout.size)
    if count == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    width = bits.read_one(8)
    if width not in WIDTHS:
        raise MalformedBits(f"values of {width} bits; this version knows {WIDTHS}")
    if count * (1 + width) > bits.left:
        raise MalformedBits(f"{count} gaps and values of {width} bits; there are {bits.left} bits")
    indices = read_gaps(bits, count, layout.size, rice_parameter(count, layout.size))
    stored = np.empty(count, np.uint32)
    for start in range(0, count, _BLOCK):
        stored[start : start + _BLOCK] = bits.read(min(_BLOCK, count - start), width) << (32 - width)
    bits.finish()
    return indices, stored.view(np.float32)


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes; a value's first bit is its sign."""
    bits = BitReader(body)
    count = read_size(bits, layout.size)
    if count == 0:
        return BitBreakdown(0, 0, 0)
    width = bits.read_one(8)
    indices, _ = read(body, layout, reference)
    return BitBreakdown(gap_bits(indices, rice_parameter(count, layout.size)), count, count * (width - 1))


READER = Reader(4, "sparse", read, count_bits)
