"""The reading end of the trellis mode, and its format: a level for every coordinate, beside terms or factors of layers.

    mode        2, 2 and 2 bits   3, 3 and 0; or 1, where rank-one terms follow; or 2, where low-rank factors do
    terms                         how many, as `encode_uint`; then each, as in rank_one.py
    factors                       as in factors.py
    levels                        as in level_reader.py, of the layers in the order of coding, those without
                                  coordinates left out

Each value is added to the sum of the terms, or of the products of factors. The bytes may end anywhere: coordinates that
they do not determine are 0.
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.reader import BitBreakdown
from surp_fl.codecs.surp.groups import GroupReader
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.factors import NO_FACTORS, read_factors
from surp_fl.codecs.surp.trellis.level_reader import Read, layers_of, read_levels
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import decode_bits
from surp_fl.entropy.range_coder import RangeDecoder
from surp_fl.types import Update
from surp_fl.updates import compact

TRELLIS, MODE, MODE_WITH_TERMS, MODE_WITH_FACTORS = 3, 0, 1, 2  # in two bits each, the first one twice
_MODE_BITS = 6


def is_trellis(body: bytes) -> bool:
    """Whether a body is of this mode."""
    decoder = RangeDecoder(body)
    return bool(decode_bits(decoder, 2) == TRELLIS and decode_bits(decoder, 2) == TRELLIS)


def read_trellis(body: bytes, n: int, side: SideInformation, measured: bool = False) -> tuple[Update, BitBreakdown]:
    """Decode a body.

    Args:
        body: without the frame.
        n: coordinates.
        side: the layers, without a context.
        measured: whether to count the bits of signs.

    Returns:
        The update, and what its bits are for: magnitudes are all but signs and the indices of terms.

    Raises:
        MalformedBits: no encoder writes this body. Values beyond float32, which sums may have, are left.
    """
    decoder, vector = RangeDecoder(body), np.zeros(n, np.float32)
    decoder.grant(n)
    terms, factors, levels = GroupReader(decoder, n, side), NO_FACTORS, Read(False, [], 0.0)
    if (mode := _read_mode(decoder)) == MODE_WITH_TERMS and terms.read_terms():
        raise MalformedBits("terms of no possible number or magnitude")
    if mode == MODE_WITH_FACTORS:
        factors = read_factors(decoder, side, measured)
    if not decoder.exhausted():
        levels = read_levels(decoder, vector, layers_of(side), measured)
    if decoder.overdrawn:
        raise MalformedBits("it asks for more work than its bytes are worth")
    if levels.complete and not decoder.fully_consumed():
        raise MalformedBits("something after the last layer")
    signs = terms.sign_bits + factors.sign_bits + levels.sign_bits
    breakdown = BitBreakdown(terms.index_bits, signs, max(8.0 * len(body) - _MODE_BITS - signs - terms.index_bits, 0.0))
    with np.errstate(over="ignore"):
        if terms.is_dense:  # summed in float64, then rounded
            np.add(vector, np.asarray(terms.sums), out=vector, casting="same_kind")
        factors.add_to(vector)
    if terms.is_dense or factors.shapes:
        return vector, breakdown
    return compact(vector, levels.parts), breakdown


def _read_mode(decoder: RangeDecoder) -> int:
    """What comes before the levels; MODE if the bytes do not determine it."""
    for _ in range(2):  # TRELLIS, as `is_trellis` saw
        decode_bits(decoder, 2)
    mode = decode_bits(decoder, 2)
    if decoder.exhausted() and decoder.is_whole():
        raise MalformedBits("bytes that stand for no symbol")
    if decoder.exhausted():
        return MODE
    if mode not in (MODE, MODE_WITH_TERMS, MODE_WITH_FACTORS):
        raise MalformedBits(f"mode {mode} of the trellis; this version knows 0, 1 with terms, and 2 with factors")
    return int(mode)
