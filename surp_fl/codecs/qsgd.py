"""QSGD: every coordinate, rounded stochastically to a few levels of its bucket's norm. Unbiased: no error feedback.

Source: Alistarh, Grubic, Li, Tomioka, Vojnovic 2017, "QSGD: Communication-Efficient SGD via Gradient Quantization and
Encoding"; with a fixed number of bits a coordinate, as is common, in place of its Elias code.

    bits         8 bits   of a coordinate, sign included: 2 to 8
    bucket       varint   coordinates that share a norm
    norms        float32 each, little-endian
    levels       `bits` each, offset by 2^(bits − 1) − 1
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory
from surp_fl.types import Reference, Vector

_MIN_BITS, _MAX_BITS = 2, 8
_MAX_BUCKET = 1 << 30
_BLOCK = 1 << 14  # coordinates that are decoded at a time


@dataclass(frozen=True)
class QSGD:
    """Stochastic quantisation to `bits` a coordinate.

    Attributes:
        bits: of a coordinate, sign included; 2 to 8.
        bucket: coordinates that share an L2 norm.
        memory: what the client carries between rounds; nothing, as the rounding is unbiased.

    Raises:
        ValueError: an option is out of its range.
    """

    bits: int = 8
    bucket: int = 512
    memory: Memory = field(default_factory=NoMemory)

    def __post_init__(self) -> None:
        if not _MIN_BITS <= self.bits <= _MAX_BITS:
            raise ValueError(f"bits = {self.bits}; expected {_MIN_BITS} to {_MAX_BITS}")
        if not 1 <= self.bucket <= _MAX_BUCKET:
            raise ValueError(f"bucket = {self.bucket}; expected 1 to {_MAX_BUCKET:,} coordinates")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        max_level = 2 ** (self.bits - 1) - 1
        starts = np.arange(0, vector.size, self.bucket)
        squares = np.add.reduceat(np.square(vector, dtype=np.float64), starts) if vector.size else np.empty(0)
        norms = np.minimum(np.sqrt(squares), np.finfo(np.float32).max).astype("<f4")
        norm_of_each = np.repeat(norms, min(self.bucket, vector.size))[: vector.size].astype(np.float64)
        scaled = max_level * np.divide(np.abs(vector), norm_of_each, out=np.zeros(vector.size), where=norm_of_each > 0)
        levels = np.minimum(np.floor(scaled + rng.random(vector.size)), max_level).astype(np.int64)
        bits = BitWriter()
        bits.write_one(self.bits, 8)
        bits.write_varint(self.bucket)
        bits.append(np.unpackbits(norms.view(np.uint8)))
        signed = (np.where(np.signbit(vector), -levels, levels) + max_level).astype(np.uint8)
        bits.append(np.unpackbits(signed[:, None], axis=1)[:, 8 - self.bits :].reshape(-1))
        return bits.to_bytes()


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    bits = BitReader(body)
    width = bits.read_one(8)
    if not _MIN_BITS <= width <= _MAX_BITS:
        raise MalformedBits(f"{width} bits a coordinate; expected {_MIN_BITS} to {_MAX_BITS}")
    bucket = bits.read_varint()
    if bucket == 0:
        raise MalformedBits("buckets of no coordinates")
    buckets = -(-layout.size // bucket)
    expected = buckets * 32 + layout.size * width
    if not 0 <= bits.left - expected < 8:
        raise MalformedBits(f"{bits.left} bits of norms and levels; expected {expected}")
    max_level = 2 ** (width - 1) - 1
    norms = np.empty(buckets, np.float32)
    for start in range(0, buckets, _BLOCK):
        stop = min(start + _BLOCK, buckets)
        norms[start:stop] = bits.read(4 * (stop - start), 8).astype(np.uint8).view("<f4")
    if not (np.isfinite(norms) & (norms >= 0)).all():
        raise MalformedBits("a norm that no encoder writes")
    vector = np.empty(layout.size, np.float32)
    for start in range(0, layout.size, _BLOCK):  # so that levels take no more memory than the vector
        stop = min(start + _BLOCK, layout.size)
        levels = bits.read(stop - start, width) - max_level
        if levels.max() > max_level:
            raise MalformedBits("a level that no encoder writes")
        vector[start:stop] = levels * (norms[np.arange(start, stop) // bucket].astype(np.float64) / max_level)
    bits.finish()
    return vector


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes; norms count as magnitudes."""
    bits = BitReader(body)
    width, bucket = bits.read_one(8), bits.read_varint()
    return BitBreakdown(0, layout.size, layout.size * (width - 1) + 32 * -(-layout.size // bucket))


READER = Reader(5, "qsgd", read, count_bits)

ROW = Registration(
    "qsgd",
    READER,
    QSGD,
    examples={"qsgd 8 bits": QSGD(), "qsgd 3 bits": QSGD(bits=3, bucket=10)},
    has_budget=False,
    contractive=False,
    colour="C5",
    marker="X",
)
