"""The reading end of SuRP, and its format: groups of coordinates that share a magnitude, in a range coder.

Every symbol is range coded, in the context of what both ends hold:

    context      2 bits   0: none; 1: the model that the client was sent; 2: that, and the one it was sent before
    groups                until a count of zero, or until the bytes do not determine the next symbol
      count      k, as `encode_uint` of entropy/integers.py
      magnitude  13 bits (9 of exponent, 4 of mantissa) for the first group; then the change of that code, as
                 `encode_uint`: twice a rise, or twice a fall less one
      disjoint   whether no coordinate is in an earlier group; not sent for the first group, which is disjoint
      set        k coordinates and their signs, as in index_set.py
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.codecs.reader import BitBreakdown
from surp_fl.codecs.surp.coded_state import capacity, nothing_coded
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.index_set import decode_set
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import decode_bits, decode_uint
from surp_fl.entropy.minifloat import MAX_CODE, decode_finite, to_float
from surp_fl.entropy.range_coder import (
    Bytes,
    bits_read,
    decode_target,
    decode_update,
    exhausted,
    fully_consumed,
    grant,
    new_decoder,
    overdrawn,
)
from surp_fl.layout import Layout
from surp_fl.types import Floats, Integers, Reference, Update

NO_CONTEXT, MODEL, HISTORY = 0, 1, 2
_NEEDS = {
    MODEL: "the model that the client was sent",
    HISTORY: "the model that the client was sent and the one that it was sent before",
}
CODE_BITS = 13
DROPPED_BITS = 16 - CODE_BITS  # lowest mantissa bits of the 16-bit code that are not sent
MAX_INDICES = (1 << 17) - 1  # in a group
MAX_GROUPS = 4096  # in a message
DISJOINT_IN_16 = 15  # probability that a group is disjoint, in sixteenths; part of the format, set by hand
_MIN_GATHERED, _COORDINATES_PER_GATHERED = 4096, 8  # indices in any model; coordinates for one more
_MALFORMED, _OVERDRAWN = 1, 2  # faults: what no encoder writes; more work than the credit
_MAX_VALUE = decode_finite(MAX_CODE)


@njit(cache=True)
def _values(codes: NDArray[np.int16]) -> Floats:
    """Numbers of codes; negative codes give negative numbers."""
    values = np.empty(codes.size)
    for i in range(codes.size):
        value = min(to_float(abs(int(codes[i])) << DROPPED_BITS), _MAX_VALUE)
        values[i] = value if codes[i] > 0 else -value
    return values


@njit(cache=True)
def _add(sums: Floats, coordinates: Integers, codes: NDArray[np.int16]) -> None:
    """Add the numbers of codes at coordinates, some of which may occur several times."""
    values = _values(codes)
    for i in range(coordinates.size):
        sums[coordinates[i]] += values[i]


@njit(cache=True)
def _decode(
    data: Bytes, n: int, side: SideInformation, bits_spent: Floats
) -> tuple[Integers, NDArray[np.int16], Floats, int]:
    """Decode all groups: coordinates with their codes, or the sum at each coordinate of the model if there are many.

    Args:
        data: the body; uint8, shape (length,).
        n: coordinates of the model.
        side: what the encoder held.
        bits_spent: three zeros, to which the bits of indices, signs and magnitudes are added.

    Returns:
        Coordinates, and their codes, negative for negative numbers; sums of shape (n,), or empty; 0 or a fault.
    """
    state = new_decoder(data)
    grant(state, n)
    coded = nothing_coded(side)
    coordinates, codes, sums = np.empty(256, np.int64), np.empty(256, np.int16), np.empty(0)
    size = groups_read = code = fault = 0
    decode_bits(state, data, 2)
    while not exhausted(state):
        k = decode_uint(state, data)
        if exhausted(state):
            break
        if k == 0:
            fault = 0 if fully_consumed(state, data) else _MALFORMED
            break
        groups_read += 1
        if k < 0 or k > MAX_INDICES or k > n or groups_read > MAX_GROUPS:
            fault = _MALFORMED
            break
        bits_before = bits_read(state)
        if code == 0:
            code = decode_bits(state, data, CODE_BITS)
        else:
            change = decode_uint(state, data)
            if change < 0 and not exhausted(state):
                fault = _MALFORMED
                break
            code += change // 2 if change % 2 == 0 else -(change + 1) // 2
        if exhausted(state):
            break
        bits_spent[2] += bits_read(state) - bits_before
        if code <= 0 or code >> CODE_BITS > 0:
            fault = _MALFORMED
            break
        disjoint = groups_read == 1
        if not disjoint:
            disjoint = decode_target(state, DISJOINT_IN_16 + 1) < DISJOINT_IN_16
            cum_freq, freq = (0, DISJOINT_IN_16) if disjoint else (DISJOINT_IN_16, 1)
            decode_update(state, data, cum_freq, freq, DISJOINT_IN_16 + 1)
            if exhausted(state):
                break
        if k > capacity(coded, disjoint):
            fault = _MALFORMED
            break
        bits_before = bits_read(state)
        read, negative, coded, sign_bits = decode_set(state, data, k, side, coded, disjoint)
        bits_spent[0] += bits_read(state) - bits_before - sign_bits
        bits_spent[1] += sign_bits
        if sums.size == 0 and size + read.size > _MIN_GATHERED + n // _COORDINATES_PER_GATHERED:
            sums = np.zeros(n)
            _add(sums, coordinates[:size], codes[:size])
        if sums.size > 0:
            size = 0
        if size + read.size > coordinates.size:
            longer = 2 * (size + read.size)
            coordinates = np.concatenate((coordinates[:size], np.empty(longer - size, np.int64)))
            codes = np.concatenate((codes[:size], np.empty(longer - size, np.int16)))
        coordinates[size : size + read.size] = read
        for i in range(read.size):
            codes[size + i] = -code if negative[i] else code
        size += read.size
        if sums.size > 0:
            _add(sums, coordinates[:size], codes[:size])
        if read.size < k:
            break
    return coordinates[:size], codes[:size], sums, _OVERDRAWN if overdrawn(state) else fault


def context_of(body: bytes) -> int:
    """Which reference a body was coded against: NO_CONTEXT, MODEL or HISTORY (or 3, which is not valid)."""
    data = np.frombuffer(body, np.uint8)
    return int(decode_bits(new_decoder(data), data, 2))


def read(body: bytes, layout: Layout, reference: Reference) -> Update:
    """Decode a body to indices and values, or to the whole vector if there are many indices.

    Args:
        body: without the frame.
        layout: of the model.
        reference: what the encoder was given.

    Raises:
        MalformedBits: no encoder writes this body, or it needs a reference that was not given.
    """
    return _read(body, layout, reference)[0]


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes."""
    return _read(body, layout, reference)[1]


def _read(body: bytes, layout: Layout, reference: Reference) -> tuple[Update, BitBreakdown]:
    side = _context(body, layout, reference).side
    bits_spent = np.zeros(3)
    coordinates, codes, sums, fault = _decode(np.frombuffer(body, np.uint8), layout.size, side, bits_spent)
    if fault == _OVERDRAWN:
        raise MalformedBits("it asks for more work than its bytes are worth")
    if fault == _MALFORMED:
        raise MalformedBits("a group of no possible size or magnitude, or something after the end")
    breakdown = BitBreakdown(*map(float, bits_spent))
    with np.errstate(over="ignore"):
        if sums.size > 0:
            return sums.astype(np.float32), breakdown
        values = _values(codes)
        indices, order = np.unique(coordinates, return_inverse=True)
        return (indices, np.bincount(order, values, minlength=indices.size).astype(np.float32)), breakdown


def associated_data(body: bytes, layout: Layout, reference: Reference) -> int:
    """32 bits that depend on everything that both ends must hold to read this body; part of the integrity check.

    Raises:
        MalformedBits: it needs a reference that was not given.
    """
    digest = _context(body, layout, reference).digest
    return zlib.crc32(digest.to_bytes(4, "little"), layout.fingerprint) if digest else layout.fingerprint


def _context(body: bytes, layout: Layout, reference: Reference) -> Context:
    context = context_of(body)
    if context == NO_CONTEXT:
        return Context.of(layout, None)
    if context not in _NEEDS:
        raise MalformedBits(f"context {context}; this version knows 0 (none), 1 (the model) and 2 (and the one before)")
    if reference is None or (context == HISTORY and not isinstance(reference, tuple)):
        raise MalformedBits(f"it was coded against {_NEEDS[context]}, which this decoder was not given as `reference`")
    model = reference[0] if isinstance(reference, tuple) else reference
    return Context.of(layout, reference if context == HISTORY else model)
