"""QSGD's quantiser and its messages: levels of the norm of each bucket, of a fixed number of bits or coded.

A value is level·(norm/s), in float64, rounded to float32.

    bits         8 bits   of a coordinate, sign included: 2 to 16; or 0: levels are coded
    bucket       varint   coordinates that share a norm
    norms        float32 each, little-endian
    levels       `bits` each, offset by s = 2^(bits − 1) − 1

or, coded:

    0            8 bits
    s            varint   the largest level, 1 to 32,767
    bucket       varint   as above, at most n, or 1 if n is 0
    norms        float32 each, little-endian; 0 for a bucket whose levels are all 0
    levels                symbols of a range coder, as in coded_levels.py
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.array_scales import read_scales, scaled, starts_of, write_scales
from surp_fl.codecs.coded_levels import MOST_LEVELS, read_levels, write_levels
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.types import Floats, Integers, Levels, Reference, Vector

MIN_BITS, MAX_BITS = 2, 16  # of a level that is not coded
MAX_BUCKET = 1 << 30
_BLOCK = 1 << 14  # coordinates that are decoded at a time


def max_level_of(bits: int) -> int:
    """The largest level of so many bits, sign included; 1 for one bit, too.

    >>> [max_level_of(bits) for bits in (1, 2, 3, 8, 16)]
    [1, 1, 3, 127, 32767]
    """
    return max(1, (1 << (bits - 1)) - 1)


def write_coded(vector: Vector, rng: np.random.Generator, max_level: int, bucket: int) -> bytes:
    """Make a body of coded levels.

    Args:
        vector: float32, shape (n,).
        rng: rounds the levels.
        max_level: s.
        bucket: coordinates that share a norm.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    bucket = min(bucket, max(vector.size, 1))
    levels, norms = _quantised(vector, rng, max_level, bucket)
    if norms.size:
        norms[~np.logical_or.reduceat(levels != 0, starts_of(_sizes(vector.size, bucket)))] = 0
    bits = BitWriter()
    bits.write_one(0, 8)
    bits.write_varint(max_level)
    bits.write_varint(bucket)
    return bits.to_bytes() + write_scales(norms) + write_levels(levels, max_level)


def write_fixed(vector: Vector, rng: np.random.Generator, width: int, bucket: int) -> bytes:
    """Make a body of levels that have `width` bits each; other arguments as of `write_coded`.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    max_level = max_level_of(width)
    levels, norms = _quantised(vector, rng, max_level, bucket)
    bits = BitWriter()
    bits.write_one(width, 8)
    bits.write_varint(bucket)
    bits.append(np.unpackbits(np.frombuffer(write_scales(norms), np.uint8)))
    offset = (levels + max_level).astype(">u2")
    bits.append(np.unpackbits(offset.view(np.uint8).reshape(-1, 2), axis=1)[:, 16 - width :].reshape(-1))
    return bits.to_bytes()


def _sizes(n: int, bucket: int) -> Integers:
    """Coordinates of each bucket."""
    sizes = np.full(-(-n // bucket), bucket, np.int64)
    sizes[-1:] -= sizes.size * bucket - n
    return sizes


def _quantised(vector: Vector, rng: np.random.Generator, max_level: int, bucket: int) -> tuple[Levels, Vector]:
    """The level of each coordinate, and the norm of each bucket; section 3.1 of the paper."""
    if not np.isfinite(vector).all():
        raise ValueError(DIVERGED)
    sizes = _sizes(vector.size, bucket)
    squares = np.square(vector, dtype=np.float64)
    roots: Floats = np.sqrt(np.add.reduceat(squares, starts_of(sizes))) if sizes.size else np.empty(0)
    norms = np.minimum(roots, np.finfo(np.float32).max).astype(np.float32)
    of_each = np.repeat(norms, sizes).astype(np.float64)
    steps = max_level * np.divide(np.abs(vector), of_each, out=np.zeros(vector.size), where=of_each > 0)
    magnitudes = np.minimum(np.floor(steps + rng.random(vector.size)), max_level).astype(np.int16)
    return np.where(np.signbit(vector), -magnitudes, magnitudes), norms


def _head(bits: BitReader, layout: Layout) -> tuple[int, int, int]:
    """Bits of a level, or 0; the largest level; and the bucket.

    Raises:
        MalformedBits: no encoder writes these bits.
    """
    width = bits.read_one(8)
    if not (width == 0 or MIN_BITS <= width <= MAX_BITS):
        raise MalformedBits(f"{width} bits a coordinate; expected {MIN_BITS} to {MAX_BITS}, or 0")
    max_level = max_level_of(width) if width else bits.read_varint()
    bucket = bits.read_varint()
    if bucket == 0:
        raise MalformedBits("buckets of no coordinates")
    if width == 0 and not (1 <= max_level <= MOST_LEVELS and bucket <= max(layout.size, 1)):
        raise MalformedBits(f"{max_level} levels, and buckets of {bucket} of {layout.size} coordinates")
    return width, max_level, bucket


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    bits = BitReader(body)
    width, max_level, bucket = _head(bits, layout)
    buckets = -(-layout.size // bucket)
    if width == 0:
        at = len(body) - bits.left // 8
        norms = read_scales(body[at : at + 4 * buckets], buckets)
        levels = read_levels(body[at + 4 * buckets :], layout.size, max_level)
        return scaled(levels, norms, _sizes(layout.size, bucket), max_level)
    expected = buckets * 32 + layout.size * width
    if not 0 <= bits.left - expected < 8:
        raise MalformedBits(f"{bits.left} bits of norms and levels; expected {expected}")
    norms = np.empty(buckets, np.float32)
    for start in range(0, buckets, _BLOCK):
        stop = min(start + _BLOCK, buckets)
        norms[start:stop] = bits.read(4 * (stop - start), 8).astype(np.uint8).view("<f4")
    if not (np.isfinite(norms) & (norms >= 0)).all():
        raise MalformedBits("a norm that no encoder writes")
    vector = np.empty(layout.size, np.float32)
    for start in range(0, layout.size, _BLOCK):  # so that levels take no more memory than the vector
        stop = min(start + _BLOCK, layout.size)
        offset = bits.read(stop - start, width) - max_level
        if offset.max() > max_level:
            raise MalformedBits("a level that no encoder writes")
        vector[start:stop] = offset * (norms[np.arange(start, stop) // bucket].astype(np.float64) / max_level)
    bits.finish()
    return vector


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's signs and magnitudes; norms count as magnitudes, and a coded 0 has no sign."""
    bits = BitReader(body)
    width, _, bucket = _head(bits, layout)
    if width == 0:
        signs = int(np.count_nonzero(read(body, layout, reference)))
        return BitBreakdown(0, signs, bits.left - signs)
    return BitBreakdown(0, layout.size, layout.size * (width - 1) + 32 * -(-layout.size // bucket))


READER = Reader(5, "qsgd", read, count_bits)
