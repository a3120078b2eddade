"""A 16-bit minifloat for magnitudes and scales, which are not negative: 9 bits of exponent, 7 of mantissa.

Code 0 is the number 0; any other code is (128 + m)·2^(e − 263), m being its lowest 7 bits and e its highest 9. Codes
are ordered like their numbers.

>>> encode_minifloat(1.0), decode_minifloat(encode_minifloat(1.0))
(32768, 1.0)
"""

from __future__ import annotations

import math
from math import frexp

import numpy as np

MAX_CODE = 65535
_MAX_CODE = MAX_CODE
_EXPONENT_BIAS = 263
_INFINITY = float("inf")


def to_float(code: int) -> float:
    """The number of a 16-bit code."""
    if code == 0:
        return 0.0
    return math.ldexp(128.0 + (code & 127), int((code >> 7) - _EXPONENT_BIAS))


def to_code(value: float, down: bool) -> int:
    """The code nearest to a non-negative number; or, with `down`, the largest code whose number is not above it."""
    if not value > 0.0:
        return 0
    if value == _INFINITY:
        return _MAX_CODE
    fraction, exponent = frexp(value)
    mantissa = int(fraction * 256.0 + (0.0 if down else 0.5))
    exponent += _EXPONENT_BIAS - 8
    if mantissa == 256:
        mantissa, exponent = 128, exponent + 1
    if exponent < 0:
        return 0
    if exponent > 511:
        return _MAX_CODE
    return max(1, exponent << 7 | mantissa - 128)


def encode_minifloat(value: float) -> int:
    """The code nearest to a non-negative number.

    Returns:
        0 to 65,535; 0 for NaN and for numbers too small, 65,535 for numbers too large.
    """
    return int(to_code(value, False))


def encode_on_average(value: float, rng: np.random.Generator) -> int:
    """One of the two codes around a non-negative number, at random, so that the code's number is right on average.

    Returns:
        0 to 65,535.
    """
    low = int(to_code(value, True))
    if low == MAX_CODE:
        return low
    lower, upper = decode_minifloat(low), decode_minifloat(low + 1)
    return low + int(rng.random() * (upper - lower) < value - lower)


def decode_minifloat(code: int) -> float:
    """The number of a code, 0 to 65,535; exact."""
    return float(to_float(code))


def decode_finite(code: int) -> float:
    """As `decode_minifloat`, but at most the largest float32, whose nearest code's number lies above it.

    >>> decode_finite(MAX_CODE) == float(np.finfo(np.float32).max)
    True
    """
    return min(decode_minifloat(code), float(np.finfo(np.float32).max))
