"""How many of k picks lie on the left ↔ a range coder: a beta-binomial in integers.

Knows two weights, two rooms, and how closely counts follow the weights; not what is left and right.
"""

from __future__ import annotations

from surp_fl._compile import njit
from surp_fl.entropy.range_coder import Bytes, State, encode, peek, spend, take
from surp_fl.types import Integers

WORK_OF_SYMBOL = 4  # and 1 for each frequency that is reckoned beyond the first
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
def _quotient(number: int, divisor: int, most: int) -> int:
    """number // divisor, at most `most`; exact: floats only guess it, at half the time."""
    guess = float(number) / float(divisor)
    if guess >= float(most + 1):
        return most
    quotient = int(guess)
    rest = number - quotient * divisor
    if rest < 0:
        quotient -= 1
    elif rest >= divisor:
        quotient += 1
    return min(quotient, most)


@njit(cache=True)
def _frequencies(
    k: int, room_left: int, room_right: int, left: int, right: int, trust: int, table: Integers
) -> tuple[int, int, int, int]:
    """Say how likely each number j of k picks is on the left: in table[j − least], from a first j to a last one.

    Gives the least j, those two, and the total.

    f(j + 1) / f(j) = (k − j)(a + j) / ((j + 1)(b + k − j − 1)), out from the expected j in integers, until it is 0.
    From there on all are 1, and are not in the table.
    """
    least, most = max(0, k - room_right), min(k, room_left)
    left, right = fit(left, right, MOST_SHARED)
    whole = left + right
    share = min(max((left * 65536) // whole, 1), 65535)
    a = max(1, share * trust * _UNIT >> 16)
    b = max(1, trust * _UNIT - a)
    middle = min(max((k * share) >> 16, least), most)
    peak = 1 << 20 if k < 1024 else 1 << 12
    total = peak + most - least
    table[middle - least] = peak
    first, last = middle, middle
    value = peak
    while last < most:
        j = last
        value = _quotient(value * ((k - j) * (a + j * _UNIT)), (j + 1) * (b + (k - j - 1) * _UNIT), peak * 8)
        if value == 0:
            break
        last += 1
        table[last - least] = value
        total += value - 1
    value = peak
    while first > least:
        j = first
        value = _quotient(value * (j * (b + (k - j) * _UNIT)), (k - j + 1) * (a + (j - 1) * _UNIT), peak * 8)
        if value == 0:
            break
        first -= 1
        table[first - least] = value
        total += value - 1
    return least, first, last, total


@njit(cache=True)
def encode_split(
    state: State, out: Bytes, j: int, k: int, room_left: int, room_right: int, left: int, right: int, trust: int,
    table: Integers,
) -> None:  # fmt: skip
    """Say that j of k picks lie on the left."""
    if max(0, k - room_right) == min(k, room_left):
        return
    if k == 1:
        spend(state, WORK_OF_SYMBOL)
        left, right = fit(left, right, MOST_WEIGHT)
        encode(state, out, 0 if j == 1 else left, left if j == 1 else right, left + right)
        return
    least, first, last, total = _frequencies(k, room_left, room_right, left, right, trust, table)
    spend(state, WORK_OF_SYMBOL + last - first)
    start = min(j, first) - least
    for i in range(first, min(j, last + 1)):
        start += table[i - least]
    start += max(0, j - last - 1)
    encode(state, out, start, table[j - least] if first <= j <= last else 1, total)


@njit(cache=True)
def decode_split(
    state: State, data: Bytes, k: int, room_left: int, room_right: int, left: int, right: int, trust: int,
    table: Integers,
) -> int:  # fmt: skip
    """Read how many of k picks lie on the left; worth nothing where the message has ended."""
    if max(0, k - room_right) == min(k, room_left):
        return min(k, room_left)
    if k == 1:
        spend(state, WORK_OF_SYMBOL)
        left, right = fit(left, right, MOST_WEIGHT)
        on_left = peek(state, left + right) < left
        take(state, data, 0 if on_left else left, left if on_left else right, left + right)
        return 1 if on_left else 0
    least, first, last, total = _frequencies(k, room_left, room_right, left, right, trust, table)
    spend(state, WORK_OF_SYMBOL + last - first)
    target = peek(state, total)
    start = first - least
    if target < start:
        take(state, data, target, 1, total)
        return least + target
    for j in range(first, last + 1):
        size = table[j - least]
        if target < start + size:
            take(state, data, start, size, total)
            return j
        start += size
    take(state, data, target, 1, total)
    return last + 1 + target - start
