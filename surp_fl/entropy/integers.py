"""TBD"""

from __future__ import annotations

from surp_fl._compile import njit
from surp_fl.entropy.range_coder import Bytes, CoderState, decode_target, decode_update, encode


@njit(cache=True)
def encode_bits(state: CoderState, out: Bytes, value: int, width: int) -> None:
    """Write a number of up to 24 bits, all values alike."""
    if width > 0:
        encode(state, out, value, 1, 1 << width)


@njit(cache=True)
def decode_bits(state: CoderState, data: Bytes, width: int) -> int:
    """Read a number of up to 24 bits."""
    if width == 0:
        return 0
    value = decode_target(state, 1 << width)
    decode_update(state, data, value, 1, 1 << width)
    return value


@njit(cache=True)
def encode_uint(state: CoderState, out: Bytes, value: int) -> None:
    """Write a count below 2**24: its length in 5 bits, then what follows its leading one."""
    width = 0
    while value >> width > 0:
        width += 1
    encode_bits(state, out, width, 5)
    if width > 1:
        encode_bits(state, out, value & ((1 << (width - 1)) - 1), width - 1)


@njit(cache=True)
def decode_uint(state: CoderState, data: Bytes) -> int:
    """Read a count; −1 for a length that no count has."""
    width = decode_bits(state, data, 5)
    if width > 24:
        return -1
    if width <= 1:
        return width
    return 1 << (width - 1) | decode_bits(state, data, width - 1)
