"""The reading end of the trellis mode, and its format: every coordinate's level, layer by layer, in a range coder.

    mode        2, 2 and 2 bits   3, 3 and 0
    step        16 bits           a minifloat
    offsets     4 bits each       of the magnitude of level 1 in both quantisers
    layers                        in the order of coding, those without coordinates left out: the code of its mean
                                  level, then its levels as in level_coder.py, row by row

The code is an integer of `entropy/adaptive_integer.py`, of depth 4: 0 for a layer of zeros, else 1 and its difference
from the code before (64 at first), zigzag. A level k of a state with quantiser q stands for (2k − q) steps, or level 1
for what the offsets say. The bytes may end anywhere: coordinates that they do not determine are 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surp_fl.codecs.reader import BitBreakdown
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.level_coder import LevelModels, decode_layer
from surp_fl.codecs.surp.trellis.magnitude_context import MEAN_CODES
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import decode_bits
from surp_fl.entropy.minifloat import decode_minifloat
from surp_fl.entropy.range_coder import RangeDecoder
from surp_fl.types import Floats, Vector

TRELLIS = 3  # in two bits each, twice
STEP_BITS, OFFSET_BITS = 16, 4
CODES_DEPTH, FIRST_CODE = 4, 64
_MODE_BITS = 6
_MOST = float(np.finfo(np.float32).max)


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


def is_trellis(body: bytes) -> bool:
    """Whether a body is of this mode."""
    decoder = RangeDecoder(body)
    return bool(decode_bits(decoder, 2) == TRELLIS and decode_bits(decoder, 2) == TRELLIS)


def read_trellis(
    body: bytes, n: int, side: SideInformation, measured: bool = False
) -> tuple[Vector, int, BitBreakdown]:
    """Decode a body.

    Args:
        body: without the frame.
        n: coordinates.
        side: the layers, without a context.
        measured: whether to count the bits of signs.

    Returns:
        The vector, how many coordinates of it are not 0, and what its bits are for; magnitudes are all but signs.

    Raises:
        MalformedBits: no encoder writes this body.
    """
    decoder, vector = RangeDecoder(body), np.zeros(n, np.float32)
    decoder.grant(n)
    found, models = 0, LevelModels()
    ended = _read(decoder, vector, side, models, measured)
    found = ended[1]
    if decoder.overdrawn:
        raise MalformedBits("it asks for more work than its bytes are worth")
    if ended[0] and not decoder.fully_consumed():
        raise MalformedBits("something after the last layer")
    bits = decoder.bits_read() if measured else 0.0
    return vector, found, BitBreakdown(0.0, models.sign_bits, max(bits - models.sign_bits - _MODE_BITS, 0.0))


def _read(
    decoder: RangeDecoder, vector: Vector, side: SideInformation, models: LevelModels, measured: bool
) -> tuple[bool, int]:
    """Whether all layers were read, and how many coordinates are not 0."""
    for _ in range(2):
        decode_bits(decoder, 2)
    mode, step = decode_bits(decoder, 2), decode_bits(decoder, STEP_BITS)
    first = magnitudes_of(decode_bits(decoder, OFFSET_BITS), decode_bits(decoder, OFFSET_BITS))
    if decoder.exhausted():
        return False, 0
    if mode != 0 or step == 0:
        raise MalformedBits(f"mode {mode} with the step of code {step}; this version knows mode 0, and no step is 0")
    codes, code, found = AdaptiveInteger(CODES_DEPTH), FIRST_CODE, 0
    for start, rows, columns in layers_of(side):
        change = codes.decode(decoder)
        if decoder.exhausted():
            return False, found
        if change == 0:
            continue
        code += (change - 1) >> 1 if change & 1 else -(change >> 1)
        if not 0 < code < MEAN_CODES:
            raise MalformedBits(f"code {code} of a mean level; expected 1 to {MEAN_CODES - 1}")
        values = vector[start : start + rows * columns]
        unit = decode_minifloat(step) / 16
        found += decode_layer(decoder, models, values, columns, code, first, unit, _MOST, measured)
        if decoder.exhausted():
            return False, found
    return True, found
