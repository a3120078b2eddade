"""How many of k picks lie on the left ↔ a range coder: a beta-binomial in integers.

Knows two weights, two rooms, and how closely counts follow the weights; not what is left and right.
"""

from __future__ import annotations

from surp_fl._compile import njit
from surp_fl.entropy.range_coder import Bytes, CoderState, decode_target, decode_update, encode, spend
from surp_fl.types import Integers

WORK_OF_SPLIT = 4  # and 1 for each frequency that is reckoned beyond the first
_FIXED_POINT = 64  # fixed point of a and b
MAX_WEIGHT = 1 << 28
MAX_SCALED_WEIGHT = 1 << 40  # of two weights that are multiplied


@njit(cache=True)
def halve_to_fit(left: int, right: int, most: int) -> tuple[int, int]:
    """Scale two weights down until their sum is small enough; none becomes zero."""
    while left + right > most:
        left, right = (left + 1) >> 1, (right + 1) >> 1
    return max(left, 1), max(right, 1)


@njit(cache=True)
def _quotient(dividend: int, divisor: int, most: int) -> int:
    """number // divisor, at most `most`; exact: floats only guess it, at half the time."""
    guess = float(dividend) / float(divisor)
    if guess >= float(most + 1):
        return most
    quotient = int(guess)
    remainder = dividend - quotient * divisor
    if remainder < 0:
        quotient -= 1
    elif remainder >= divisor:
        quotient += 1
    return min(quotient, most)


@njit(cache=True)
def _frequencies(
    k: int, free_left: int, free_right: int, left: int, right: int, concentration: int, table: Integers
) -> tuple[int, int, int, int]:
    """Say how likely each number j of k picks is on the left: in table[j − least], from a first j to a last one.

    Gives the least j, those two, and the total.

    f(j + 1) / f(j) = (k − j)(a + j) / ((j + 1)(b + k − j − 1)), out from the expected j in integers, until it is 0.
    From there on all are 1, and are not in the table.
    """
    least, most = max(0, k - free_right), min(k, free_left)
    left, right = halve_to_fit(left, right, MAX_SCALED_WEIGHT)
    total_weight = left + right
    probability = min(max((left * 65536) // total_weight, 1), 65535)
    a = max(1, probability * concentration * _FIXED_POINT >> 16)
    b = max(1, concentration * _FIXED_POINT - a)
    expected = min(max((k * probability) >> 16, least), most)
    peak = 1 << 20 if k < 1024 else 1 << 12
    total_freq = peak + most - least
    table[expected - least] = peak
    first, last = expected, expected
    value = peak
    while last < most:
        j = last
        value = _quotient(
            value * ((k - j) * (a + j * _FIXED_POINT)), (j + 1) * (b + (k - j - 1) * _FIXED_POINT), peak * 8
        )
        if value == 0:
            break
        last += 1
        table[last - least] = value
        total_freq += value - 1
    value = peak
    while first > least:
        j = first
        value = _quotient(
            value * (j * (b + (k - j) * _FIXED_POINT)), (k - j + 1) * (a + (j - 1) * _FIXED_POINT), peak * 8
        )
        if value == 0:
            break
        first -= 1
        table[first - least] = value
        total_freq += value - 1
    return least, first, last, total_freq


@njit(cache=True)
def encode_split(
    state: CoderState, out: Bytes, j: int, k: int, free_left: int, free_right: int, left: int, right: int,
    concentration: int, table: Integers,
) -> None:  # fmt: skip
    """Say that j of k picks lie on the left."""
    if max(0, k - free_right) == min(k, free_left):
        return
    if k == 1:
        spend(state, WORK_OF_SPLIT)
        left, right = halve_to_fit(left, right, MAX_WEIGHT)
        encode(state, out, 0 if j == 1 else left, left if j == 1 else right, left + right)
        return
    least, first, last, total_freq = _frequencies(k, free_left, free_right, left, right, concentration, table)
    spend(state, WORK_OF_SPLIT + last - first)
    cum_freq = min(j, first) - least
    for i in range(first, min(j, last + 1)):
        cum_freq += table[i - least]
    cum_freq += max(0, j - last - 1)
    encode(state, out, cum_freq, table[j - least] if first <= j <= last else 1, total_freq)


@njit(cache=True)
def decode_split(
    state: CoderState, data: Bytes, k: int, free_left: int, free_right: int, left: int, right: int, concentration: int,
    table: Integers,
) -> int:  # fmt: skip
    """Read how many of k picks lie on the left; worth nothing where the message has ended."""
    if max(0, k - free_right) == min(k, free_left):
        return min(k, free_left)
    if k == 1:
        spend(state, WORK_OF_SPLIT)
        left, right = halve_to_fit(left, right, MAX_WEIGHT)
        on_left = decode_target(state, left + right) < left
        decode_update(state, data, 0 if on_left else left, left if on_left else right, left + right)
        return 1 if on_left else 0
    least, first, last, total_freq = _frequencies(k, free_left, free_right, left, right, concentration, table)
    spend(state, WORK_OF_SPLIT + last - first)
    target = decode_target(state, total_freq)
    cum_freq = first - least
    if target < cum_freq:
        decode_update(state, data, target, 1, total_freq)
        return least + target
    for j in range(first, last + 1):
        freq = table[j - least]
        if target < cum_freq + freq:
            decode_update(state, data, cum_freq, freq, total_freq)
            return j
        cum_freq += freq
    decode_update(state, data, target, 1, total_freq)
    return last + 1 + target - cum_freq
