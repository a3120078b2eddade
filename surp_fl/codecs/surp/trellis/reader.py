"""The reading end of the trellis mode, and its format: every coordinate's level, layer by layer, in a range coder.

    mode        2, 2 and 2 bits   3, 3 and 0; or 1, where rank-one terms follow
    terms                         how many, as `encode_uint`; then each, as in rank_one.py
    step        20 bits           see `step_of`
    offsets     1 bit, or 9       of the magnitude of level 1 in both quantisers: 0 for the usual ones, or 1 and
                                  4 bits each
    layers                        in the order of coding, those without coordinates left out: the code of its mean
                                  level; lags of signs, as in sign_lags.py, of layers that have several rows and
                                  columns; then its levels and signs as in level_coder.py, row by row

The code is an integer of `entropy/adaptive_integer.py`, of depth 4: 0 for a layer of zeros, else 1 and its difference
from the code before (64 at first), zigzag. A level k of a state with quantiser q stands for (2k − q) steps, or level 1
for what the offsets say; the number is rounded to float32, then added to the sum of the terms. The bytes may end
anywhere: coordinates that they do not determine are 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from surp_fl.codecs.reader import BitBreakdown
from surp_fl.codecs.surp.groups import GroupReader
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.level_coder import decode_layer
from surp_fl.codecs.surp.trellis.level_models import LevelModels
from surp_fl.codecs.surp.trellis.magnitude_context import MEAN_CODES
from surp_fl.codecs.surp.trellis.sign_lags import NO_LAGS, LagModels, may_have_lags
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import decode_bits
from surp_fl.entropy.range_coder import RangeDecoder
from surp_fl.types import Floats, Update, Vector
from surp_fl.updates import compact

TRELLIS, MODE, MODE_WITH_TERMS = 3, 0, 1  # in two bits each, the first one twice
STEP_BITS, OFFSET_BITS = 20, 4
USUAL_OFFSETS = (7, 5)
_MANTISSA_BITS, _LEAST_EXPONENT = 11, -267  # of a step, as a whole number of 12 bits times a power of two
CODES_DEPTH, FIRST_CODE = 4, 64
_MODE_BITS = 6
_LARGEST = float(np.finfo(np.float32).max)


class Layer(NamedTuple):
    """A layer's place in a vector: `rows` × `columns` coordinates from `start` on."""

    start: int
    rows: int
    columns: int


def layers_of(side: SideInformation) -> list[Layer]:
    """The layers that have coordinates, in the order of coding."""
    found = [Layer(*map(int, each)) for each in zip(side.start, side.rows, side.columns, strict=True)]
    return [layer for layer in found if layer.rows * layer.columns > 0]


def magnitudes_of(even: int, odd: int) -> Floats:
    """Magnitudes of level 1 in both quantisers, in sixteenths of a step, by their codes.

    >>> magnitudes_of(8, 0)
    array([32., 16.])
    """
    return np.array([24.0 + even, 16.0 + odd])


def step_of(code: int) -> float:
    """The step of a code, 1 to 2^20 − 1: 11 bits are a mantissa without the leading 1, the upper ones an exponent.

    >>> step_of(code_of_step(1.0)), step_of(code_of_step(0.3)) / 0.3 > 1 - 2**-11
    (1.0, True)
    """
    mantissa = (1 << _MANTISSA_BITS) + (code & ((1 << _MANTISSA_BITS) - 1))
    return math.ldexp(mantissa, (code >> _MANTISSA_BITS) + _LEAST_EXPONENT)


def code_of_step(step: float) -> int:
    """The code of the largest step that is not larger, or the least one."""
    mantissa, exponent = math.frexp(step)
    above = int(math.ldexp(mantissa, _MANTISSA_BITS + 1)) - (1 << _MANTISSA_BITS)
    code = ((exponent - _MANTISSA_BITS - 1 - _LEAST_EXPONENT) << _MANTISSA_BITS) + above
    return min(max(code, 1), (1 << STEP_BITS) - 1)


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
        MalformedBits: no encoder writes this body. Values beyond float32, which sums with terms may have, are left.
    """
    decoder, vector, models = RangeDecoder(body), np.zeros(n, np.float32), LevelModels()
    decoder.grant(n)
    terms = GroupReader(decoder, n, side)
    complete, decoded = _read(decoder, vector, side, models, terms, measured)
    if decoder.overdrawn:
        raise MalformedBits("it asks for more work than its bytes are worth")
    if complete and not decoder.fully_consumed():
        raise MalformedBits("something after the last layer")
    signs = models.sign_bits + terms.sign_bits
    breakdown = BitBreakdown(terms.index_bits, signs, max(8.0 * len(body) - _MODE_BITS - signs - terms.index_bits, 0.0))
    if terms.is_dense:
        with np.errstate(over="ignore"):
            return (vector + np.asarray(terms.sums)).astype(np.float32), breakdown
    return compact(vector, decoded), breakdown


def _read(
    decoder: RangeDecoder,
    vector: Vector,
    side: SideInformation,
    models: LevelModels,
    terms: GroupReader,
    measured: bool,
) -> tuple[bool, list[slice]]:
    """Whether all layers were read, and which parts of the vector."""
    for _ in range(2):  # TRELLIS, as `is_trellis` saw
        decode_bits(decoder, 2)
    mode = decode_bits(decoder, 2)
    if decoder.exhausted() and decoder.is_whole():
        raise MalformedBits("bytes that stand for no symbol")
    if decoder.exhausted():
        return False, []
    if mode not in (MODE, MODE_WITH_TERMS):
        raise MalformedBits(f"mode {mode} of the trellis; this version knows 0, and 1 with terms")
    if mode == MODE_WITH_TERMS and terms.read_terms():
        raise MalformedBits("terms of no possible number or magnitude")
    step = decode_bits(decoder, STEP_BITS)
    even, odd = USUAL_OFFSETS
    if decode_bits(decoder, 1):
        even, odd = decode_bits(decoder, OFFSET_BITS), decode_bits(decoder, OFFSET_BITS)
    if decoder.exhausted():
        return False, []
    if step == 0:
        raise MalformedBits("a step of 0")
    first = magnitudes_of(even, odd)
    codes, code, all_lags = AdaptiveInteger(CODES_DEPTH), FIRST_CODE, LagModels()
    decoded: list[slice] = []
    for start, rows, columns in layers_of(side):
        change = codes.decode(decoder)
        if decoder.exhausted():
            return False, decoded
        if change == 0:
            continue
        code += (change - 1) >> 1 if change & 1 else -(change >> 1)
        if not 0 < code < MEAN_CODES:
            raise MalformedBits(f"code {code} of a mean level; expected 1 to {MEAN_CODES - 1}")
        lags = all_lags.decode(decoder) if may_have_lags(rows, columns) else NO_LAGS
        if decoder.exhausted():
            return False, decoded
        values = vector[start : start + rows * columns]
        unit = step_of(step) / 16
        done = decode_layer(decoder, models, values, columns, code, *lags, first, unit, _LARGEST, measured)
        decoded.append(slice(start, start + done))
        if decoder.exhausted():
            return False, decoded
    return True, decoded
