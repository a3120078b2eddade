"""How many of k picks lie in the left half ↔ a range coder: a beta-binomial distribution in integer arithmetic.

P(j) ∝ C(k, j)·B(a + j, b + k − j)/B(a, b), with a : b as the halves' weights, and a + b the *concentration*: the higher
it is, the closer counts follow the weights. Knows weights and numbers of free cells. Does not know what left and right
are.
"""

from __future__ import annotations

from surp_fl._compile import njit
from surp_fl.entropy.range_coder import Bytes, CoderState, decode_target, decode_update, encode, spend
from surp_fl.types import Integers

WORK_OF_SPLIT = 4  # units of credit, and 1 for each frequency beyond the first; tests.fuzz.hostile checks it
_FIXED_POINT = 64  # units of a and b
MAX_WEIGHT = 1 << 28  # sum of two weights that are frequencies of a symbol
MAX_SCALED_WEIGHT = 1 << 40  # sum of two weights, before they are multiplied


@njit(cache=True)
def halve_to_fit(left: int, right: int, max_sum: int) -> tuple[int, int]:
    """Halve two weights, rounding up, until their sum is at most `max_sum`; none becomes zero.

    >>> halve_to_fit(9, 0, 8)
    (5, 1)
    """
    while left + right > max_sum:
        left, right = (left + 1) >> 1, (right + 1) >> 1
    return max(left, 1), max(right, 1)


@njit(cache=True)
def _quotient(dividend: int, divisor: int, cap: int) -> int:
    """min(dividend // divisor, cap), exactly; a float only guesses it, in half the time."""
    guess = float(dividend) / float(divisor)
    if guess >= float(cap + 1):
        return cap
    quotient = int(guess)
    remainder = dividend - quotient * divisor
    if remainder < 0:
        quotient -= 1
    elif remainder >= divisor:
        quotient += 1
    return min(quotient, cap)


@njit(cache=True)
def _frequencies(
    k: int, free_left: int, free_right: int, left: int, right: int, concentration: int, table: Integers
) -> tuple[int, int, int, int]:
    """Frequencies of the numbers j of k picks on the left, in table[j − min_j], from `first` to `last`.

    f(j + 1) / f(j) = (k − j)(a + j) / ((j + 1)(b + k − j − 1)), in integers, outwards from the expected j until f is 0.
    Beyond `first` and `last` all frequencies are 1, and not in the table.

    Returns:
        min_j, first, last, total_freq.
    """
    min_j, max_j = max(0, k - free_right), min(k, free_left)
    left, right = halve_to_fit(left, right, MAX_SCALED_WEIGHT)
    total_weight = left + right
    probability = min(max((left * 65536) // total_weight, 1), 65535)
    a = max(1, probability * concentration * _FIXED_POINT >> 16)
    b = max(1, concentration * _FIXED_POINT - a)
    expected = min(max((k * probability) >> 16, min_j), max_j)
    peak = 1 << 20 if k < 1024 else 1 << 12
    total_freq = peak + max_j - min_j
    table[expected - min_j] = peak
    first, last = expected, expected
    value = peak
    while last < max_j:
        j = last
        value = _quotient(
            value * ((k - j) * (a + j * _FIXED_POINT)), (j + 1) * (b + (k - j - 1) * _FIXED_POINT), peak * 8
        )
        if value == 0:
            break
        last += 1
        table[last - min_j] = value
        total_freq += value - 1
    value = peak
    while first > min_j:
        j = first
        value = _quotient(
            value * (j * (b + (k - j) * _FIXED_POINT)), (k - j + 1) * (a + (j - 1) * _FIXED_POINT), peak * 8
        )
        if value == 0:
            break
        first -= 1
        table[first - min_j] = value
        total_freq += value - 1
    return min_j, first, last, total_freq


@njit(cache=True)
def encode_split(
    state: CoderState, out: Bytes, j: int, k: int, free_left: int, free_right: int, left: int, right: int,
    concentration: int, table: Integers,
) -> None:  # fmt: skip
    """Encode that j of k picks are on the left; nothing is written if only one j is possible.

    Args:
        state: of the encoder.
        out: where bytes go; uint8, shape (capacity,).
        j: picks on the left.
        k: picks.
        free_left: cells on the left that can be picked.
        free_right: cells on the right that can be picked.
        left: weight of the left half.
        right: weight of the right half.
        concentration: a + b.
        table: working memory; int64, shape (k + 1,) or more.
    """
    if max(0, k - free_right) == min(k, free_left):
        return
    if k == 1:
        spend(state, WORK_OF_SPLIT)
        left, right = halve_to_fit(left, right, MAX_WEIGHT)
        encode(state, out, 0 if j == 1 else left, left if j == 1 else right, left + right)
        return
    min_j, first, last, total_freq = _frequencies(k, free_left, free_right, left, right, concentration, table)
    spend(state, WORK_OF_SPLIT + last - first)
    cum_freq = min(j, first) - min_j
    for i in range(first, min(j, last + 1)):
        cum_freq += table[i - min_j]
    cum_freq += max(0, j - last - 1)
    encode(state, out, cum_freq, table[j - min_j] if first <= j <= last else 1, total_freq)


@njit(cache=True)
def decode_split(
    state: CoderState, data: Bytes, k: int, free_left: int, free_right: int, left: int, right: int, concentration: int,
    table: Integers,
) -> int:  # fmt: skip
    """Decode how many of k picks are on the left; not to be used if the decoder is exhausted after it.

    Args:
        state: of the decoder.
        data: the message; uint8, shape (length,).
        k: picks.
        free_left: cells on the left that can be picked.
        free_right: cells on the right that can be picked.
        left: weight of the left half.
        right: weight of the right half.
        concentration: a + b.
        table: working memory; int64, shape (k + 1,) or more.
    """
    if max(0, k - free_right) == min(k, free_left):
        return min(k, free_left)
    if k == 1:
        spend(state, WORK_OF_SPLIT)
        left, right = halve_to_fit(left, right, MAX_WEIGHT)
        on_left = decode_target(state, left + right) < left
        decode_update(state, data, 0 if on_left else left, left if on_left else right, left + right)
        return 1 if on_left else 0
    min_j, first, last, total_freq = _frequencies(k, free_left, free_right, left, right, concentration, table)
    spend(state, WORK_OF_SPLIT + last - first)
    target = decode_target(state, total_freq)
    cum_freq = first - min_j
    if target < cum_freq:
        decode_update(state, data, target, 1, total_freq)
        return min_j + target
    for j in range(first, last + 1):
        freq = table[j - min_j]
        if target < cum_freq + freq:
            decode_update(state, data, cum_freq, freq, total_freq)
            return j
        cum_freq += freq
    decode_update(state, data, target, 1, total_freq)
    return last + 1 + target - cum_freq
