"""Quantised levels ↔ the last part of a body, which is symbols of a range coder: for schemes that quantise."""

from __future__ import annotations

import numpy as np

from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.entropy.signed_levels import SignedLevels
from surp_fl.types import Levels

MOST_LEVELS = 32_767


def write_levels(levels: Levels, max_level: int) -> bytes:
    """Code levels in as few bytes as the adaptive models of `entropy/signed_levels.py` can.

    Args:
        levels: int16, shape (n,); none of magnitude beyond `max_level`.
        max_level: 1 to MOST_LEVELS.

    >>> levels = np.array([0, 2, 0, -1], np.int16)
    >>> read_levels(write_levels(levels, max_level=2), 4, max_level=2)
    array([ 0,  2,  0, -1], dtype=int16)
    """
    if not levels.size:
        return b""
    capacity = 2 * levels.size + 64
    while True:
        encoder = RangeEncoder(capacity)
        SignedLevels(max_level).encode(encoder, levels)
        if encoder.length() <= capacity:
            return encoder.finish()
        capacity = encoder.length()


def read_levels(data: bytes, n: int, max_level: int) -> Levels:
    """Decode what `write_levels` gave, to its last byte.

    Args:
        data: the bytes.
        n: levels.
        max_level: as the encoder was given.

    Returns:
        int16, shape (n,).

    Raises:
        MalformedBits: no encoder writes these bytes.
    """
    levels = np.zeros(n, np.int16)
    if not n:
        if data:
            raise MalformedBits(f"{len(data)} bytes for no levels")
        return levels
    decoder = RangeDecoder(data)
    if not SignedLevels(max_level).decode(decoder, levels):
        raise MalformedBits(f"the bytes do not hold {n} levels up to {max_level}")
    if not decoder.fully_consumed():
        raise MalformedBits("bytes after the end")
    return levels
