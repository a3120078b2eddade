"""Groups of coordinates that share a magnitude ↔ a range coder; the format is described in `decoder.py`.

Encoder and decoder mirror each other. Knows sets and codes of magnitudes. Does not know gains, or budgets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.coded_state import CodedState
from surp_fl.codecs.surp.index_set import decode_set, encode_set
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one import MAX_TERMS, TermReader
from surp_fl.entropy.integers import decode_bits, decode_uint, encode_bits, encode_uint
from surp_fl.entropy.minifloat import MAX_CODE, decode_finite, encode_minifloat, to_float
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Flags, Floats, Integers

CODE_BITS = 13
DROPPED_BITS = 16 - CODE_BITS  # lowest mantissa bits of the 16-bit code that are not sent
MAX_INDICES = (1 << 17) - 1  # in a group
MAX_GROUPS = 4096  # in a message
DISJOINT_IN_16 = 15  # probability that a group is disjoint, in sixteenths; part of the format, set by hand
MALFORMED, OVERDRAWN = 1, 2  # faults: what no encoder writes; more work than the credit
_MIN_GATHERED, _COORDINATES_PER_GATHERED = 4096, 8  # indices in any model; coordinates for one more
# as C numbers
_CODE_BITS, _DROPPED_BITS, _MAX_INDICES, _MAX_GROUPS = CODE_BITS, DROPPED_BITS, MAX_INDICES, MAX_GROUPS
_DISJOINT, _MALFORMED, _OVERDRAWN = DISJOINT_IN_16, MALFORMED, OVERDRAWN
_MAX_TERMS, _WITH_TERMS = MAX_TERMS, 3
_MAX_VALUE = decode_finite(MAX_CODE)


def write_group(
    encoder: RangeEncoder, previous_code: int, code: int, coordinates: Integers, negative: Flags,
    side: SideInformation, state: CodedState, disjoint: bool,
) -> None:  # fmt: skip
    """Write one group.

    Args:
        encoder: of the message.
        previous_code: of the magnitude of the group before it; 0 for none.
        code: of its magnitude, 13 bits.
        coordinates: int64, shape (k,).
        negative: uint8, shape (k,).
        side: what the decoder holds.
        state: after the earlier groups; updated.
        disjoint: whether no coordinate is in an earlier group.
    """
    encode_uint(encoder, len(coordinates))
    if previous_code == 0:
        encode_bits(encoder, code, _CODE_BITS)
    else:
        rise = code - previous_code
        encode_uint(encoder, 2 * rise if rise >= 0 else -2 * rise - 1)
        if disjoint:
            encoder.encode(0, _DISJOINT, _DISJOINT + 1)
        else:
            encoder.encode(_DISJOINT, 1, _DISJOINT + 1)
    encode_set(encoder, coordinates, negative, side, state, disjoint)


class GroupReader:
    """Reads all groups of a body: coordinates with their codes; or, if there are many, sums at all of the model.

    Args:
        decoder: of a message, with credit for n coordinates.
        n: coordinates of the model.
        side: what the encoder held.

    Attributes:
        is_dense: whether there were so many coordinates that `sums` holds the result.
        sums: float64, shape (n,), if `is_dense`.
        index_bits: bits of indices.
        sign_bits: bits of signs.
        magnitude_bits: bits of magnitudes.
    """

    def __init__(self, decoder: RangeDecoder, n: int, side: SideInformation) -> None:
        self._decoder, self._n, self._side, self._state = decoder, n, side, CodedState(side)
        self._coordinates, self._codes, self._size = np.empty(256, np.int64), np.empty(256, np.int16), 0
        self.is_dense, self.sums = False, np.empty(0)
        self.index_bits = self.sign_bits = self.magnitude_bits = 0.0

    def read_context_and_groups(self) -> int:
        """Read a whole body: context, terms if there are any, and groups; gives 0, MALFORMED or OVERDRAWN."""
        fault = 0
        if decode_bits(self._decoder, 2) == _WITH_TERMS:  # or the context
            decode_bits(self._decoder, 2)
            fault = self.read_terms()
        if fault == 0:
            return self.read_groups()
        return _OVERDRAWN if self._decoder.overdrawn else fault

    def read_groups(self) -> int:
        """Read all groups; gives 0, MALFORMED or OVERDRAWN."""
        decoder = self._decoder
        code = groups = fault = 0
        while fault == 0 and not decoder.exhausted():
            k = decode_uint(decoder)
            if decoder.exhausted():
                break
            if k == 0:
                fault = 0 if decoder.fully_consumed() else _MALFORMED
                break
            groups += 1
            if k < 0 or k > _MAX_INDICES or k > self._n or groups > _MAX_GROUPS:
                fault = _MALFORMED
                break
            code = self._read_code(code)
            if decoder.exhausted():
                break
            if code <= 0 or code >> _CODE_BITS > 0:
                fault = _MALFORMED
                break
            disjoint = groups == 1 or self._read_disjoint()
            if decoder.exhausted():
                break
            if k > self._state.capacity(disjoint):
                fault = _MALFORMED
            else:
                self._read_set(k, code, disjoint)
        return _OVERDRAWN if decoder.overdrawn else fault

    def read_terms(self) -> int:
        """Read rank-one terms; gives 0 or MALFORMED."""
        decoder = self._decoder
        terms = decode_uint(decoder)
        if decoder.exhausted():
            return 0
        if terms <= 0 or terms > _MAX_TERMS:
            return _MALFORMED
        reader = TermReader(self._side)
        self.is_dense, self.sums = True, np.zeros(self._n)
        for _ in range(terms):
            bits_before = decoder.bits_read()
            reader.read(decoder)
            if decoder.exhausted():
                return 0
            if reader.code == 0:
                return _MALFORMED
            reader.add_to(self.sums, _value(reader.code))
            self.sign_bits += reader.sign_bits
            self.magnitude_bits += reader.magnitude_bits
            self.index_bits += decoder.bits_read() - bits_before - reader.sign_bits - reader.magnitude_bits
        return 0

    def coordinates(self) -> Integers:
        """Coordinates in the order of coding, some of which may occur several times; unless `is_dense`."""
        return np.asarray(self._coordinates)[: self._size]

    def codes(self) -> NDArray[np.int16]:
        """The code of each coordinate's magnitude, negative for negative numbers."""
        return np.asarray(self._codes)[: self._size]

    def _read_code(self, previous: int) -> int:
        """Read a magnitude; 0 is not valid."""
        bits_before = self._decoder.bits_read()
        if previous == 0:
            code = decode_bits(self._decoder, _CODE_BITS)
        else:
            change = decode_uint(self._decoder)
            if change < 0:
                code = 0
            elif change & 1 == 0:
                code = previous + (change >> 1)
            else:
                code = previous - ((change + 1) >> 1)
        if not self._decoder.exhausted():
            self.magnitude_bits += self._decoder.bits_read() - bits_before
        return code

    def _read_disjoint(self) -> bool:
        return not self._decoder.decode_flag(_DISJOINT, _DISJOINT + 1)

    def _read_set(self, k: int, code: int, disjoint: bool) -> None:
        """Read the coordinates and signs of a group, and add them to the result."""
        if self.is_dense:
            self._size = 0
        self._reserve(self._size + k)
        bits_before = self._decoder.bits_read()
        end = self._size + k
        negative = np.empty(k, np.uint8)
        flags = negative
        read, sign_bits = decode_set(
            self._decoder, self._coordinates[self._size : end], flags, self._side, self._state, disjoint
        )
        self.sign_bits += sign_bits
        self.index_bits += self._decoder.bits_read() - bits_before - sign_bits
        for i in range(read):
            self._codes[self._size + i] = -code if flags[i] else code
        self._size += read
        if not self.is_dense and self._size > _MIN_GATHERED + self._n // _COORDINATES_PER_GATHERED:
            self.is_dense, self.sums = True, np.zeros(self._n)
        if self.is_dense:
            self._add_to_sums()

    def _reserve(self, size: int) -> None:
        """Make room for so many coordinates."""
        if size > len(self._coordinates):
            more = 2 * size - len(self._coordinates)
            self._coordinates = np.append(self._coordinates, np.empty(more, np.int64))
            self._codes = np.append(self._codes, np.empty(more, np.int16))

    def _add_to_sums(self) -> None:
        """Add the gathered numbers, some of which may be at the same coordinate."""
        for i in range(self._size):
            self.sums[self._coordinates[i]] += _value(self._codes[i])


def nearest_code(magnitude: float) -> int:
    """The nearest 13-bit code of a magnitude, at least 1."""
    nearest = (encode_minifloat(magnitude) + (1 << DROPPED_BITS - 1)) >> DROPPED_BITS
    return min(max(nearest, 1), (1 << CODE_BITS) - 1)


def magnitude_of(code: int) -> float:
    """The magnitude of a 13-bit code."""
    return decode_finite(code << DROPPED_BITS)


def values_of_codes(codes: NDArray[np.int16]) -> Floats:
    """Numbers of codes; negative codes give negative numbers.

    Args:
        codes: 13 bits and a sign; int16, shape (k,).

    Returns:
        float64, shape (k,).
    """
    found = np.empty(len(codes))
    values = found
    for i in range(len(codes)):
        values[i] = _value(codes[i])
    return found


def _value(code: int) -> float:
    magnitude = int(code if code > 0 else -code)
    value = min(to_float(magnitude << _DROPPED_BITS), _MAX_VALUE)
    return value if code > 0 else -value
