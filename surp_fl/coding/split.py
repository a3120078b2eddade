"""How many of k picks lie on the left ↔ a range coder: a beta-binomial in integers.

Knows two weights, two rooms, and how closely counts follow the weights; not what is left and right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.coding.range_coder import Bytes, State, encode, peek, take

Integers = NDArray[np.int64]

_UNIT = 64  # fixed point of a and b
MOST_WEIGHT = 1 << 28
MOST_SHARED = 1 << 40  # of two weights that are multiplied


@njit(cache=True)
def fit(left: int, right: int, most: int) -> tuple[int, int]:
    """Scale two weights down until their sum is small enough; none becomes zero."""
    while left + right > most:
        left, right = (left + 1) >> 1, (right + 1) >> 1
    return max(left, 1), max(right, 1)


@njit(cache=True)
def _frequencies(
    k: int, room_left: int, room_right: int, left: int, right: int, trust: int, table: Integers
) -> tuple[int, int, int]:
    """Fill in how likely each number j of k picks is on the left; give the least j, how many j there are, the total.

    f(j + 1) / f(j) = (k − j)(a + j) / ((j + 1)(b + k − j − 1)), out from the expected j in integers.
    """
    least, most = max(0, k - room_right), min(k, room_left)
    left, right = fit(left, right, MOST_SHARED)
    whole = left + right
    share = min(max((left * 65536) // whole, 1), 65535)
    a = max(1, share * trust * _UNIT >> 16)
    b = max(1, trust * _UNIT - a)
    middle = min(max((k * share) >> 16, least), most)
    peak = 1 << 20 if k < 1024 else 1 << 12
    value = peak
    table[middle - least] = value
    total = value
    for j in range(middle, most):
        value = value * ((k - j) * (a + j * _UNIT)) // ((j + 1) * (b + (k - j - 1) * _UNIT))
        value = min(value, peak * 8)
        table[j + 1 - least] = max(value, 1)
        total += max(value, 1)
    value = peak
    for j in range(middle, least, -1):
        value = value * (j * (b + (k - j) * _UNIT)) // ((k - j + 1) * (a + (j - 1) * _UNIT))
        value = min(value, peak * 8)
        table[j - 1 - least] = max(value, 1)
        total += max(value, 1)
    return least, most - least + 1, total


@njit(cache=True)
def encode_split(
    state: State, out: Bytes, j: int, k: int, room_left: int, room_right: int, left: int, right: int, trust: int,
    table: Integers,
) -> None:  # fmt: skip
    """Say that j of k picks lie on the left."""
    if max(0, k - room_right) == min(k, room_left):
        return
    if k == 1:
        left, right = fit(left, right, MOST_WEIGHT)
        encode(state, out, 0 if j == 1 else left, left if j == 1 else right, left + right)
        return
    least, _, total = _frequencies(k, room_left, room_right, left, right, trust, table)
    start = 0
    for i in range(j - least):
        start += table[i]
    encode(state, out, start, table[j - least], total)


@njit(cache=True)
def decode_split(
    state: State, data: Bytes, k: int, room_left: int, room_right: int, left: int, right: int, trust: int,
    table: Integers,
) -> int:  # fmt: skip
    """Read how many of k picks lie on the left; worth nothing where the message has ended."""
    if max(0, k - room_right) == min(k, room_left):
        return min(k, room_left)
    if k == 1:
        left, right = fit(left, right, MOST_WEIGHT)
        on_left = peek(state, left + right) < left
        take(state, data, 0 if on_left else left, left if on_left else right, left + right)
        return 1 if on_left else 0
    least, count, total = _frequencies(k, room_left, room_right, left, right, trust, table)
    target = peek(state, total)
    start = 0
    i = 0
    while i < count - 1 and start + table[i] <= target:
        start += table[i]
        i += 1
    take(state, data, start, table[i], total)
    return least + i
