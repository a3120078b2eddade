"""The reading end of the paper's SuRP, and its format: every index in ⌈log2 n⌉ bits.

    options      8 bits   bit 0: scales are sent; bit 1: β is sent; the rest 0
    β            32 bits  IEEE float32, only with its option
    steps        varint   0 ends the message
    refreshes    varint   without the first estimate
    scales       16 bits  each layer, only with its option
    mean         16 bits  the first estimate of 1/λ
    indices      ⌈log2 n⌉ bits (at least 1) each step
    signs        1 bit    each distinct index, by ascending index; 1 is negative
    refresh at   ⌈log2 steps⌉ bits each, ascending, at least 1
    means        16 bits  each refresh

Knows bits, and the decoder's side of `refinement.py`.
"""

from __future__ import annotations

import struct

import numpy as np

from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.surp_paper.refinement import Refinement, Schedule, magnitudes, magnitudes_of_all
from surp_fl.entropy.bitio import BitReader, MalformedBits, width_of
from surp_fl.entropy.minifloat import decode_minifloat
from surp_fl.layout import Layout
from surp_fl.types import Floats, Integers, Reference, Signs, Sparse, Vector

SCALES, BETA = 1, 2  # option bits
_MIN_GATHERED, _COORDINATES_PER_GATHERED = 4096, 8  # steps in any model; coordinates for one more, before a vector
_BLOCK = 1 << 14  # coordinates that are decoded at a time


def read(body: bytes, layout: Layout, reference: Reference) -> Sparse | Vector:
    """Decode a body to indices and values, or to the whole vector if there are many steps.

    Args:
        body: without the frame.
        layout: of the model, n coordinates.
        reference: not used.

    Raises:
        MalformedBits: no encoder writes this body.
    """
    return _read(body, layout)[0]


def _read(body: bytes, layout: Layout) -> tuple[Sparse | Vector, int]:
    """As `read`, and the number of distinct indices."""
    bits = BitReader(body)
    options = bits.read_one(8)
    if options & ~(SCALES | BETA):
        raise MalformedBits(f"options {options:#04x}; this version knows the lowest two bits")
    beta = float(struct.unpack(">f", bits.read_one(32).to_bytes(4, "big"))[0]) if options & BETA else None
    steps = bits.read_varint()
    if steps == 0:
        bits.finish()
        return (np.empty(0, np.int64), np.empty(0, np.float32)), 0
    if layout.size == 0:
        raise MalformedBits("there are steps, but the model has no floating-point coordinate")
    try:
        schedule = Schedule.of(layout.size, beta)
    except ValueError as fault:
        raise MalformedBits(str(fault)) from fault
    refreshes = bits.read_varint()
    if refreshes >= steps:
        raise MalformedBits(f"{refreshes} refreshes in {steps} steps")
    scale_codes = bits.read(layout.ends.size if options & SCALES else 0, 16)
    first = bits.read(1, 16)
    indices = bits.read(steps, index_bits_of(layout.size))
    if indices.max() >= layout.size:
        raise MalformedBits(f"index {indices.max()} in a model of {layout.size} coordinates")
    is_large = steps > _MIN_GATHERED + layout.size // _COORDINATES_PER_GATHERED
    distinct_indices = np.empty(0, np.int64) if is_large else np.unique(indices)
    refined = np.zeros(layout.size if is_large else 0, np.bool_)
    if is_large:
        refined[indices] = True
    distinct = int(np.count_nonzero(refined)) if is_large else distinct_indices.size
    if distinct > bits.left:
        raise MalformedBits(f"{distinct} signs; there are {bits.left} bits")
    negative = np.empty(distinct, np.bool_)
    for start in range(0, distinct, _BLOCK):
        negative[start : start + _BLOCK] = bits.read(min(_BLOCK, distinct - start), 1)
    refresh_at = np.concatenate([[0], bits.read(refreshes, width_of(steps))])
    refresh_code = np.concatenate([first, bits.read(refreshes, 16)])
    bits.finish()
    if (np.diff(refresh_at) <= 0).any() or refresh_at[-1] >= steps:
        raise MalformedBits("the refreshes are not in ascending order within the steps")
    if (refresh_code == 0).any():
        raise MalformedBits("an estimate of zero")

    refinement, layer_scales = Refinement(indices, refresh_at, refresh_code), scales_of(scale_codes, layout)
    if is_large:
        return _vector(refinement, schedule, refined, negative, layer_scales, layout), distinct
    indices, sums = magnitudes(refinement, schedule)
    return (indices, _values(indices, sums, negative, layer_scales, layout)), distinct


def _values(
    indices: Integers, sums: Floats, negative: Signs,
    layer_scales: Floats, layout: Layout,
) -> Vector:  # fmt: skip
    """Sums of thresholds with their signs, in units of their layers' scales."""
    scales = layer_scales[np.searchsorted(layout.ends, indices, side="right")]
    if (scales == 0).any():
        raise MalformedBits("an index in a layer whose scale is zero")
    with np.errstate(over="ignore"):
        values: Vector = (np.where(negative, -sums, sums) * scales).astype(np.float32)
    return values


def _vector(
    refinement: Refinement, schedule: Schedule, refined: Signs, negative: Signs,
    layer_scales: Floats, layout: Layout,
) -> Vector:  # fmt: skip
    """The whole vector, computed in blocks."""
    vector, read = np.zeros(layout.size, np.float32), 0
    sums = magnitudes_of_all(refinement, schedule, layout.size)
    for start in range(0, layout.size, _BLOCK):
        indices = start + np.flatnonzero(refined[start : start + _BLOCK])
        flags = negative[read : read + indices.size]
        vector[indices] = _values(indices, sums[indices], flags, layer_scales, layout)
        read += indices.size
    return vector


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes; scales and estimates count as magnitudes."""
    bits = BitReader(body)
    options = bits.read_one(8)
    if options & BETA:
        bits.read_one(32)
    steps = bits.read_varint()
    if steps == 0:
        return BitBreakdown(0, 0, 0)
    refreshes = bits.read_varint()
    scales = layout.ends.size if options & SCALES else 0
    magnitudes = 16 * (scales + 1) + refreshes * (16 + width_of(steps))
    return BitBreakdown(steps * index_bits_of(layout.size), _read(body, layout)[1], magnitudes)


def index_bits_of(n: int) -> int:
    """Bits of an index: ⌈log2 n⌉, at least 1."""
    return max(1, width_of(n))


def scales_of(codes: Integers, layout: Layout) -> Floats:
    """Scales of all layers from their 16-bit codes, shape (layers,); ones if there are no codes."""
    if codes.size == 0:
        return np.ones(layout.ends.size)
    return np.array([decode_minifloat(int(code)) for code in codes])


READER = Reader(1, "surp-paper", read, count_bits)
