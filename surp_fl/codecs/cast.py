"""Casts: every coordinate in a smaller dtype, rounded to nearest. What a framework gives for nothing; to compare.

fp16 and bf16 are coded without loss: numbers of one update have few exponents, so that the codes of their dtype,
counted down from the largest, are small levels. int8 has one scale for each array, its largest magnitude, and levels
from −127 to 127 (symmetric quantisation, as in Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", with zero point 0).

    dtype        8 bits   0 fp16, 1 bf16, 2 int8
    then, of fp16 and bf16:
      largest    16 bits  the largest code m of a coordinate, without its sign, little-endian; 0 ends the message
      levels              of a coordinate with the code c: m + 1 − c, with its sign; 0 for the number 0
    of int8:
      scales     float32 of each array that is not empty, little-endian
      levels              a value is level·(scale/127)

Levels are symbols of a range coder, as in coded_levels.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

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
_WITHOUT_SIGN = 0x7FFF


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
    return _write_codes(np.clip(vector, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16).view(np.uint16))


def _read_half(data: bytes, layout: Layout) -> Vector:
    return _read_codes(data, layout).view(np.float16).astype(np.float32)


def _write_bfloat16(vector: Vector, layout: Layout) -> bytes:
    return _write_codes(to_bfloat16(vector))


def _read_bfloat16(data: bytes, layout: Layout) -> Vector:
    return from_bfloat16(_read_codes(data, layout))


def _write_codes(codes: NDArray[np.uint16]) -> bytes:
    """Code numbers of 16 bits, of which the first is the sign; without loss, but that −0 becomes 0."""
    magnitudes = (codes & _WITHOUT_SIGN).astype(np.int16)
    largest = int(magnitudes.max(initial=0))
    head = largest.to_bytes(2, "little")
    if not largest:
        return head
    levels = np.where(magnitudes > 0, largest + 1 - magnitudes, 0).astype(np.int16)
    return head + write_levels(np.where(codes > _WITHOUT_SIGN, -levels, levels), largest)


def _read_codes(data: bytes, layout: Layout) -> NDArray[np.uint16]:
    largest = int.from_bytes(data[:2], "little")
    if len(data) < 2 or largest >= _WITHOUT_SIGN or (not largest and len(data) > 2):
        raise MalformedBits(f"a largest code of {largest} and {len(data)} bytes")
    if not largest:
        return np.zeros(layout.size, np.uint16)
    levels = read_levels(data[2:], layout.size, largest)
    magnitudes = np.abs(levels)
    if not (magnitudes == 1).any():
        raise MalformedBits("a largest code that no coordinate has")
    np.subtract(np.int16(largest + 1), magnitudes, where=levels != 0, out=magnitudes)
    codes = magnitudes.view(np.uint16)
    codes |= (levels < 0).astype(np.uint16) << np.uint16(15)
    return codes


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
    """Bits of a valid body's signs and magnitudes; a zero has no sign, and scales count as magnitudes."""
    signs = int(np.count_nonzero(read(body, layout, reference)))
    return BitBreakdown(0, signs, 8 * (len(body) - 1) - signs)


READER = Reader(12, "cast", read, count_bits)


def _row(dtype: str, colour: str, marker: str) -> Registration:
    return Registration(
        dtype, READER, partial(Cast, dtype), {dtype: Cast(dtype)}, has_budget=False, colour=colour, marker=marker
    )


ROWS = (_row("fp16", "slategray", ">"), _row("bf16", "teal", "8"), _row("int8", "darkgreen", "H"))
