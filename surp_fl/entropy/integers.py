"""Unsigned integers as symbols of a range coder: of a fixed width, or with their length in front.

Knows the range coder. Does not know what the integers mean.
"""

from __future__ import annotations

from surp_fl._compile import njit
from surp_fl.entropy.range_coder import Bytes, CoderState, decode_target, decode_update, encode


@njit(cache=True)
def encode_bits(state: CoderState, out: Bytes, value: int, width: int) -> None:
    """Encode an integer of a fixed width, all values equally likely.

    Args:
        state: of the encoder.
        out: where bytes go; uint8, shape (capacity,).
        value: 0 to 2**width − 1.
        width: bits, 0 to 24.
    """
    if width > 0:
        encode(state, out, value, 1, 1 << width)


@njit(cache=True)
def decode_bits(state: CoderState, data: Bytes, width: int) -> int:
    """Decode an integer of `width` bits, 0 to 24."""
    if width == 0:
        return 0
    value = decode_target(state, 1 << width)
    decode_update(state, data, value, 1, 1 << width)
    return value


@njit(cache=True)
def encode_uint(state: CoderState, out: Bytes, value: int) -> None:
    """Encode an integer below 2**24: its bit length in 5 bits, then the bits below its leading one.

    >>> from surp_fl.entropy.range_coder import flush, new_decoder, new_encoder
    >>> import numpy as np
    >>> encoder, out = new_encoder(), np.zeros(16, np.uint8)
    >>> encode_uint(encoder, out, 1000)
    >>> data = out[: flush(encoder, out)]
    >>> int(decode_uint(new_decoder(data), data))
    1000
    """
    width = 0
    while value >> width > 0:
        width += 1
    encode_bits(state, out, width, 5)
    if width > 1:
        encode_bits(state, out, value & ((1 << (width - 1)) - 1), width - 1)


@njit(cache=True)
def decode_uint(state: CoderState, data: Bytes) -> int:
    """Decode an integer below 2**24; −1 if its bit length exceeds 24, which no encoder writes."""
    width = decode_bits(state, data, 5)
    if width > 24:
        return -1
    if width <= 1:
        return width
    return 1 << (width - 1) | decode_bits(state, data, width - 1)
