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

State = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

# Fields of a state: an encoder's, a decoder's, and those of both.
LOW, RANGE, AT, CACHE, PENDING, STARTED = 0, 1, 2, 3, 4, 5
CODE, OPEN, ENDED = 0, 3, 4
CREDIT, OVERDRAWN = 6, 7
_FIELDS = 8

_BITS = 48
_TOP = np.uint64(1 << _BITS)
_NEXT = np.uint64(1 << (_BITS - 8))  # below it the next byte is due
_SHIFT = np.uint64(_BITS - 8)
_8, _48, _FF, _1, _0 = np.uint64(8), np.uint64(_BITS), np.uint64(0xFF), np.uint64(1), np.uint64(0)
_FIRST_CREDIT, _CREDIT_OF_COORDINATES = 1 << 18, 16  # for each message; for each so many coordinates of the model
_CREDIT_OF_BYTE = np.uint64(1 << 10)
_ENDLESS = np.uint64(1 << 62)
MOST_TOTAL = 1 << 30  # of frequencies: 10 bits below the smallest range, so that rounding costs under 0.002 bits


@njit(cache=True)
def new_encoder() -> State:
    """Start a message."""
    state = np.zeros(_FIELDS, np.uint64)
    state[RANGE] = _TOP - _1
    state[CREDIT] = _ENDLESS
    return state


@njit(cache=True)
def grant(state: State, n: int) -> None:
    """Limit the work that a message for n coordinates can ask for; without this it can ask for any."""
    state[CREDIT] = np.uint64(_FIRST_CREDIT + n // _CREDIT_OF_COORDINATES)


@njit(cache=True)
def spend(state: State, work: int) -> None:
    """Take work off the credit; where there is too little, nothing that follows counts."""
    if state[CREDIT] < np.uint64(work):
        state[OVERDRAWN] = _1
    else:
        state[CREDIT] -= np.uint64(work)


@njit(cache=True)
def overdrawn(state: State) -> bool:
    """Say whether the message asked for more work than its bytes so far are worth."""
    return bool(state[OVERDRAWN] == _1)


@njit(cache=True)
def _emit(state: State, out: Bytes, byte: int) -> None:
    if state[AT] < np.uint64(out.size):  # past the end only the length counts on
        out[state[AT]] = np.uint8(byte)
    state[AT] += _1


@njit(cache=True)
def _shift(state: State, out: Bytes) -> None:
    """Move the top byte out of the low end, as soon as no carry can change it any more."""
    low = state[LOW]
    if low < (_FF << _SHIFT) or low >= _TOP:
        carry = low >> _48
        if state[STARTED] == _1:
            _emit(state, out, (state[CACHE] + carry) & _FF)
        while state[PENDING] > _0:
            _emit(state, out, (_FF + carry) & _FF)
            state[PENDING] -= _1
        state[CACHE] = (low >> _SHIFT) & _FF
        state[STARTED] = _1
    else:
        state[PENDING] += _1
    state[LOW] = (low & (_NEXT - _1)) << _8


@njit(cache=True)
def encode(state: State, out: Bytes, start: int, size: int, total: int) -> None:
    """Narrow the range to [start, start + size) out of total ≤ MOST_TOTAL."""
    unit = state[RANGE] // np.uint64(total)
    state[LOW] += unit * np.uint64(start)
    if start + size == total:
        state[RANGE] -= unit * np.uint64(start)
    else:
        state[RANGE] = unit * np.uint64(size)
    while state[RANGE] < _NEXT:
        _shift(state, out)
        state[RANGE] <<= _8
        state[CREDIT] += _CREDIT_OF_BYTE


@njit(cache=True)
def written(state: State) -> int:
    """Bytes that are settled so far, or about to be."""
    return int(np.int64(state[AT] + state[PENDING] + state[STARTED]))


@njit(cache=True)
def finish(state: State, out: Bytes) -> int:
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
    before = state[AT] + state[PENDING] + state[STARTED]
    for _ in range(_BITS // 8 + 1):
        _shift(state, out)
    return int(np.int64(before)) + kept


@njit(cache=True)
def _read(state: State, data: Bytes) -> None:
    at = state[AT]
    state[AT] += _1
    if at < np.uint64(data.size):
        state[CODE] = state[CODE] << _8 | np.uint64(data[at])
    else:  # a byte that may be anything from 0 to 255
        state[CODE] <<= _8
        state[OPEN] = state[OPEN] << _8 | _FF


@njit(cache=True)
def new_decoder(data: Bytes) -> State:
    """Open a message, whole or cut."""
    state = np.zeros(_FIELDS, np.uint64)
    state[RANGE] = _TOP - _1
    state[CREDIT] = _ENDLESS
    for _ in range(_BITS // 8):
        _read(state, data)
    return state


@njit(cache=True)
def ended(state: State) -> bool:
    """Say whether the message is not to be followed further; what the last `peek` gave is not to be believed.

    It asked for more than the bytes tell, or is overdrawn.
    """
    return bool(state[ENDED] == _1 or state[OVERDRAWN] == _1)


@njit(cache=True)
def exhausted(state: State, data: Bytes) -> bool:
    """Say whether the symbols so far need all of the bytes: with one byte less, the last of them were not certain."""
    if np.uint64(data.size) > state[AT]:
        return False
    missing = _8 * (state[AT] - np.uint64(data.size))
    last = np.uint64(data[data.size - 1]) << missing
    opened = (_FF << missing) + ((_1 << missing) - _1)
    return bool(state[CODE] < last or state[CODE] - last + opened >= state[RANGE])


@njit(cache=True)
def peek(state: State, total: int) -> int:
    """Say where in [0, total) the message points; `take` what lies there next."""
    return min(int(np.int64(state[CODE] // (state[RANGE] // np.uint64(total)))), int(total - 1))


@njit(cache=True)
def take(state: State, data: Bytes, start: int, size: int, total: int) -> None:
    """Narrow the range as `encode` did, unless the missing bytes could mean another symbol: then the message ends."""
    unit = state[RANGE] // np.uint64(total)
    above = state[RANGE] if start + size == total else unit * np.uint64(start + size)
    if state[CODE] + state[OPEN] >= above or state[CODE] < unit * np.uint64(start):
        state[ENDED] = _1
        return
    state[CODE] -= unit * np.uint64(start)
    state[RANGE] = above - unit * np.uint64(start)
    while state[RANGE] < _NEXT:
        _read(state, data)
        state[RANGE] <<= _8
        state[CREDIT] += _CREDIT_OF_BYTE


@njit(cache=True)
def bits_read(state: State) -> float:
    """How much a decoder was told so far."""
    return 8.0 * float(np.int64(state[AT])) - math.log2(float(np.int64(state[RANGE])))


@njit(cache=True)
def encode_bits(state: State, out: Bytes, value: int, width: int) -> None:
    """Write a number of up to 24 bits, all values alike."""
    if width > 0:
        encode(state, out, value, 1, 1 << width)


@njit(cache=True)
def decode_bits(state: State, data: Bytes, width: int) -> int:
    """Read a number of up to 24 bits."""
    if width == 0:
        return 0
    value = peek(state, 1 << width)
    take(state, data, value, 1, 1 << width)
    return value


@njit(cache=True)
def encode_count(state: State, out: Bytes, value: int) -> None:
    """Write a count below 2**24: its length in 5 bits, then what follows its leading one."""
    width = 0
    while value >> width > 0:
        width += 1
    encode_bits(state, out, width, 5)
    if width > 1:
        encode_bits(state, out, value & ((1 << (width - 1)) - 1), width - 1)


@njit(cache=True)
def decode_count(state: State, data: Bytes) -> int:
    """Read a count; −1 for a length that no count has."""
    width = decode_bits(state, data, 5)
    if width > 24:
        return -1
    if width <= 1:
        return width
    return 1 << (width - 1) | decode_bits(state, data, width - 1)
