"""Index sets ↔ a range coder: how many lie left, how many right, down to single coordinates.

A set of k picks among weighted cells is told by halving the cells again and again and saying at each halving how many
of the picks fall to the left. The order of the picks is never sent. Time grows with k·log(cells), not with the cells.

Three kinds of halving, from the root down: layers, rows of a layer, columns of a row. The expected share of a half is
the share of its weight; `trust` says how closely counts follow it (a beta-binomial with a + b = trust). A single pick
is told by the weights themselves, its row and its column in a symbol each. What was told of the same cells before
counts like picks seen there (a Pólya tree), and its cells are not told again. Knows weights and counts; not where they
come from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.codecs.surp.beta_binomial import MOST_SHARED, MOST_WEIGHT, decode_split, encode_split, fit
from surp_fl.codecs.surp.coded_set import Counts, Words, bisect, most, rank
from surp_fl.entropy.range_coder import Bytes, State, bits_read, encode, ended, peek, spend, take
from surp_fl.types import Integers

Flags = NDArray[np.bool_]

TRUST_LAYERS, TRUST_ROWS, TRUST_COLUMNS = 2, 24, 200  # a + b
_CHANGED, _NAMED = 4, 16  # what a cell that changed lately, or was named before, counts for; in sixteenths of a pick
_FINE = 16
_WORK_OF_HALVING, _WORK_OF_PLACE, _WORK_OF_PICK = 12, 8, 16


Node = tuple[int, int, int, int, int, int, int, int]  # rows, columns, places in `changed` and `named`: first and end


class Cells(NamedTuple):
    """A layer's cells, rows × columns, and what is known of them.

    `row_sums`, `column_sums`: running sums of their weights; empty where all are alike. `changed`, `named`: ascending
    keys (`first` plus the cell) of what changed lately, which is told elsewhere, and of what this message told before,
    which is not told again where the picks are `fresh`; `bits` and `counts` may hold the latter instead (`named.py`).
    """

    rows: int
    columns: int
    first: int
    row_sums: Integers
    column_sums: Integers
    changed: Integers
    named: Integers
    bits: Words
    counts: Counts
    fresh: bool


@njit(cache=True)
def _weight(sums: Integers, low: int, high: int) -> int:
    """Weight of cells [low, high); without sums all cells are alike."""
    return high - low if sums.size == 0 else int(sums[high] - sums[low])


@njit(cache=True)
def _root(cells: Cells) -> Node:
    """All cells of a layer."""
    last = cells.first + cells.rows * cells.columns
    changed = bisect(cells.changed, 0, cells.changed.size, cells.first)
    end = most(cells.named, cells.bits)
    named = rank(cells.named, cells.bits, cells.counts, 0, end, cells.first)
    return (
        0, cells.rows, 0, cells.columns,
        changed, bisect(cells.changed, changed, cells.changed.size, last),
        named, rank(cells.named, cells.bits, cells.counts, named, end, last),
    )  # fmt: skip


@njit(cache=True)
def _size(node: Node) -> int:
    """How many cells there are."""
    return (node[1] - node[0]) * (node[3] - node[2])


@njit(cache=True)
def _room(node: Node, cells: Cells) -> int:
    """How many cells can be picked."""
    first, last, low, high, changed, changed_end, named, named_end = node
    gone = changed_end - changed + (named_end - named if cells.fresh else 0)
    return (last - first) * (high - low) - gone


@njit(cache=True)
def _free(share: int, room: int, size: int) -> int:
    """What is left of a weight when only some of its cells can be picked."""
    if room == size:
        return share
    return max((share * ((room << 16) // size)) >> 16, 1)


@njit(cache=True)
def _halve(node: Node, cells: Cells) -> tuple[Node, Node, int, int, int]:
    """The halves of a node, their weights, and how far to trust them."""
    first, last, low, high, changed, changed_end, named, named_end = node
    if last - first > 1:
        middle = (first + last) >> 1
        left, right = _weight(cells.row_sums, first, middle), _weight(cells.row_sums, middle, last)
        ends, starts, trust = (middle, high), (middle, low), TRUST_ROWS
        key = cells.first + middle * cells.columns
    else:
        middle = (low + high) >> 1
        left, right = _weight(cells.column_sums, low, middle), _weight(cells.column_sums, middle, high)
        ends, starts, trust = (last, middle), (first, middle), TRUST_COLUMNS
        key = cells.first + first * cells.columns + middle
    changed_middle = bisect(cells.changed, changed, changed_end, key)
    named_middle = rank(cells.named, cells.bits, cells.counts, named, named_end, key)
    before = first, ends[0], low, ends[1], changed, changed_middle, named, named_middle
    after = starts[0], last, starts[1], high, changed_middle, changed_end, named_middle, named_end
    if changed_end > changed or named_end > named:
        told_before = _CHANGED * (changed_middle - changed) + _NAMED * (named_middle - named)
        told_after = _CHANGED * (changed_end - changed_middle) + _NAMED * (named_end - named_middle)
        left, right = fit(left, right, MOST_SHARED)
        left = _free(left, _room(before, cells), (ends[0] - first) * (ends[1] - low))
        right = _free(right, _room(after, cells), (last - starts[0]) * (high - starts[1]))
        whole = left + right
        left, right = _FINE * trust * left + told_before * whole, _FINE * trust * right + told_after * whole
        left, right = fit(left, right, MOST_SHARED)
        trust += (told_before + told_after) // _FINE
    return before, after, left, right, trust


@njit(cache=True)
def _axis(node: Node, cells: Cells) -> tuple[int, int, Integers, int]:
    """Rows of a node, or columns of its only row: first and end, running sums of weights, and the weight of them all.

    The last is 0 where one pick among them cannot be told in one symbol: something was told before, or it is too much.
    """
    first, last, low, high, changed, changed_end, named, named_end = node
    if last - first > 1:
        whole = _weight(cells.row_sums, first, last)
        low, high, sums = first, last, cells.row_sums
    else:
        whole = _weight(cells.column_sums, low, high)
        sums = cells.column_sums
    plain = changed == changed_end and named == named_end and whole <= MOST_WEIGHT
    return low, high, sums, whole if plain else 0


@njit(cache=True)
def _narrowed(node: Node, place: int) -> Node:
    """One row of a node, or one column of its only row."""
    first, last, low, high, changed, changed_end, named, named_end = node
    if last - first > 1:
        first, last = place, place + 1
    else:
        low, high = place, place + 1
    return first, last, low, high, changed, changed_end, named, named_end


@njit(cache=True)
def _place_of(target: int, low: int, high: int, sums: Integers) -> int:
    """Which row or column of [low, high) has this part of their weight."""
    return low + target if sums.size == 0 else bisect(sums, low + 1, high, sums[low] + target + 1) - 1


@njit(cache=True)
def _begins(node: Node, cells: Cells) -> int:
    """The first cell of a node."""
    return node[0] * cells.columns + node[2]


@njit(cache=True)
def _new_row(odds: Integers, cell: int, cells: Cells) -> None:
    """Start counting flags anew where a row begins, if they are counted by rows."""
    if odds[2] >= 0 and odds[2] != cell // cells.columns:
        odds[0], odds[1], odds[2] = 1, 1, cell // cells.columns


@njit(cache=True)
def encode_layer(
    state: State, out: Bytes, picks: Integers, flags: Flags, odds: Integers, cells: Cells, table: Integers
) -> None:
    """Write ascending picks among a layer's cells, each with its flag; their number is told already.

    `odds` counts the flags so far, false and true; it is kept up to date. Its third entry is the row, or −1 for odds
    of all rows together.
    """
    stack = [(_root(cells), 0, picks.size)]
    while len(stack) > 0:
        node, start, end = stack.pop()
        k = end - start
        while 0 < k < _size(node):
            low, _, sums, whole = _axis(node, cells)
            if k == 1 and whole > 0:
                spend(state, _WORK_OF_PLACE)
                row = picks[start] // cells.columns
                place = row if node[1] - node[0] > 1 else picks[start] - row * cells.columns
                encode(state, out, _weight(sums, low, place), _weight(sums, place, place + 1), whole)
                node = _narrowed(node, place)
                continue
            spend(state, _WORK_OF_HALVING)
            before, after, left, right, trust = _halve(node, cells)
            j = bisect(picks, start, start + k, _begins(after, cells)) - start
            encode_split(state, out, j, k, _room(before, cells), _room(after, cells), left, right, trust, table)
            if 0 < j < k:
                stack.append((after, start + j, start + k))
            node, k, start = (before, j, start) if j > 0 else (after, k, start)
        spend(state, _WORK_OF_PICK * k)
        for i in range(start, start + k):
            _new_row(odds, picks[i], cells)
            one = 1 if flags[i] else 0
            encode(state, out, odds[0] if one else 0, odds[one], odds[0] + odds[1])
            odds[one] += 1


@njit(cache=True)
def decode_layer(
    state: State, data: Bytes, picks: Integers, flags: Flags, odds: Integers, cells: Cells, table: Integers
) -> tuple[int, float]:
    """Read up to `picks.size` ascending picks and their flags.

    Gives how many there were before the message ended, and the bits of the flags.
    """
    of_flags = 0.0
    stack = [(_root(cells), 0, picks.size)]
    while len(stack) > 0:
        node, start, end = stack.pop()
        k = end - start
        while 0 < k < _size(node):
            low, high, sums, whole = _axis(node, cells)
            if k == 1 and whole > 0:
                spend(state, _WORK_OF_PLACE)
                place = _place_of(peek(state, whole), low, high, sums)
                take(state, data, _weight(sums, low, place), _weight(sums, place, place + 1), whole)
                if ended(state):
                    return start, of_flags
                node = _narrowed(node, place)
                continue
            spend(state, _WORK_OF_HALVING)
            before, after, left, right, trust = _halve(node, cells)
            j = decode_split(state, data, k, _room(before, cells), _room(after, cells), left, right, trust, table)
            if ended(state):
                return start, of_flags
            if 0 < j < k:
                stack.append((after, start + j, start + k))
            node, k = (before, j) if j > 0 else (after, k)
        spend(state, _WORK_OF_PICK * k)
        if ended(state):
            return start, of_flags
        cell = _begins(node, cells)
        told = bits_read(state)
        for i in range(start, start + k):
            _new_row(odds, cell, cells)
            one = 1 if peek(state, odds[0] + odds[1]) >= odds[0] else 0
            take(state, data, odds[0] if one else 0, odds[one], odds[0] + odds[1])
            if ended(state):
                return i, of_flags
            odds[one] += 1
            picks[i], flags[i] = cell, one == 1
            cell += 1
        of_flags += bits_read(state) - told
    return picks.size, of_flags
