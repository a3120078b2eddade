"""The reading end of the paper's Algorithm 1, and its format: every index in ⌈log2 n⌉ bits, and no signs.

    options      8 bits   bit 0: scales are sent; bit 1: β is sent; the rest 0
    β            32 bits  IEEE float32, only with its option
    steps        varint   0 ends the message
    refreshes    varint   without the first estimate
    scales       16 bits  each layer, only with its option
    means        16 bits  the first estimate of 1/λ, and each refresh
    sides        2 bits   each of these: 1 positive, 2 negative, 3 both are refined by the steps that follow
    refresh at   ⌈log2 steps⌉ bits each, ascending; the first may be 0: then it follows the first estimate at once
    indices      ⌈log2 n⌉ bits (at least 1), one each step, or two where both sides are refined, the positive one first

With τ = mean·ln(n/2β), a step adds τ at its positive index and −τ at its negative one; mean is then multiplied by
(n − k·ln(n/2β)·(mean/average))/n, for k indices, and so is average, which begins as the first estimate. The factor is
computed in float64 at each estimate, from left to right, and holds until the next one. No estimate is above what mean
was. ln(n/2β) is rounded to a multiple of 2^−32. Where β is not sent, it is ln n, and ln(n/2β) = 1/4 for n ≤ 2. An index
is positive or negative in all of its steps.

Knows bits, and the decoder's side of `refinement.py`.
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.surp_laplacian.refinement import PairRefinement, picks_of, signed_sums, signed_sums_of_all
from surp_fl.codecs.surp_paper.head import check_indices, check_refreshes, index_bits_of, is_dense, read_head
from surp_fl.codecs.surp_paper.scales import scales_of, values_of, vector_of
from surp_fl.entropy.bitio import BitReader, MalformedBits, width_of
from surp_fl.layout import Layout
from surp_fl.types import Reference, Sparse, Vector

SIDE_BITS = 2


def read(body: bytes, layout: Layout, reference: Reference) -> Sparse | Vector:
    """Decode a body to indices and values, or to the whole vector if there are many steps.

    Args:
        body: without the frame.
        layout: of the model, n coordinates.
        reference: not used.

    Raises:
        MalformedBits: no encoder writes this body.
    """
    bits = BitReader(body)
    head = read_head(bits, layout, sides=2)
    if head is None:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    refresh_code = bits.read(head.refreshes + 1, 16)
    refresh_sides = bits.read(head.refreshes + 1, SIDE_BITS)
    refresh_at = np.concatenate([[0], bits.read(head.refreshes, width_of(head.steps))])
    twofold = int(head.refreshes > 0 and refresh_at[1] == 0)
    check_refreshes(refresh_at[twofold:], refresh_code, head.steps)
    if (refresh_sides == 0).any():
        raise MalformedBits("steps that refine neither side")
    indices = bits.read(picks_of(refresh_at, refresh_sides, head.steps), index_bits_of(layout.size))
    bits.finish()
    check_indices(indices, layout.size)

    refinement = PairRefinement(head.steps, indices, refresh_at, refresh_code, refresh_sides)
    layer_scales = scales_of(head.scale_codes, layout)
    try:
        if not is_dense(indices.size, layout.size):
            distinct, sums = signed_sums(refinement, head.schedule, layout.size)
            return distinct, values_of(distinct, sums, layer_scales, layout)
        sums = signed_sums_of_all(refinement, head.schedule, layout.size)
    except ValueError as fault:
        raise MalformedBits(str(fault)) from fault
    refined = np.zeros(layout.size, np.bool_)
    refined[indices] = True
    return vector_of(sums, refined, layer_scales, layout)


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs (the sides) and magnitudes (scales and estimates)."""
    bits = BitReader(body)
    head = read_head(bits, layout, sides=2)
    if head is None:
        return BitBreakdown(0, 0, 0)
    scales = 0 if head.scale_codes is None else head.scale_codes.size
    estimates, width = head.refreshes + 1, width_of(head.steps)
    bits.read(estimates, 16)
    sides = bits.read(estimates, SIDE_BITS)
    refresh_at = np.concatenate([[0], bits.read(head.refreshes, width)])
    indices = picks_of(refresh_at, sides, head.steps) * index_bits_of(layout.size)
    return BitBreakdown(indices, SIDE_BITS * estimates, 16 * (scales + estimates) + width * head.refreshes)


READER = Reader(8, "surp-laplacian", read, count_bits)
