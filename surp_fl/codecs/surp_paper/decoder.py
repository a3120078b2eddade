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

import numpy as np

from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.surp_paper.head import check_indices, check_refreshes, index_bits_of, is_dense, read_head
from surp_fl.codecs.surp_paper.refinement import Refinement, magnitudes, magnitudes_of_all
from surp_fl.codecs.surp_paper.scales import scales_of, values_of, vector_of
from surp_fl.entropy.bitio import BitReader, MalformedBits, width_of
from surp_fl.layout import Layout
from surp_fl.types import Floats, Reference, Signs, Sparse, Vector

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
    head = read_head(bits, layout, sides=1)
    if head is None:
        return (np.empty(0, np.int64), np.empty(0, np.float32)), 0
    first = bits.read(1, 16)
    indices = bits.read(head.steps, index_bits_of(layout.size))
    check_indices(indices, layout.size)
    is_large = is_dense(indices.size, layout.size)
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
    refresh_at = np.concatenate([[0], bits.read(head.refreshes, width_of(head.steps))])
    refresh_code = np.concatenate([first, bits.read(head.refreshes, 16)])
    bits.finish()
    check_refreshes(refresh_at, refresh_code, head.steps)

    refinement, layer_scales = Refinement(indices, refresh_at, refresh_code), scales_of(head.scale_codes, layout)
    if is_large:
        sums = magnitudes_of_all(refinement, head.schedule, layout.size)
        _apply_signs(sums, refined, negative)
        return vector_of(sums, refined, layer_scales, layout), distinct
    indices, sums = magnitudes(refinement, head.schedule)
    return (indices, values_of(indices, np.where(negative, -sums, sums), layer_scales, layout)), distinct


def _apply_signs(sums: Floats, refined: Signs, negative: Signs) -> None:
    """Give the refined coordinates their signs, in place and in blocks."""
    read = 0
    for start in range(0, sums.size, _BLOCK):
        indices = start + np.flatnonzero(refined[start : start + _BLOCK])
        flags = negative[read : read + indices.size]
        sums[indices] = np.where(flags, -sums[indices], sums[indices])
        read += indices.size


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes; scales and estimates count as magnitudes."""
    head = read_head(BitReader(body), layout, sides=1)
    if head is None:
        return BitBreakdown(0, 0, 0)
    scales = 0 if head.scale_codes is None else head.scale_codes.size
    magnitudes = 16 * (scales + 1) + head.refreshes * (16 + width_of(head.steps))
    return BitBreakdown(head.steps * index_bits_of(layout.size), _read(body, layout)[1], magnitudes)


READER = Reader(1, "surp-paper", read, count_bits)
