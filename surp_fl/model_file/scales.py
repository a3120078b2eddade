"""The section of scales: for each array in the SuRP message, in order, 2 bytes of its unit and 2 of its norm.

Both are 16-bit minifloats (`entropy/minifloat.py`), big-endian; units first, of all arrays, then norms. Either half may
be left out: a byte in front has the bit 1 if there are units (else all are 1), and the bit 2 if there are norms (else
there are no gains).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surp_fl.entropy.minifloat import decode_finite, encode_minifloat
from surp_fl.errors import MalformedMessage

_ONE = encode_minifloat(1.0)
_UNITS, _NORMS = 1, 2


@dataclass(frozen=True)
class Scales:
    """Units and norms of the arrays in the message, by their codes.

    Attributes:
        units: of each array; a coordinate is a multiple of its array's.
        norms: of each array in units, after its gain; 0 for no gain.
    """

    units: Sequence[int]
    norms: Sequence[int]

    def unit(self, place: int) -> float:
        """The unit of an array; exact."""
        return decode_finite(self.units[place])

    def norm(self, place: int) -> float:
        """The norm of an array; exact."""
        return decode_finite(self.norms[place])


def write_scales(scales: Scales) -> bytes:
    """Encode scales.

    >>> len(write_scales(Scales([_ONE, _ONE], [0, 7]))), read_scales(write_scales(Scales([9], [0])), 1)
    (5, Scales(units=[9], norms=[0]))
    """
    has = _UNITS * any(code != _ONE for code in scales.units) + _NORMS * any(scales.norms)
    held = [*(scales.units if has & _UNITS else ()), *(scales.norms if has & _NORMS else ())]
    return bytes([has]) + np.array(held, ">u2").tobytes() if scales.units else b""


def read_scales(section: bytes, count: int) -> Scales:
    """Decode the scales of `count` arrays.

    Raises:
        MalformedMessage: the section is not valid.
    """
    has = section[0] if section else 0
    halves = (has & _UNITS > 0) + (has & _NORMS > 0)
    if len(section) != (1 + 2 * halves * count if count else 0) or has > _UNITS + _NORMS:
        raise MalformedMessage(f"the model file has {len(section)} bytes of scales for {count} arrays, of form {has}")
    codes = np.frombuffer(section[1:], ">u2").tolist()
    units = codes[:count] if has & _UNITS else [_ONE] * count
    if 0 in units:
        raise MalformedMessage("the model file has an array whose unit is 0")
    return Scales(units, codes[-count:] if has & _NORMS else [0] * count)
