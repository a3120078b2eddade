"""SBC: the largest coordinates of one sign, and their mean; the sign is the one whose largest have the larger mean.

Source: Sattler, Wiedemann, Müller, Samek 2018, "Sparse Binary Compression: Towards Distributed Deep Learning with
minimal Communication", arXiv 1805.08768, Algorithm 2: of each array, the share p of the largest and of the smallest
values, of which the half with the larger mean is kept; positions in Golomb's code (its Algorithm 3). Where an array has
fewer than p·n coordinates of a sign, the others count as 0 in the mean that decides, and are not sent.

    arrays       1 bit    1: each array that is not empty is a part; 0: the vector is one
    k            varint   of each part
    then of each part whose k is not 0:
      sign       1 bit    1 is negative
      magnitude  16 bits  mean of the k magnitudes
      indices             Golomb–Rice gaps; the parameter is a function of k and the part's n
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs import sparse
from surp_fl.codecs.array_scales import sizes_of, starts_of
from surp_fl.codecs.codec import Codec
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.codecs.sbc.selection import Side, sides_of, sides_within
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits, varint_bits
from surp_fl.entropy.golomb_rice import gap_bits, read_gaps, rice_parameter, write_gaps
from surp_fl.entropy.minifloat import decode_finite, encode_minifloat
from surp_fl.errors import DIVERGED
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.types import Integers, Reference, Update, Vector

_SIGN_AND_MAGNITUDE_BITS = 1 + 16


@dataclass(frozen=True)
class SBC:
    """Sparse binary compression: as many coordinates as a budget holds, or a share of all.

    Attributes:
        budget: bytes, whole message; more bytes, more coordinates. The share p follows by bisection.
        sparsity: 1 − p, share of the coordinates that are not sent, 0 to 1; instead of a budget.
        per_array: whether each array has a sign and a mean of its own, as in the paper, or the vector is treated as
            one; where a budget does not hold a coordinate of any array, it is.
        memory: what the client carries between rounds.

    Raises:
        ValueError: an option is out of its range, or not exactly one of budget and sparsity is given.
    """

    budget: int | None = None
    sparsity: float | None = None
    per_array: bool = True
    memory: Memory = field(default_factory=ErrorFeedback)

    def __post_init__(self) -> None:
        sparse.check_options(self.budget, self.sparsity, value_bits=16)

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        sizes = sizes_of(layout, bool(self.per_array))
        sides = self._sides(vector, sizes)
        if not any(each.indices.size for each in sides):
            sizes = sizes_of(layout, per_array=False)
            sides = self._sides(vector, sizes)
        bits = BitWriter()
        bits.write_one(int(sizes.size > 1), 1)
        for each in sides:
            bits.write_varint(each.indices.size)
        for each, size in zip(sides, sizes.tolist(), strict=True):
            if each.indices.size:
                bits.write_one(int(each.negative), 1)
                bits.write_one(_code_of(each.mean), 16)
                write_gaps(bits, each.indices, rice_parameter(each.indices.size, size))
        return bits.to_bytes()

    def _sides(self, vector: Vector, sizes: Integers) -> list[Side]:
        """What is told of each part of the vector."""
        if self.sparsity is not None:
            return sides_of(vector, sizes, np.maximum(np.rint((1 - self.sparsity) * sizes).astype(np.int64), 1))
        assert self.budget is not None
        return sides_within(vector, sizes, 8 * (self.budget - HEADER_BYTES) - 1, _bits)


def _bits(indices: Integers, size: int) -> int:
    """What a part takes."""
    k = indices.size
    return varint_bits(k) + (_SIGN_AND_MAGNITUDE_BITS + gap_bits(indices, rice_parameter(k, size)) if k else 0)


def _code_of(mean: float) -> int:
    """The code of a mean as float32, of which there is one for each float32."""
    return encode_minifloat(float(np.float32(decode_finite(encode_minifloat(mean)))))


@dataclass(frozen=True)
class _Part:
    """A part of the vector, as a message has it."""

    start: int
    size: int
    count: int


def _head(bits: BitReader, layout: Layout) -> list[_Part]:
    """The parts that have coordinates.

    Raises:
        MalformedBits: no encoder writes these bits.
    """
    per_array = bool(bits.read_one(1))
    sizes = sizes_of(layout, per_array)
    if per_array and sizes.size < 2:
        raise MalformedBits("parts for each array where there are not two")
    parts = []
    for start, size in zip(starts_of(sizes).tolist(), sizes.tolist(), strict=True):
        count = bits.read_varint()
        if count > size:
            raise MalformedBits(f"{count} indices in a part of {size} coordinates")
        if count:
            parts.append(_Part(start, size, count))
    if per_array and not parts:
        raise MalformedBits("parts for each array, and none of them has a coordinate")
    return parts


def _read_part(bits: BitReader, part: _Part) -> tuple[Integers, np.float32]:
    """The ascending indices of a part, and their value."""
    negative, code = bits.read_one(1), bits.read_one(16)
    magnitude = np.float32(decode_finite(code))
    if not code or _code_of(float(magnitude)) != code:
        raise MalformedBits("a magnitude that no encoder writes")
    indices = read_gaps(bits, part.count, part.size, rice_parameter(part.count, part.size))
    indices += part.start
    return indices, -magnitude if negative else magnitude


def read(body: bytes, layout: Layout, reference: Reference) -> Update:
    """Decode a body to ascending int64 indices and float32 values, of shape (k,); or to the vector, if that is smaller.

    Raises:
        MalformedBits: no encoder writes this body.
    """
    bits = BitReader(body)
    parts = _head(bits, layout)
    total = sum(part.count for part in parts)
    if total > bits.left:
        raise MalformedBits(f"{total} gaps; there are {bits.left} bits")
    if 3 * total > layout.size:
        vector = np.zeros(layout.size, np.float32)
        for part in parts:
            indices, value = _read_part(bits, part)
            vector[indices] = value
        bits.finish()
        return vector
    found, values, at = np.empty(total, np.int64), np.empty(total, np.float32), 0
    for part in parts:
        found[at : at + part.count], values[at : at + part.count] = _read_part(bits, part)
        at += part.count
    bits.finish()
    return found, values


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes; there is a sign and a magnitude for each part."""
    bits = BitReader(body)
    parts = _head(bits, layout)
    left = bits.left
    for part in parts:
        _read_part(bits, part)
    return BitBreakdown(left - bits.left - _SIGN_AND_MAGNITUDE_BITS * len(parts), len(parts), 16 * len(parts))


READER = Reader(14, "sbc", read, count_bits)

ROW = Registration(
    "sbc",
    READER,
    with_memory(SBC),
    examples={"sbc 218 B": SBC(budget=218), "sbc 40 B, one part": SBC(budget=40, per_array=False)},
    value_bits=0,
    colour="purple",
    marker="8",
)
