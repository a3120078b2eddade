"""PowerSGD's messages: factors of the layers that they make smaller, all other arrays as they are.

    rank         varint   r; 0 if no array has factors
    width        8 bits   of a value: 32 (float32) or 16 (bfloat16: its upper half, rounded to nearest)
    values                little-endian, of each array in the model's order:
      of a layer of rows × columns, its first axis × all others, with r·(rows + columns) < rows·columns:
        Pᵀ                r × rows
        Qᵀ                r × columns
      of any other array: its values

A layer is the sum of p·q over its columns p of P and q of Q, first to last, in float64, limited to float32's range.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from surp_fl.array_spec import ArraySpec
from surp_fl.codecs.bfloat16 import from_bfloat16, to_bfloat16
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits
from surp_fl.layout import Layout
from surp_fl.types import Floats, Reference, Vector

WIDTHS = (16, 32)
_LARGEST = float(np.finfo(np.float32).max)
_COLUMNS, _CELLS = 1 << 14, 1 << 16  # of a layer that are worked on at a time


def shape_of(spec: ArraySpec, rank: int) -> tuple[int, int] | None:
    """Rows and columns of a layer that has factors of this rank; None for an array that is sent as it is.

    >>> conv, bias = ArraySpec("conv", (16, 8, 3, 3), np.dtype("f4")), ArraySpec("bias", (16,), np.dtype("f4"))
    >>> shape_of(conv, 2), shape_of(conv, 14), shape_of(bias, 2)
    ((16, 72), None, None)
    """
    if len(spec.shape) < 2 or not spec.size:
        return None
    rows, columns = spec.shape[0], spec.size // spec.shape[0]
    return (rows, columns) if 0 < rank * (rows + columns) < rows * columns else None


def parts_of(layout: Layout, rank: int) -> Iterator[tuple[slice, tuple[int, int] | None]]:
    """The place of each array in the vector, and its rows and columns if it has factors."""
    for spec, end in zip(layout.floats, layout.ends.tolist(), strict=True):
        yield slice(end - spec.size, end), shape_of(spec, rank)


def rounded(values: Floats | Vector, width: int) -> Floats:
    """What values are in a message: the nearest of their width, within float32's range."""
    limited = np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)
    return (limited if width == 32 else from_bfloat16(to_bfloat16(limited))).astype(np.float64)


def write(rank: int, width: int, arrays: list[Floats]) -> bytes:
    """Make a body.

    Args:
        rank: r; 0 if no array has factors.
        width: of a value.
        arrays: Pᵀ, Qᵀ, and arrays that are sent as they are; in their order.
    """
    bits = BitWriter()
    bits.write_varint(rank)
    bits.write_one(width, 8)
    values = np.concatenate([np.empty(0, np.float32), *(array.ravel() for array in arrays)], dtype=np.float32)
    stored = values.astype("<f4") if width == 32 else to_bfloat16(values).astype("<u2")
    return bits.to_bytes() + stored.tobytes()


def _head(body: bytes, layout: Layout) -> tuple[int, int, int]:
    """Rank, width, and where the values begin.

    Raises:
        MalformedBits: no encoder writes this body.
    """
    bits = BitReader(body)
    rank, width = bits.read_varint(), bits.read_one(8)
    if width not in WIDTHS:
        raise MalformedBits(f"values of {width} bits; this version knows {WIDTHS}")
    count, factored = 0, False
    for part, shape in parts_of(layout, rank):
        factored |= shape is not None
        count += part.stop - part.start if shape is None else rank * sum(shape)
    if rank and not factored:
        raise MalformedBits(f"a rank of {rank}, of which no array has factors")
    if bits.left != count * width:
        raise MalformedBits(f"{bits.left // 8} bytes for {count} values of {width} bits")
    return rank, width, len(body) - bits.left // 8


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    rank, width, at = _head(body, layout)
    vector = np.empty(layout.size, np.float32)
    stored = np.frombuffer(body, "<f4" if width == 32 else "<u2", offset=at)
    place = 0

    def take(count: int) -> Vector:
        nonlocal place
        place += count
        taken = stored[place - count : place]
        values = taken.astype(np.float32) if width == 32 else from_bfloat16(taken)
        if not np.isfinite(values).all():
            raise MalformedBits("a value that is not finite")
        return values

    for part, shape in parts_of(layout, rank):
        if shape is None:
            vector[part] = take(part.stop - part.start)
            continue
        left, right = (take(rank * side).reshape(rank, side) for side in shape)
        if (left.any(1) != right.any(1)).any():
            raise MalformedBits("a column of one factor that is 0 where that of the other is not")
        _multiply(left, right, vector[part].reshape(shape))
    return vector


def _multiply(left: Vector, right: Vector, layer: Vector) -> None:
    """Fill a layer with the sum of the products of the rows of both, in blocks."""
    rows, columns = layer.shape
    width = min(columns, _COLUMNS)
    height = max(1, _CELLS // width)
    for top, first in product(range(0, rows, height), range(0, columns, width)):
        block = layer[top : top + height, first : first + width]
        total = np.zeros(block.shape)
        for p, q in zip(left, right, strict=True):
            total += np.multiply.outer(p[top : top + height].astype(np.float64), q[first : first + width])
        block[:] = np.clip(total, -_LARGEST, _LARGEST, out=total)


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's signs and magnitudes; a value's first bit is its sign, also in a factor."""
    _, width, at = _head(body, layout)
    values = 8 * (len(body) - at) // width
    return BitBreakdown(0, values, values * (width - 1))


READER = Reader(11, "power-sgd", read, count_bits)
