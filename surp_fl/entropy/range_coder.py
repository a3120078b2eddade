"""A range coder in compiled code: integers only, so the same bytes on every machine.

48 bits of range, carries resolved on the fly. A message may be cut anywhere: the decoder knows what the bytes that are
left can still mean, and ends before the first symbol that they leave open. Encoder and decoder mirror each other.
Both keep account of the work that a message asks for: each byte brings credit, and who asks for more than that is not
followed. Knows intervals and credit; not what they stand for.

Source: Martin 1979, "Range encoding"; the carry handling as in Pavlov's LZMA.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit

CoderState = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

# Fields of a state: an encoder's, a decoder's, and those of both.
LOW, RANGE, POSITION, CACHE, PENDING, HAS_CACHE = 0, 1, 2, 3, 4, 5
CODE, UNKNOWN, EXHAUSTED = 0, 3, 4
CREDIT, OVERDRAWN = 6, 7
_FIELDS = 8

_BITS = 48
_TOP = np.uint64(1 << _BITS)
_MIN_RANGE = np.uint64(1 << (_BITS - 8))  # below it the next byte is due
_TOP_BYTE = np.uint64(_BITS - 8)
_8, _48, _FF, _1, _0 = np.uint64(8), np.uint64(_BITS), np.uint64(0xFF), np.uint64(1), np.uint64(0)
_INITIAL_CREDIT, _COORDINATES_PER_CREDIT = 1 << 18, 16  # for each message; for each so many coordinates of the model
_CREDIT_PER_BYTE = np.uint64(1 << 10)
_UNLIMITED = np.uint64(1 << 62)
MAX_TOTAL_FREQ = 1 << 30  # of frequencies: 10 bits below the smallest range, so that rounding costs under 0.002 bits


@njit(cache=True)
def new_encoder() -> CoderState:
    """Start a message."""
    state = np.zeros(_FIELDS, np.uint64)
    state[RANGE] = _TOP - _1
    state[CREDIT] = _UNLIMITED
    return state


@njit(cache=True)
def grant(state: CoderState, n: int) -> None:
    """Limit the work that a message for n coordinates can ask for; without this it can ask for any."""
    state[CREDIT] = np.uint64(_INITIAL_CREDIT + n // _COORDINATES_PER_CREDIT)


@njit(cache=True)
def spend(state: CoderState, work: int) -> None:
    """Take work off the credit; where there is too little, nothing that follows counts."""
    if state[CREDIT] < np.uint64(work):
        state[OVERDRAWN] = _1
    else:
        state[CREDIT] -= np.uint64(work)


@njit(cache=True)
def overdrawn(state: CoderState) -> bool:
    """Say whether the message asked for more work than its bytes so far are worth."""
    return bool(state[OVERDRAWN] == _1)


@njit(cache=True)
def _emit(state: CoderState, out: Bytes, byte: int) -> None:
    if state[POSITION] < np.uint64(out.size):  # past the end only the length counts on
        out[state[POSITION]] = np.uint8(byte)
    state[POSITION] += _1


@njit(cache=True)
def _shift(state: CoderState, out: Bytes) -> None:
    """Move the top byte out of the low end, as soon as no carry can change it any more."""
    low = state[LOW]
    if low < (_FF << _TOP_BYTE) or low >= _TOP:
        carry = low >> _48
        if state[HAS_CACHE] == _1:
            _emit(state, out, (state[CACHE] + carry) & _FF)
        while state[PENDING] > _0:
            _emit(state, out, (_FF + carry) & _FF)
            state[PENDING] -= _1
        state[CACHE] = (low >> _TOP_BYTE) & _FF
        state[HAS_CACHE] = _1
    else:
        state[PENDING] += _1
    state[LOW] = (low & (_MIN_RANGE - _1)) << _8


@njit(cache=True)
def encode(state: CoderState, out: Bytes, cum_freq: int, freq: int, total_freq: int) -> None:
    """Narrow the range to [start, start + size) out of total ≤ MOST_TOTAL."""
    unit = state[RANGE] // np.uint64(total_freq)
    state[LOW] += unit * np.uint64(cum_freq)
    if cum_freq + freq == total_freq:
        state[RANGE] -= unit * np.uint64(cum_freq)
    else:
        state[RANGE] = unit * np.uint64(freq)
    while state[RANGE] < _MIN_RANGE:
        _shift(state, out)
        state[RANGE] <<= _8
        state[CREDIT] += _CREDIT_PER_BYTE


@njit(cache=True)
def bytes_written(state: CoderState) -> int:
    """Bytes that are settled so far, or about to be."""
    return int(np.int64(state[POSITION] + state[PENDING] + state[HAS_CACHE]))


@njit(cache=True)
def flush(state: CoderState, out: Bytes) -> int:
    """End the message so that its last symbol is certain; give its length, which may exceed the room in `out`."""
    last = state[LOW] + state[RANGE] - _1
    kept = 0
    while True:
        below = (_1 << np.uint64(_BITS - 8 * kept)) - _1
        value = (state[LOW] + below) & ~below
        if value <= last and below <= last - value:  # whatever follows the kept bytes lies within the range
            break
        kept += 1
    state[LOW] = value
    before = state[POSITION] + state[PENDING] + state[HAS_CACHE]
    for _ in range(_BITS // 8 + 1):
        _shift(state, out)
    return int(np.int64(before)) + kept


@njit(cache=True)
def _read(state: CoderState, data: Bytes) -> None:
    at = state[POSITION]
    state[POSITION] += _1
    if at < np.uint64(data.size):
        state[CODE] = state[CODE] << _8 | np.uint64(data[at])
    else:  # a byte that may be anything from 0 to 255
        state[CODE] <<= _8
        state[UNKNOWN] = state[UNKNOWN] << _8 | _FF


@njit(cache=True)
def new_decoder(data: Bytes) -> CoderState:
    """Open a message, whole or cut."""
    state = np.zeros(_FIELDS, np.uint64)
    state[RANGE] = _TOP - _1
    state[CREDIT] = _UNLIMITED
    for _ in range(_BITS // 8):
        _read(state, data)
    return state


@njit(cache=True)
def exhausted(state: CoderState) -> bool:
    """Say whether the message is not to be followed further; what the last `peek` gave is not to be believed.

    It asked for more than the bytes tell, or is overdrawn.
    """
    return bool(state[EXHAUSTED] == _1 or state[OVERDRAWN] == _1)


@njit(cache=True)
def fully_consumed(state: CoderState, data: Bytes) -> bool:
    """Say whether the symbols so far need all of the bytes: with one byte less, the last of them were not certain."""
    if np.uint64(data.size) > state[POSITION]:
        return False
    missing = _8 * (state[POSITION] - np.uint64(data.size))
    last = np.uint64(data[data.size - 1]) << missing
    unknown = (_FF << missing) + ((_1 << missing) - _1)
    return bool(state[CODE] < last or state[CODE] - last + unknown >= state[RANGE])


@njit(cache=True)
def decode_target(state: CoderState, total_freq: int) -> int:
    """Say where in [0, total) the message points; `take` what lies there next."""
    return min(int(np.int64(state[CODE] // (state[RANGE] // np.uint64(total_freq)))), int(total_freq - 1))


@njit(cache=True)
def decode_update(state: CoderState, data: Bytes, cum_freq: int, freq: int, total_freq: int) -> None:
    """Narrow the range as `encode` did, unless the missing bytes could mean another symbol: then the message ends."""
    unit = state[RANGE] // np.uint64(total_freq)
    end = state[RANGE] if cum_freq + freq == total_freq else unit * np.uint64(cum_freq + freq)
    if state[CODE] + state[UNKNOWN] >= end or state[CODE] < unit * np.uint64(cum_freq):
        state[EXHAUSTED] = _1
        return
    state[CODE] -= unit * np.uint64(cum_freq)
    state[RANGE] = end - unit * np.uint64(cum_freq)
    while state[RANGE] < _MIN_RANGE:
        _read(state, data)
        state[RANGE] <<= _8
        state[CREDIT] += _CREDIT_PER_BYTE


@njit(cache=True)
def bits_read(state: CoderState) -> float:
    """How much a decoder was told so far."""
    return 8.0 * float(np.int64(state[POSITION])) - math.log2(float(np.int64(state[RANGE])))
