"""The reading end of levels, and their format: those of all coordinates of some layers, one after another.

    step        20 bits           see `step_of`
    offsets     1 bit, or 9       of the magnitude of level 1 in both quantisers: 0 for the usual ones, or 1 and
                                  4 bits each
    layers                        in their order: the code of its mean level; lags of signs, as in sign_lags.py, of
                                  layers that have several rows and columns; then its levels and signs as in
                                  level_coder.py, row by row

The code is an integer of `entropy/adaptive_integer.py`, of depth 4: 0 for a layer of zeros, else 1 and its difference
from the code before (64 at first), zigzag. A level k of a state with quantiser q stands for (2k − q) steps, or level 1
for what the offsets say; the number is rounded to float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.level_coder import decode_layer
from surp_fl.codecs.surp.trellis.level_models import LevelModels
from surp_fl.codecs.surp.trellis.magnitude_context import MEAN_CODES
from surp_fl.codecs.surp.trellis.sign_lags import NO_LAGS, LagModels, may_have_lags
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import decode_bits
from surp_fl.entropy.range_coder import RangeDecoder
from surp_fl.types import Floats, Vector

STEP_BITS, OFFSET_BITS = 20, 4
USUAL_OFFSETS = (7, 5)
_MANTISSA_BITS, _LEAST_EXPONENT = 11, -267  # of a step, as a whole number of 12 bits times a power of two
CODES_DEPTH, FIRST_CODE = 4, 64
LARGEST = float(np.finfo(np.float32).max)


class Layer(NamedTuple):
    """A layer's place in a vector: `rows` × `columns` coordinates from `start` on."""

    start: int
    rows: int
    columns: int


def layers_of(side: SideInformation) -> list[Layer]:
    """The layers that have coordinates, in the order of coding."""
    found = [Layer(*map(int, each)) for each in zip(side.start, side.rows, side.columns, strict=True)]
    return [layer for layer in found if layer.rows * layer.columns > 0]


def matrix_of(vector: Vector, layer: Layer) -> Vector:
    """A view of a layer; shape (rows, columns)."""
    return vector[layer.start : layer.start + layer.rows * layer.columns].reshape(layer.rows, layer.columns)


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


class Read(NamedTuple):
    """What was read of the levels of some layers.

    Attributes:
        complete: whether the bytes determine all of it.
        parts: of the vector, of which something was read.
        sign_bits: of its signs, if they were measured.
    """

    complete: bool
    parts: list[slice]
    sign_bits: float


def read_levels(decoder: RangeDecoder, vector: Vector, layers: Sequence[Layer], measured: bool) -> Read:
    """Read what the levels of some layers stand for.

    Args:
        decoder: of the message, not exhausted.
        vector: filled in; float32, of zeros.
        layers: their places in it.
        measured: whether to add up the bits of signs.

    Raises:
        MalformedBits: no encoder writes this.
    """
    step = int(decode_bits(decoder, STEP_BITS))
    even, odd = USUAL_OFFSETS
    if decode_bits(decoder, 1):
        even, odd = int(decode_bits(decoder, OFFSET_BITS)), int(decode_bits(decoder, OFFSET_BITS))
    if decoder.exhausted():
        return Read(False, [], 0.0)
    if step == 0:
        raise MalformedBits("a step of 0")
    first, models = magnitudes_of(even, odd), LevelModels()
    codes, code, all_lags = AdaptiveInteger(CODES_DEPTH), FIRST_CODE, LagModels()
    parts: list[slice] = []
    for start, rows, columns in layers:
        change = codes.decode(decoder)
        if decoder.exhausted():
            return Read(False, parts, models.sign_bits)
        if change == 0:
            continue
        code += rise_of(change - 1)
        if not 0 < code < MEAN_CODES:
            raise MalformedBits(f"code {code} of a mean level; expected 1 to {MEAN_CODES - 1}")
        lags = all_lags.decode(decoder) if may_have_lags(rows, columns) else NO_LAGS
        if decoder.exhausted():
            return Read(False, parts, models.sign_bits)
        values = vector[start : start + rows * columns]
        unit = step_of(step) / 16
        done = decode_layer(decoder, models, values, columns, code, *lags, first, unit, LARGEST, measured)
        parts.append(slice(start, start + done))
        if decoder.exhausted():
            return Read(False, parts, models.sign_bits)
    return Read(True, parts, models.sign_bits)


def zigzag(rise: int) -> int:
    """The number that stands for a rise or a fall.

    >>> [zigzag(rise) for rise in (0, -1, 1, -2)]
    [0, 1, 2, 3]
    """
    return 2 * rise if rise >= 0 else -2 * rise - 1


def rise_of(number: int) -> int:
    """The rise, or fall if it is negative, that a number stands for.

    >>> [rise_of(zigzag(rise)) for rise in (0, -1, 1, -2)]
    [0, -1, 1, -2]
    """
    return -((number + 1) >> 1) if number & 1 else number >> 1
