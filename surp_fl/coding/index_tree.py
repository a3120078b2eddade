"""Index sets ↔ a range coder: how many lie left, how many right, down to single coordinates.

A set of k picks among weighted cells is told by halving the cells again and again and saying at each halving how many
of the picks fall to the left. The order of the picks is never sent. Time grows with k·log(cells), not with the cells.

Three kinds of halving, from the root down: layers, rows of a layer, columns of a row. The expected share of a half is
the share of its weight; `trust` says how closely counts follow it (a beta-binomial with a + b = trust). For one pick
that is the share itself. Knows weights and counts; not where the weights come from.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from surp_fl.coding.range_coder import Bytes, State, encode, ended, peek, take

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

TRUST_LAYERS, TRUST_ROWS, TRUST_COLUMNS = 2, 24, 200  # a + b
_UNIT = 64  # fixed point of a and b
_MOST_WEIGHT = 1 << 28


@njit(cache=True)
def _frequencies(
    k: int, room_left: int, room_right: int, left: int, right: int, trust: int, table: Integers
) -> tuple[int, int, int]:
    """Fill in how likely each number j of k picks is on the left; give the least j, how many j there are, the total.

    f(j + 1) / f(j) = (k − j)(a + j) / ((j + 1)(b + k − j − 1)), out from the expected j in integers.
    """
    least, most = max(0, k - room_right), min(k, room_left)
    whole = left + right  # below 2^46
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
def _fit(left: int, right: int) -> tuple[int, int]:
    """Scale two weights down to what a range coder's total may be; none becomes zero."""
    while left + right > _MOST_WEIGHT:
        left, right = (left + 1) >> 1, (right + 1) >> 1
    return max(left, 1), max(right, 1)


@njit(cache=True)
def encode_split(
    state: State, out: Bytes, j: int, k: int, room_left: int, room_right: int, left: int, right: int, trust: int,
    table: Integers,
) -> None:  # fmt: skip
    """Say that j of k picks lie on the left."""
    if max(0, k - room_right) == min(k, room_left):
        return
    if k == 1:
        left, right = _fit(left, right)
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
        left, right = _fit(left, right)
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


@njit(cache=True)
def _weight(sums: Integers, low: int, high: int) -> int:
    """Weight of cells [low, high); without sums all cells are alike."""
    return high - low if sums.size == 0 else int(sums[high] - sums[low])


@njit(cache=True)
def _halve(low: int, high: int, columns: int, row_sums: Integers, column_sums: Integers) -> tuple[int, int, int, int]:
    """Where to halve cells [low, high), the weights of the halves, and how far to trust them."""
    if high - low > columns:  # several whole rows
        first, last = low // columns, high // columns
        middle = (first + last) // 2
        return middle * columns, _weight(row_sums, first, middle), _weight(row_sums, middle, last), TRUST_ROWS
    row = low // columns * columns
    middle = (low + high) // 2
    left, right = _weight(column_sums, low - row, middle - row), _weight(column_sums, middle - row, high - row)
    return middle, left, right, TRUST_COLUMNS


@njit(cache=True)
def encode_layer(
    state: State, out: Bytes, cells: Integers, flags: Flags, odds: Integers, rows: int, columns: int,
    row_sums: Integers, column_sums: Integers, stack: Integers, table: Integers,
) -> None:  # fmt: skip
    """Write ascending cells of a layer of rows × columns, each with its flag; their number is told already.

    `odds` counts the flags so far, false and true; it is kept up to date, unless it stays at even odds: (1, 1, 0).
    """
    depth = 0
    stack[0], stack[1], stack[2], stack[3] = 0, rows * columns, 0, cells.size
    while depth >= 0:
        low, high, start, end = stack[4 * depth], stack[4 * depth + 1], stack[4 * depth + 2], stack[4 * depth + 3]
        depth -= 1
        k = end - start
        if k == high - low:
            for i in range(start, end):
                one = 1 if flags[i] else 0
                encode(state, out, odds[0] if one else 0, odds[one], odds[0] + odds[1])
                odds[one] += odds[2]
        elif k > 0:
            middle, left, right, trust = _halve(low, high, columns, row_sums, column_sums)
            j = int(np.searchsorted(cells[start:end], middle))
            encode_split(state, out, j, k, middle - low, high - middle, left, right, trust, table)
            depth = _push(stack, depth, middle, high, start + j, end)
            depth = _push(stack, depth, low, middle, start, start + j)


@njit(cache=True)
def decode_layer(
    state: State, data: Bytes, cells: Integers, flags: Flags, odds: Integers, rows: int, columns: int,
    row_sums: Integers, column_sums: Integers, stack: Integers, table: Integers,
) -> int:  # fmt: skip
    """Read up to `cells.size` ascending cells and their flags; give how many there were before the message ended."""
    depth = 0
    stack[0], stack[1], stack[2], stack[3] = 0, rows * columns, 0, cells.size
    while depth >= 0:
        low, high, start, end = stack[4 * depth], stack[4 * depth + 1], stack[4 * depth + 2], stack[4 * depth + 3]
        depth -= 1
        k = end - start
        if k == high - low:
            for i in range(k):
                one = 1 if peek(state, odds[0] + odds[1]) >= odds[0] else 0
                take(state, data, odds[0] if one else 0, odds[one], odds[0] + odds[1])
                if ended(state):
                    return int(start + i)
                odds[one] += odds[2]
                cells[start + i] = low + i
                flags[start + i] = one == 1
        elif k > 0:
            middle, left, right, trust = _halve(low, high, columns, row_sums, column_sums)
            j = decode_split(state, data, k, middle - low, high - middle, left, right, trust, table)
            if ended(state):
                return int(start)
            depth = _push(stack, depth, middle, high, start + j, end)
            depth = _push(stack, depth, low, middle, start, start + j)
    return cells.size


@njit(cache=True)
def _push(stack: Integers, depth: int, low: int, high: int, start: int, end: int) -> int:
    depth += 1
    stack[4 * depth], stack[4 * depth + 1], stack[4 * depth + 2], stack[4 * depth + 3] = low, high, start, end
    return depth
