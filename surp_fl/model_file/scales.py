"""The section of scales: of each array in the SuRP message, in order, its unit, its norm, and its rows' shares of that.

A byte in front says which of three parts there are. With its bit 1: units, a 16-bit minifloat (`entropy/minifloat.py`)
each, big-endian; else all are 1. With bit 2: norms, one each; else there are no gains. With bit 4, of arrays of enough
columns: a range coder's symbols, for each row the eighths of an octave by which its norm is above an even share,
zigzag, in an adaptive model (`entropy/adaptive_integer.py`) of depth 4; else each array has one gain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surp_fl.bit_patterns import unzigzag, zigzag
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.minifloat import decode_finite, encode_minifloat
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.errors import MalformedMessage
from surp_fl.layout import Layout
from surp_fl.model_file.small_arrays import read_numbers
from surp_fl.types import Floats, Integers

_ONE = encode_minifloat(1.0)
_UNITS, _NORMS, _ROWS = 1, 2, 4
_MIN_COLUMNS = 128  # of an array whose rows have norms of their own
MAX_ROWS = 1 << 20  # of all arrays that have such rows: with more, none has
_DEPTH = 4
_MOST = 1024  # eighths of an octave
_CAPACITY_EACH, _CAPACITY = 10, 64  # bytes a row, and all: more than any needs
_ROOT = math.sqrt(2.0)
_QUARTER = math.sqrt(_ROOT)
_EIGHTH = math.sqrt(_QUARTER)  # roots are the same on every machine, where powers may differ in the last place
_EIGHTHS = np.array(
    [1.0, _EIGHTH, _QUARTER, _QUARTER * _EIGHTH, _ROOT, _ROOT * _EIGHTH, _ROOT * _QUARTER, _ROOT * _QUARTER * _EIGHTH]
)


@dataclass(frozen=True)
class Scales:
    """Units and norms of the arrays in the message, by their codes.

    Attributes:
        units: of each array; a coordinate is a multiple of its array's.
        norms: of each array in units, after its gains; 0 for no gain.
        shares: eighths of an octave for each row of each array, int64, shape (rows,); empty for arrays with one gain.
    """

    units: Sequence[int]
    norms: Sequence[int]
    shares: Sequence[Integers] = ()

    def unit(self, place: int) -> float:
        """The unit of an array; exact."""
        return decode_finite(self.units[place])

    def rows(self, place: int) -> int:
        """How many gains an array has."""
        return max(1, len(self.shares[place])) if self.shares else 1

    def row_norms(self, place: int) -> Floats:
        """The norm of each row of an array, or of all of it; float64, shape (rows,), the same on every machine."""
        norm, rows = decode_finite(self.norms[place]), self.rows(place)
        if rows == 1:
            return np.array([norm])
        octaves, eighths = np.divmod(self.shares[place], len(_EIGHTHS))
        return np.ldexp(norm / math.sqrt(rows) * _EIGHTHS[eighths], octaves)


def rows_of(layout: Layout) -> list[int]:
    """Into how many rows each array is divided that may have norms of their own: its first axis, or one."""
    rows = [spec.shape[0] if len(spec.shape) > 1 else 1 for spec in layout.floats]
    found = [
        count if count > 1 and spec.size >= _MIN_COLUMNS * count else 1
        for count, spec in zip(rows, layout.floats, strict=True)
    ]
    return found if sum(found) - found.count(1) <= MAX_ROWS else [1] * len(found)


def scales_of(units: Sequence[int], norms: Sequence[Floats]) -> Scales:
    """The codes of units and of each array's norms by rows; a code of 0 where all norms of an array are 0.

    Args:
        units: their codes.
        norms: of each array; float64, shape (rows,), not negative.
    """
    whole = [math.sqrt(float(np.square(each).sum())) for each in norms]
    shares = []
    for each, norm in zip(norms, whole, strict=True):
        known = each > 0
        octaves = np.log2(np.where(known, each, 1.0) * math.sqrt(len(each)) / (norm or 1.0))
        code = np.where(known, np.rint(len(_EIGHTHS) * octaves), 0).astype(np.int64)
        shares.append(np.clip(code, -_MOST, _MOST) if len(each) > 1 else np.empty(0, np.int64))
    return Scales(units, [encode_minifloat(norm) for norm in whole], shares if any(map(len, shares)) else ())


def write_scales(scales: Scales) -> bytes:
    """Encode scales.

    >>> len(write_scales(Scales([_ONE, _ONE], [0, 7]))), len(write_scales(Scales([_ONE], [0])))
    (5, 1)
    """
    if not scales.units:
        return b""
    has = _UNITS * any(code != _ONE for code in scales.units) + _NORMS * any(scales.norms) + _ROWS * bool(scales.shares)
    held = [*(scales.units if has & _UNITS else ()), *(scales.norms if has & _NORMS else ())]
    return bytes([has]) + np.array(held, ">u2").tobytes() + (_coded(scales.shares) if scales.shares else b"")


def read_scales(section: bytes, layout: Layout) -> Scales:
    """Decode the scales of the arrays of a layout.

    Raises:
        MalformedMessage: the section is not valid.
    """
    count = len(layout.floats)
    has = section[0] if section else 0
    end = 1 + 2 * ((has & _UNITS > 0) + (has & _NORMS > 0)) * count if count else 0
    if (len(section) != end if has & _ROWS == 0 else len(section) <= end) or has > _UNITS + _NORMS + _ROWS:
        raise MalformedMessage(f"the model file has {len(section)} bytes of scales for {count} arrays, of form {has}")
    codes = np.frombuffer(section[1:end], ">u2").tolist()
    units = codes[:count] if has & _UNITS else [_ONE] * count
    if 0 in units:
        raise MalformedMessage("the model file has an array whose unit is 0")
    rows = rows_of(layout)
    if has & _ROWS and (not has & _NORMS or max(rows) == 1):
        raise MalformedMessage("the model file has shares of norms that no array has")
    shares = _decoded(section[end:], rows) if has & _ROWS else ()
    return Scales(units, codes[-count:] if has & _NORMS else [0] * count, shares)


def _coded(shares: Sequence[Integers]) -> bytes:
    encoder = RangeEncoder(_CAPACITY + _CAPACITY_EACH * sum(map(len, shares)))
    model = AdaptiveInteger(_DEPTH)
    for each in shares:
        for number in zigzag(each).tolist():
            model.encode(encoder, number)
    return encoder.finish()


def _decoded(section: bytes, rows: Sequence[int]) -> list[Integers]:
    decoder, model = RangeDecoder(section), AdaptiveInteger(_DEPTH)
    found = []
    for count in rows:
        found.append(unzigzag(read_numbers(decoder, model, count if count > 1 else 0, "norms of rows")))
        if (np.abs(found[-1]) > _MOST).any():
            raise MalformedMessage("the norms of rows in the model file are not valid")
    if not decoder.fully_consumed():
        raise MalformedMessage("something follows the scales of the model file")
    return found
