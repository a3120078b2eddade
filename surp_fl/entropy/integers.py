"""Unsigned integers as symbols of a range coder: of a fixed width, or with their length in front.

Knows the range coder. Does not know what the integers mean.
"""

from __future__ import annotations

from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder


def encode_bits(encoder: RangeEncoder, value: int, width: int) -> None:
    """Encode an integer of a fixed width, all values equally likely.

    Args:
        encoder: of the message.
        value: 0 to 2**width − 1.
        width: bits, 0 to 24.
    """
    if width > 0:
        encoder.encode(value, 1, 1 << width)


def decode_bits(decoder: RangeDecoder, width: int) -> int:
    """Decode an integer of `width` bits, 0 to 24."""
    if width == 0:
        return 0
    value = decoder.decode_target(1 << width)
    decoder.decode_update(value, 1, 1 << width)
    return value


def encode_uint(encoder: RangeEncoder, value: int) -> None:
    """Encode an integer below 2**24: its bit length in 5 bits, then the bits below its leading one.

    >>> encoder = RangeEncoder(16)
    >>> encode_uint(encoder, 1000)
    >>> decode_uint(RangeDecoder(encoder.finish()))
    1000
    """
    width = 0
    while value >> width > 0:
        width += 1
    encode_bits(encoder, width, 5)
    if width > 1:
        encode_bits(encoder, value & ((1 << (width - 1)) - 1), width - 1)


def decode_uint(decoder: RangeDecoder) -> int:
    """Decode an integer below 2**24; −1 if its bit length exceeds 24, which no encoder writes."""
    width = decode_bits(decoder, 5)
    if width > 24:
        return -1
    if width <= 1:
        return width
    return 1 << (width - 1) | decode_bits(decoder, width - 1)
