"""Sets of coordinates of a whole model, with signs ↔ a range coder: layer by layer, each a tree of its own.

The writer and the reader mirror each other. What they share from the start is a `Shared`; what they learn on the way, a
`Told`: how many picks each layer had so far, which, and the powers to which levels are raised.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from surp_fl._compile import njit
from surp_fl.codecs.surp.beta_binomial import decode_split, encode_split
from surp_fl.codecs.surp.coded_set import Counts, Words, few, most, rank, with_more
from surp_fl.codecs.surp.index_tree import TRUST_LAYERS, Cells, decode_layer, encode_layer
from surp_fl.codecs.surp.layers import (
    STEPS,
    Shared,
    cell_of,
    coordinate_of,
    is_hot,
    layers_of,
    rooms_of,
    tables_of,
)
from surp_fl.entropy.range_coder import Bytes, State, encode, ended, peek, spend, take
from surp_fl.types import Integers, Signs

_POWERS = 4  # 0 to 3
_USUAL_POWER = 2
_ENOUGH = 8  # picks in a layer before its powers are worth their bits
_POWER_START = np.array([0, 2, 5, 11, 16], np.int64)  # in sixteenths: 2, 3, 6, 5
_FULL = 14  # bits of the largest weight
_WORK_OF_SET, _WORK_OF_LAYER = 64, 32  # a set; a layer with picks
_LAYERS, _LEVELS, _NAMED = (
    1,
    4,
    4,
)  # of a set: layers, rows and columns of layers with picks, and keys kept, for one work
_EXP2 = np.array([round(2 ** (_FULL - f / STEPS)) for f in range(STEPS)], np.int64)


class Told(NamedTuple):
    """What the sets of a message told so far, and what they are told against.

    `seen`: picks of each layer. `powers`: to which the levels of a layer's rows and columns are raised, −1 until they
    are told; shape (layers, 2). `named`: keys of the picks: cells, plus the cells of all later layers; they are in
    `bits` and `counts` where they are many. `gone`: how many of each layer were named. `rooms`: cells from each layer
    on. `cold`: cells of each layer that are not told in the hot one. `prior`: expected share of each layer.
    """

    seen: Integers
    powers: Integers
    named: Integers
    bits: Words
    counts: Counts
    gone: Integers
    rooms: Integers
    cold: Integers
    prior: Integers


@njit(cache=True)
def nothing_told(shared: Shared) -> Told:
    """Begin a message."""
    layers = shared.start.size
    rooms = rooms_of(shared)
    return Told(
        np.zeros(layers, np.int64), np.full((layers, 2), -1, np.int64),
        np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.int32), np.zeros(layers, np.int64),
        rooms, _cold(rooms, shared), _prior(shared),
    )  # fmt: skip


@njit(cache=True)
def _sums(levels: Integers, power: int) -> Integers:
    """Running sums of the weights 2^(power·level/256), the largest being 2^14 and the smallest 1."""
    sums = np.empty(levels.size + 1, np.int64)
    sums[0] = 0
    for i in range(levels.size):
        down = -power * levels[i]
        sums[i + 1] = sums[i] + max(1, _EXP2[down & (STEPS - 1)] >> min(down // STEPS, 62))
    return sums


@njit(cache=True)
def _best_power(levels: Integers, ranks: Integers) -> int:
    """The power with the shortest code for these ranks."""
    best, shortest = 0, math.inf
    for power in range(_POWERS):
        whole = 0.0
        for level in levels:
            whole += 2.0 ** (power * level / STEPS)
        bits = float(ranks.size) * math.log2(whole)
        for place in ranks:
            bits -= power * levels[place] / STEPS
        bits -= math.log2(_POWER_START[power + 1] - _POWER_START[power])
        if bits < shortest:
            best, shortest = power, bits
    return best


@njit(cache=True)
def best_powers(row_levels: Integers, column_levels: Integers, rows: Integers, columns: Integers) -> tuple[int, int]:
    """The powers that a layer with picks in these rows and columns (by rank) is coded with."""
    if rows.size < _ENOUGH:
        return _USUAL_POWER, _USUAL_POWER
    return _best_power(row_levels, rows), _best_power(column_levels, columns)


@njit(cache=True)
def _prior(shared: Shared) -> Integers:
    """Expected share of each layer before anything is known: the square root of its size."""
    prior = np.empty(shared.start.size, np.int64)
    for layer in range(prior.size):
        prior[layer] = max(1, int(math.sqrt(16.0 * shared.rows[layer] * shared.columns[layer])))
    return prior


@njit(cache=True)
def _cold(rooms: Integers, shared: Shared) -> Integers:
    """Cells of each layer that are not told in the hot one."""
    cold = np.empty(shared.start.size, np.int64)
    for layer in range(cold.size):
        low, high = rooms[layer + 1], rooms[layer]
        cold[layer] = high - low - (np.searchsorted(shared.hot_keys, high) - np.searchsorted(shared.hot_keys, low))
    return cold


@njit(cache=True)
def _free(told: Told, fresh: bool) -> Integers:
    """Cells from each layer on that can be picked."""
    free = np.zeros(told.rooms.size, np.int64)
    for layer in range(told.cold.size - 1, -1, -1):
        free[layer] = free[layer + 1] + told.cold[layer] - (told.gone[layer] if fresh else 0)
    return free


@njit(cache=True)
def room(told: Told, fresh: bool) -> int:
    """How many coordinates a set can have."""
    room = 0
    for layer in range(told.cold.size):
        room += told.cold[layer] - (told.gone[layer] if fresh else 0)
    return room


@njit(cache=True)
def _named(told: Told, keys: Integers, done: Integers) -> Told:
    """What is told after these keys, in layers of which each has so many."""
    named, bits, counts = with_more(told.named, told.bits, told.counts, keys, told.rooms[0])
    for layer in np.flatnonzero(done):
        low = rank(named, bits, counts, 0, most(named, bits), told.rooms[layer + 1])
        told.gone[layer] = rank(named, bits, counts, low, most(named, bits), told.rooms[layer]) - low
    return Told(told.seen, told.powers, named, bits, counts, told.gone, told.rooms, told.cold, told.prior)


@njit(cache=True)
def _weights(prior: Integers, seen: Integers) -> tuple[Integers, int]:
    """Weight of the layers from each one on, given what they had so far, and how far to trust it."""
    picks = seen.sum()
    whole = prior.sum()
    weights = np.zeros(prior.size + 1, np.int64)
    for layer in range(prior.size - 1, -1, -1):  # as if the prior were two picks
        weights[layer] = weights[layer + 1] + 2 * prior[layer] + whole * seen[layer]
    return weights, TRUST_LAYERS + min(picks // 4, 400)


@njit(cache=True)
def _usual_or_told(layer: int, k: int, powers: Integers, shared: Shared) -> tuple[int, int, bool]:
    """The powers for a layer's rows and columns, and whether they are still to be told."""
    if powers[layer, 0] >= 0:
        return powers[layer, 0], powers[layer, 1], False
    return _USUAL_POWER, _USUAL_POWER, shared.first_row[layer] >= 0 and k >= _ENOUGH


@njit(cache=True)
def _running(levels: Integers, power: int) -> Integers:
    return _sums(levels, power) if levels.size > 0 else levels


@njit(cache=True)
def _odds(layer: int, shared: Shared) -> Integers:
    """False and true flags so far: what changed lately goes on the same way; the others' signs go by rows."""
    return np.array([6, 1, -1]) if is_hot(layer, shared) else np.array([1, 1, 0])


@njit(cache=True)
def _flags(negative: Signs, cells: Integers, layer: int, shared: Shared) -> Signs:
    """Signs as they are coded, and back: for what changed lately, whether it turns."""
    return negative != shared.hot_negative[cells] if is_hot(layer, shared) else negative


@njit(cache=True)
def _begin(state: State, told: Told, fresh: bool) -> tuple[Integers, Integers, int]:
    """Free cells and weights of the layers from each one on, and how far to trust them, at the start of a set."""
    kept = min(told.gone.sum(), few(told.rooms[0]))
    spend(state, _WORK_OF_SET + told.prior.size // _LAYERS + kept // _NAMED)
    weights, trust = _weights(told.prior, told.seen)
    return _free(told, fresh), weights, trust


@njit(cache=True)
def _known(layer: int, by_row: int, by_column: int, shared: Shared, told: Told, fresh: bool) -> Cells:
    """A layer's cells, with the weights that these powers give them."""
    row_levels, column_levels = tables_of(layer, shared)
    return Cells(
        shared.rows[layer], shared.columns[layer], told.rooms[layer + 1],
        _running(row_levels, by_row), _running(column_levels, by_column),
        shared.hot_keys, told.named, told.bits, told.counts, fresh,
    )  # fmt: skip


@njit(cache=True)
def _spend_on_layer(state: State, layer: int, shared: Shared) -> None:
    row_levels, column_levels = tables_of(layer, shared)
    spend(state, _WORK_OF_LAYER + (row_levels.size + column_levels.size) // _LEVELS)


@njit(cache=True)
def encode_set(
    state: State, out: Bytes, coordinates: Integers, negative: Signs, shared: Shared, told: Told, fresh: bool
) -> Told:
    """Write a set of distinct coordinates and their signs; the decoder knows how many.

    A `fresh` set names nothing that was told before. Gives what is told after it; `told` is not to be used any more.
    """
    keys = np.empty(coordinates.size, np.int64)
    table = np.empty(coordinates.size + 2, np.int64)
    in_layer = np.zeros(told.seen.size, np.int64)
    layer_of = layers_of(coordinates, shared)
    free, weights, trust = _begin(state, told, fresh)
    remaining = coordinates.size
    for layer in range(told.seen.size):
        mine = np.flatnonzero(layer_of == layer)
        k, here = mine.size, free[layer] - free[layer + 1]
        share, rest = weights[layer] - weights[layer + 1], weights[layer + 1]
        encode_split(state, out, k, remaining, here, free[layer + 1], share, rest, trust, table)
        remaining -= k
        told.seen[layer] += k
        in_layer[layer] = k
        if k > 0:
            _spend_on_layer(state, layer, shared)
            cells = np.empty(k, np.int64)
            for i in range(k):
                cells[i] = cell_of(coordinates[mine[i]], layer, shared)
            order = np.argsort(cells)
            cells = cells[order]
            by_row, by_column, tell = _usual_or_told(layer, k, told.powers, shared)
            if tell:
                row_levels, column_levels = tables_of(layer, shared)
                columns = shared.columns[layer]
                by_row, by_column = best_powers(row_levels, column_levels, cells // columns, cells % columns)
                _encode_power(state, out, by_row)
                _encode_power(state, out, by_column)
                told.powers[layer, 0], told.powers[layer, 1] = by_row, by_column
            known = _known(layer, by_row, by_column, shared, told, fresh)
            flags = _flags(negative[mine[order]], cells, layer, shared)
            encode_layer(state, out, cells, flags, _odds(layer, shared), known, table)
            keys[remaining : remaining + k] = cells + told.rooms[layer + 1]
        if remaining == 0:
            break
    return _named(told, keys, in_layer)


@njit(cache=True)
def decode_set(
    state: State, data: Bytes, count: int, shared: Shared, told: Told, fresh: bool
) -> tuple[Integers, Signs, Told, float]:
    """Read a set of `count` coordinates and their signs, in the order of coding; fewer where the message ended.

    Gives what is told after it, as `encode_set` does, and the bits of the signs.
    """
    of_signs = 0.0
    coordinates, negative = np.empty(count, np.int64), np.empty(count, np.bool_)
    keys = np.empty(count, np.int64)
    table = np.empty(count + 2, np.int64)
    in_layer = np.zeros(told.seen.size, np.int64)
    free, weights, trust = _begin(state, told, fresh)
    done = 0
    for layer in range(told.seen.size):
        if ended(state):
            break
        remaining, cells = count - done, free[layer] - free[layer + 1]
        share, rest = weights[layer] - weights[layer + 1], weights[layer + 1]
        k = decode_split(state, data, remaining, cells, free[layer + 1], share, rest, trust, table)
        if ended(state):
            break
        told.seen[layer] += k
        if k > 0:
            _spend_on_layer(state, layer, shared)
            by_row, by_column, tell = _usual_or_told(layer, k, told.powers, shared)
            if tell:
                by_row = _decode_power(state, data)
                by_column = _decode_power(state, data)
                if ended(state):
                    break
                told.powers[layer, 0], told.powers[layer, 1] = by_row, by_column
            if ended(state):
                break
            here = coordinates[done : done + k]
            known = _known(layer, by_row, by_column, shared, told, fresh)
            flags = negative[done : done + k]
            read, of_flags = decode_layer(state, data, here, flags, _odds(layer, shared), known, table)
            of_signs += of_flags
            in_layer[layer] = read
            keys[done : done + read] = here[:read] + told.rooms[layer + 1]
            negative[done : done + read] = _flags(negative[done : done + read], here[:read], layer, shared)
            for i in range(read):
                here[i] = coordinate_of(here[i], layer, shared)
            done += read
            if read < k:
                break
        if done == count:
            break
    return coordinates[:done], negative[:done], _named(told, keys[:done], in_layer), of_signs


@njit(cache=True)
def _encode_power(state: State, out: Bytes, power: int) -> None:
    encode(state, out, _POWER_START[power], _POWER_START[power + 1] - _POWER_START[power], 16)


@njit(cache=True)
def _decode_power(state: State, data: Bytes) -> int:
    power = int(np.searchsorted(_POWER_START, peek(state, 16), side="right")) - 1
    take(state, data, _POWER_START[power], _POWER_START[power + 1] - _POWER_START[power], 16)
    return power
