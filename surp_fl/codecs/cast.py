"""Casts: every coordinate in a smaller dtype, rounded to nearest. What a framework gives for nothing; to compare.

fp16 and bf16 are sent as they are. int8 has one scale for each array, its largest magnitude, and levels from −127 to
127 (symmetric quantisation, as in Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", with zero point 0); the levels are coded, which takes less than a byte each.

    dtype        8 bits   0 fp16, 1 bf16, 2 int8
    then, of fp16 and bf16:
      values     16 bits  each coordinate, little-endian
    of int8:
      scales     float32 of each array that is not empty, little-endian
      levels              symbols of a range coder, as in coded_levels.py; a value is level·(scale/127)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from surp_fl.codecs.array_scales import largest_of, read_scales, scaled, sizes_of, starts_of, write_scales
from surp_fl.codecs.bfloat16 import from_bfloat16, to_bfloat16
from surp_fl.codecs.codec import Codec
from surp_fl.codecs.coded_levels import read_levels, write_levels
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory
from surp_fl.types import Reference, Vector

_MAX_LEVEL = 127
_LARGEST_HALF = np.float32(65504)


@dataclass(frozen=True)
class Cast:
    """Every coordinate in a smaller dtype.

    Attributes:
        dtype: "fp16", where what is beyond ±65,504 becomes that and what is below 3e-8 becomes 0; "bf16", of float32's
            range with 8 bits of mantissa; or "int8", 127 levels of the largest magnitude of each array.
        memory: what the client carries between rounds; nothing, as casts are used.

    Raises:
        ValueError: another dtype.
    """

    dtype: str = "fp16"
    memory: Memory = field(default_factory=NoMemory)

    def __post_init__(self) -> None:
        if self.dtype not in _CODES:
            raise ValueError(f"dtype = '{self.dtype}'; expected one of {', '.join(_CODES)}")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        code = _CODES[self.dtype]
        return bytes([code]) + _WRITERS[code](vector, layout)


def _write_half(vector: Vector, layout: Layout) -> bytes:
    return np.clip(vector, -_LARGEST_HALF, _LARGEST_HALF).astype("<f2").tobytes()


def _read_half(data: bytes, layout: Layout) -> Vector:
    return np.frombuffer(_of_two_bytes(data, layout), "<f2").astype(np.float32)


def _write_bfloat16(vector: Vector, layout: Layout) -> bytes:
    return to_bfloat16(vector).astype("<u2").tobytes()


def _read_bfloat16(data: bytes, layout: Layout) -> Vector:
    return from_bfloat16(np.frombuffer(_of_two_bytes(data, layout), "<u2"))


def _of_two_bytes(data: bytes, layout: Layout) -> bytes:
    if len(data) != 2 * layout.size:
        raise MalformedBits(f"{len(data)} bytes for {layout.size} coordinates of 2 bytes")
    return data


def _write_int8(vector: Vector, layout: Layout) -> bytes:
    sizes = sizes_of(layout, per_array=True)
    if not sizes.size:
        return b""
    largest = largest_of(vector, sizes)
    of_each = np.repeat(np.where(largest > 0, largest, 1), sizes)
    return write_scales(largest) + write_levels(np.rint(_MAX_LEVEL * (vector / of_each)).astype(np.int16), _MAX_LEVEL)


def _read_int8(data: bytes, layout: Layout) -> Vector:
    sizes = sizes_of(layout, per_array=True)
    scales = read_scales(data, sizes.size)
    levels = read_levels(data[4 * sizes.size :], layout.size, _MAX_LEVEL)
    if sizes.size and (np.maximum.reduceat(np.abs(levels), starts_of(sizes))[scales > 0] < _MAX_LEVEL).any():
        raise MalformedBits("an array whose largest magnitude is not that of its scale")
    return scaled(levels, scales, sizes, _MAX_LEVEL)


_CODES = {"fp16": 0, "bf16": 1, "int8": 2}  # of the dtype, in a message
_WRITERS: tuple[Callable[[Vector, Layout], bytes], ...] = (_write_half, _write_bfloat16, _write_int8)
_READERS: tuple[Callable[[bytes, Layout], Vector], ...] = (_read_half, _read_bfloat16, _read_int8)


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    if not body or body[0] >= len(_READERS):
        raise MalformedBits(f"none of the dtypes {', '.join(_CODES)}")
    return _READERS[body[0]](body[1:], layout)


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's signs and magnitudes; zeros of int8 have no sign, scales count as magnitudes."""
    bits = 8 * (len(body) - 1)
    signs = int(np.count_nonzero(read(body, layout, reference))) if body[0] == _CODES["int8"] else layout.size
    return BitBreakdown(0, signs, bits - signs)


READER = Reader(12, "cast", read, count_bits)


def _row(dtype: str, colour: str, marker: str) -> Registration:
    return Registration(
        dtype, READER, partial(Cast, dtype), {dtype: Cast(dtype)}, has_budget=False, colour=colour, marker=marker
    )


ROWS = (_row("fp16", "slategray", ">"), _row("bf16", "teal", "8"), _row("int8", "darkgreen", "H"))
