"""Non-negative numbers in 16 bits: 9 bits of exponent, 7 of mantissa, as magnitudes and scales are sent.

Code 0 stands for 0; any other for (128 + m)·2^(e − 263), m being the lowest 7 bits and e the highest 9. Codes order
like the numbers.

>>> encode_minifloat(1.0), decode_minifloat(encode_minifloat(1.0))
(32768, 1.0)
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl._compile import njit

MAX_CODE = 65535
_EXPONENT_BIAS = 263


@njit(cache=True)
def to_float(code: int) -> float:
    """The number that a 16-bit code stands for."""
    if code == 0:
        return 0.0
    return math.ldexp(128.0 + (code & 127), (code >> 7) - _EXPONENT_BIAS)


@njit(cache=True)
def to_code(value: float, down: bool) -> int:
    """The 16-bit code nearest to a non-negative number, or, with `down`, the largest that is not above it."""
    if not value > 0.0:
        return 0
    fraction, exponent = math.frexp(value)
    mantissa = math.floor(fraction * 256.0 + (0.0 if down else 0.5))
    exponent += _EXPONENT_BIAS - 8
    if mantissa == 256:
        mantissa, exponent = 128, exponent + 1
    if exponent < 0:
        return 0
    if exponent > 511:
        return 65535
    return max(1, exponent << 7 | mantissa - 128)


def encode_minifloat(value: float) -> int:
    """The code nearest to a non-negative number; 0 to 65,535."""
    return int(to_code(value, False))


def decode_minifloat(code: int) -> float:
    """The number that a code stands for; exact."""
    return float(to_float(code))


def decode_finite(code: int) -> float:
    """As `decode_minifloat`, but at most the largest float32, whose nearest code lies above it."""
    return min(decode_minifloat(code), float(np.finfo(np.float32).max))
