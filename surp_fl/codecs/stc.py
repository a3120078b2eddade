"""STC messages: the k largest coordinates, one magnitude for all of them, a sign for each.

Source: Sattler, Wiedemann, Müller, Samek 2019, "Robust and Communication-Efficient Federated Learning from Non-IID
Data" (sparse ternary compression). The baseline that SuRP is compared with, coded with the same care:

    k            varint   0 ends the message
    magnitude    16 bits  mean of the k magnitudes
    indices      Golomb–Rice gaps; the parameter is a function of k and n
    signs        1 bit    each index, ascending; 1 is negative
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits, varint_bits
from surp_fl.entropy.golomb_rice import gap_bits, read_gaps, read_size, rice_parameter, write_gaps
from surp_fl.entropy.minifloat import decode_finite, encode_minifloat
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.topk import largest
from surp_fl.types import Reference, Sparse, Vector

_BLOCK = 1 << 14  # signs that are decoded at a time
_MIN_BITS_PER_INDEX = 2  # an index costs at least one bit, and its sign one


@dataclass(frozen=True)
class STC:
    """Sparse ternary compression: as many of the largest coordinates as the budget holds.

    Attributes:
        budget: bytes, whole message; more bytes, less error.
        memory: what the client carries between rounds.

    Raises:
        ValueError: the budget is too small for a coordinate.
    """

    budget: int
    memory: Memory = field(default_factory=ErrorFeedback)

    def __post_init__(self) -> None:
        if self.budget < HEADER_BYTES + 12:
            raise ValueError(f"budget = {self.budget} bytes; a message with one coordinate needs {HEADER_BYTES + 12}")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        budget_bits = 8 * (self.budget - HEADER_BYTES)
        largest_first, values = largest(vector, min(vector.size, budget_bits // _MIN_BITS_PER_INDEX))
        low, high = 0, largest_first.size  # the largest k that fits, by bisection
        while low < high:
            k = (low + high + 1) // 2
            low, high = (k, high) if _bits(np.sort(largest_first[:k]), vector.size) <= budget_bits else (low, k - 1)

        bits = BitWriter()
        bits.write_varint(low)
        if low > 0:
            indices = np.sort(largest_first[:low])
            bits.write_one(encode_minifloat(float(np.abs(values[:low]).mean(dtype=np.float64))), 16)
            write_gaps(bits, indices, rice_parameter(low, vector.size))
            bits.write(np.signbit(vector[indices]).astype(np.int64), 1)
        return bits.to_bytes()


def _bits(indices: np.ndarray[tuple[int], np.dtype[np.int64]], n: int) -> int:
    count = indices.size
    return varint_bits(count) + 16 + gap_bits(indices, rice_parameter(count, n)) + count


def read(body: bytes, layout: Layout, reference: Reference) -> Sparse:
    """Decode a body to ascending int64 indices and float32 values, both of shape (k,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    bits = BitReader(body)
    count = read_size(bits, layout.size)
    if count == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    code = bits.read_one(16)
    if code == 0:
        raise MalformedBits("a magnitude of zero")
    if 2 * count > bits.left:
        raise MalformedBits(f"{count} gaps and signs; there are {bits.left} bits")
    indices = read_gaps(bits, count, layout.size, rice_parameter(count, layout.size))
    with np.errstate(over="ignore"):
        values = np.full(count, decode_finite(code), np.float32)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        values[start:stop] *= 1 - 2 * bits.read(stop - start, 1)
    bits.finish()
    return indices, values


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitude."""
    indices, _ = read(body, layout, reference)
    k = indices.size
    return BitBreakdown(gap_bits(indices, rice_parameter(k, layout.size)) if k else 0, k, 16 if k else 0)


READER = Reader(2, "stc", read, count_bits)

ROW = Registration(
    "stc",
    READER,
    with_memory(STC),
    examples={"stc 40 B": STC(budget=40), "stc 218 B": STC(budget=218)},
    value_bits=0,
    colour="C3",
    marker="s",
)
