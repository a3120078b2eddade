"""A range coder in compiled code: symbols of known probability ↔ bytes. Integers only: the same bytes on every machine.

48 bits of range; carries are propagated as in LZMA. A message may be truncated anywhere: the decoder keeps track of all
values that the missing bytes could have, and stops before the first symbol that the remaining bytes do not determine.
Encoder and decoder mirror each other, and both keep an account of decoding work: each byte of the message adds credit,
and a message that spends more than its credit is refused. Knows intervals and credit. Does not know what symbols mean.

Source: Martin 1979, "Range encoding"; the carry propagation as in Pavlov's LZMA.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit

CoderState = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

# Fields of a coder's state. Both: RANGE, POSITION (of the next byte), CREDIT, OVERDRAWN. Encoder: LOW (end of the
# interval), CACHE (a byte that waits for a carry), PENDING (0xFF bytes behind it), HAS_CACHE. Decoder: CODE (minus the
# interval's low end; missing bytes are 0), UNKNOWN (what missing bytes could add to it), EXHAUSTED.
LOW, RANGE, POSITION, CACHE, PENDING, HAS_CACHE = 0, 1, 2, 3, 4, 5
CODE, UNKNOWN, EXHAUSTED = 0, 3, 4
CREDIT, OVERDRAWN = 6, 7
_FIELDS = 8

_BITS = 48
_TOP = np.uint64(1 << _BITS)
_MIN_RANGE = np.uint64(1 << (_BITS - 8))  # below this the next byte is shifted out
_TOP_BYTE = np.uint64(_BITS - 8)
_8, _48, _FF, _1, _0 = np.uint64(8), np.uint64(_BITS), np.uint64(0xFF), np.uint64(1), np.uint64(0)
# Part of the format. Set so that decoding takes 3 passes over the vector and 20 µs a byte at most; tests.fuzz.hostile
# searches for messages that take longer.
_INITIAL_CREDIT, _COORDINATES_PER_CREDIT = 1 << 18, 16  # units for each message; coordinates for one unit more
_CREDIT_PER_BYTE = np.uint64(1 << 10)
_UNLIMITED = np.uint64(1 << 62)
MAX_TOTAL_FREQ = 1 << 30  # 10 bits below the smallest range, so that rounding costs less than 0.002 bits a symbol


@njit(cache=True)
def new_encoder() -> CoderState:
    """Begin a message.

    >>> encoder, out = new_encoder(), np.zeros(16, np.uint8)
    >>> encode(encoder, out, cum_freq=2, freq=1, total_freq=4)
    >>> message = out[: flush(encoder, out)]
    >>> message.size
    1
    >>> int(decode_target(new_decoder(message), 4))
    2
    """
    state = np.zeros(_FIELDS, np.uint64)
    state[RANGE] = _TOP - _1
    state[CREDIT] = _UNLIMITED
    return state


@njit(cache=True)
def grant(state: CoderState, n: int) -> None:
    """Limit the decoding work of a message; without this call it is unlimited.

    Args:
        state: of an encoder or a decoder that has just begun.
        n: coordinates of the model.
    """
    state[CREDIT] = np.uint64(_INITIAL_CREDIT + n // _COORDINATES_PER_CREDIT)


@njit(cache=True)
def spend(state: CoderState, work: int) -> None:
    """Subtract decoding work from the credit; if there is too little, the message is overdrawn from here on.

    Args:
        state: of an encoder or a decoder.
        work: units, as in the table "Credit" of FORMAT.md.
    """
    if state[CREDIT] < np.uint64(work):
        state[OVERDRAWN] = _1
    else:
        state[CREDIT] -= np.uint64(work)


@njit(cache=True)
def overdrawn(state: CoderState) -> bool:
    """Whether the message asked for more work than its bytes so far pay for."""
    return bool(state[OVERDRAWN] == _1)


@njit(cache=True)
def _emit(state: CoderState, out: Bytes, byte: int) -> None:
    """Write a byte; past the end of `out` only the length is counted."""
    if state[POSITION] < np.uint64(out.size):  # past the end only the length counts on
        out[state[POSITION]] = np.uint8(byte)
    state[POSITION] += _1


@njit(cache=True)
def _shift(state: CoderState, out: Bytes) -> None:
    """Move the top byte out of `low` as soon as no carry can change it any more."""
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
    """Encode one symbol: narrow the range to [cum_freq, cum_freq + freq) of total_freq.

    Args:
        state: of the encoder.
        out: where bytes go; shape (capacity,).
        cum_freq: sum of the frequencies of all smaller symbols.
        freq: of the symbol, at least 1; its probability is freq / total_freq.
        total_freq: sum of all frequencies, at most MAX_TOTAL_FREQ.
    """
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
    """Bytes of the message so far, those that wait for a carry included."""
    return int(np.int64(state[POSITION] + state[PENDING] + state[HAS_CACHE]))


@njit(cache=True)
def flush(state: CoderState, out: Bytes) -> int:
    """End the message with as few bytes as make its last symbol certain, whatever bytes follow.

    Returns:
        The message's length in bytes; more than `out.size` if it did not fit.
    """
    last = state[LOW] + state[RANGE] - _1
    kept = 0  # bytes
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
    """Take the next byte of the message; past its end, one that may have any value from 0 to 255."""
    at = state[POSITION]
    state[POSITION] += _1
    if at < np.uint64(data.size):
        state[CODE] = state[CODE] << _8 | np.uint64(data[at])
    else:  # a byte that may be anything from 0 to 255
        state[CODE] <<= _8
        state[UNKNOWN] = state[UNKNOWN] << _8 | _FF


@njit(cache=True)
def new_decoder(data: Bytes) -> CoderState:
    """Begin to read a message, whole or truncated; uint8, shape (length,)."""
    state = np.zeros(_FIELDS, np.uint64)
    state[RANGE] = _TOP - _1
    state[CREDIT] = _UNLIMITED
    for _ in range(_BITS // 8):
        _read(state, data)
    return state


@njit(cache=True)
def exhausted(state: CoderState) -> bool:
    """Whether decoding has to stop: the remaining bytes do not determine the next symbol, or the message is overdrawn.

    The last `decode_target` before it became true is not to be used.
    """
    return bool(state[EXHAUSTED] == _1 or state[OVERDRAWN] == _1)


@njit(cache=True)
def fully_consumed(state: CoderState, data: Bytes) -> bool:
    """Whether the symbols so far need every byte: without the last byte, the last symbol would not be determined.

    Args:
        state: of a decoder that is not exhausted.
        data: the message; uint8, shape (length,).
    """
    if np.uint64(data.size) > state[POSITION]:
        return False
    missing = _8 * (state[POSITION] - np.uint64(data.size))
    last = np.uint64(data[data.size - 1]) << missing
    unknown = (_FF << missing) + ((_1 << missing) - _1)
    return bool(state[CODE] < last or state[CODE] - last + unknown >= state[RANGE])


@njit(cache=True)
def decode_target(state: CoderState, total_freq: int) -> int:
    """A cumulative frequency within the interval of the next symbol; `decode_update` has to follow with that symbol.

    Args:
        state: of the decoder.
        total_freq: as the encoder was given.

    Returns:
        0 to total_freq − 1.
    """
    return min(int(np.int64(state[CODE] // (state[RANGE] // np.uint64(total_freq)))), int(total_freq - 1))


@njit(cache=True)
def decode_update(state: CoderState, data: Bytes, cum_freq: int, freq: int, total_freq: int) -> None:
    """Narrow the range as `encode` did, unless the missing bytes could also mean another symbol: then it is exhausted.

    Args:
        state: of the decoder.
        data: the message; uint8, shape (length,).
        cum_freq: as the encoder was given, for the symbol in whose interval `decode_target` lies.
        freq: as the encoder was given.
        total_freq: as the encoder was given.
    """
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
    """Information that the symbols decoded so far have used, in bits."""
    return 8.0 * float(np.int64(state[POSITION])) - math.log2(float(np.int64(state[RANGE])))
