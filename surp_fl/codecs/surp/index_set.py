"""Sets of coordinates of a whole model, with signs ↔ a range coder: layer by layer, each an index tree of its own.

Both use side information (`layers.py`) and what earlier sets of the message tell (`coded_state.py`). Encoder and
decoder mirror each other. Knows layers. Does not know magnitudes.
"""

from __future__ import annotations

import numpy as np

from surp_fl._compile import njit
from surp_fl.codecs.surp.beta_binomial import decode_split, encode_split
from surp_fl.codecs.surp.cell_ranges import LayerCells
from surp_fl.codecs.surp.coded_set import max_keys
from surp_fl.codecs.surp.coded_state import CodedState, free_cells_from, layer_weights_from, with_coded
from surp_fl.codecs.surp.index_tree import decode_layer, encode_layer
from surp_fl.codecs.surp.layer_weights import (
    DEFAULT_EXPONENT,
    MIN_PICKS,
    best_exponents,
    cumulative_weights,
    decode_exponent,
    encode_exponent,
)
from surp_fl.codecs.surp.layers import SideInformation, cell_of, coordinate_of, is_recent, layers_of, tables_of
from surp_fl.entropy.range_coder import Bytes, CoderState, exhausted, spend
from surp_fl.types import Integers, Signs

# Work units (see "Credit" in FORMAT.md), set from the time that a decoder takes; tests.fuzz.hostile checks them.
_WORK_OF_SET, _WORK_OF_LAYER = 64, 32  # each set; each layer with picks
_LAYERS_PER_WORK, _TABLE_ENTRIES_PER_WORK, _KEYS_PER_WORK = 1, 4, 4  # one more unit for so many of each


@njit(cache=True)
def _exponents_of(layer: int, k: int, exponents: Integers, side: SideInformation) -> tuple[int, int, bool]:
    """A layer's exponents for rows and columns, and whether they are to be sent with these k picks."""
    if exponents[layer, 0] >= 0:
        return exponents[layer, 0], exponents[layer, 1], False
    return DEFAULT_EXPONENT, DEFAULT_EXPONENT, side.first_row[layer] >= 0 and k >= MIN_PICKS


@njit(cache=True)
def _initial_sign_counts(layer: int, side: SideInformation) -> Integers:
    """Counts of false and true flags at the start of a layer, and where they are counted.

    A recently changed coordinate mostly changes in the same direction again; other signs are counted by rows.
    """
    return np.array([6, 1, -1]) if is_recent(layer, side) else np.array([1, 1, 0])


@njit(cache=True)
def _sign_flags(negative: Signs, cells: Integers, layer: int, side: SideInformation) -> Signs:
    """Signs ↔ flags: of a recently changed coordinate, whether it changes in the other direction."""
    return negative != side.recent_negative[cells] if is_recent(layer, side) else negative


@njit(cache=True)
def _begin_set(state: CoderState, coded: CodedState, disjoint: bool) -> tuple[Integers, Integers, int]:
    """Free cells and weights of each layer and all later ones, and the concentration between layers."""
    keys_kept = min(coded.coded_in_layer.sum(), max_keys(coded.cells_from[0]))
    spend(state, _WORK_OF_SET + coded.prior.size // _LAYERS_PER_WORK + keys_kept // _KEYS_PER_WORK)
    weights, concentration = layer_weights_from(coded.prior, coded.seen)
    return free_cells_from(coded, disjoint), weights, concentration


@njit(cache=True)
def _layer_cells(
    layer: int, by_row: int, by_column: int, side: SideInformation, coded: CodedState, disjoint: bool
) -> LayerCells:
    """A layer's cells, with the weights of rows and columns that these exponents give."""
    row_log2_weights, column_log2_weights = tables_of(layer, side)
    return LayerCells(
        side.rows[layer], side.columns[layer], coded.cells_from[layer + 1],
        cumulative_weights(row_log2_weights, by_row), cumulative_weights(column_log2_weights, by_column),
        side.recent_keys, coded.already_coded, coded.bits, coded.counts, disjoint,
    )  # fmt: skip


@njit(cache=True)
def _spend_on_layer(state: CoderState, layer: int, side: SideInformation) -> None:
    row_log2_weights, column_log2_weights = tables_of(layer, side)
    spend(state, _WORK_OF_LAYER + (row_log2_weights.size + column_log2_weights.size) // _TABLE_ENTRIES_PER_WORK)


@njit(cache=True)
def encode_set(
    state: CoderState, out: Bytes, coordinates: Integers, negative: Signs, side: SideInformation, coded: CodedState,
    disjoint: bool,
) -> CodedState:  # fmt: skip
    """Encode a set of distinct coordinates and their signs; the decoder knows how many.

    Args:
        state: of the encoder.
        out: where bytes go; uint8, shape (capacity,).
        coordinates: int64, shape (k,).
        negative: bool, shape (k,).
        side: what the decoder holds.
        coded: state after the earlier sets; not to be used any more.
        disjoint: whether no coordinate is in an earlier set.

    Returns:
        The state after this set.
    """
    keys = np.empty(coordinates.size, np.int64)
    table = np.empty(coordinates.size + 2, np.int64)
    in_layer = np.zeros(coded.seen.size, np.int64)
    layer_of = layers_of(coordinates, side)
    free, weights, concentration = _begin_set(state, coded, disjoint)
    remaining = coordinates.size
    for layer in range(coded.seen.size):
        members = np.flatnonzero(layer_of == layer)
        k, free_here = members.size, free[layer] - free[layer + 1]
        weight, later_weight = weights[layer] - weights[layer + 1], weights[layer + 1]
        encode_split(state, out, k, remaining, free_here, free[layer + 1], weight, later_weight, concentration, table)
        remaining -= k
        coded.seen[layer] += k
        in_layer[layer] = k
        if k > 0:
            _spend_on_layer(state, layer, side)
            cells = np.empty(k, np.int64)
            for i in range(k):
                cells[i] = cell_of(coordinates[members[i]], layer, side)
            order = np.argsort(cells)
            cells = cells[order]
            by_row, by_column, send_them = _exponents_of(layer, k, coded.exponents, side)
            if send_them:
                by_rows, by_columns = tables_of(layer, side)
                columns = side.columns[layer]
                by_row, by_column = best_exponents(by_rows, by_columns, cells // columns, cells % columns)
                encode_exponent(state, out, by_row)
                encode_exponent(state, out, by_column)
                coded.exponents[layer, 0], coded.exponents[layer, 1] = by_row, by_column
            cells_of_layer = _layer_cells(layer, by_row, by_column, side, coded, disjoint)
            flags = _sign_flags(negative[members[order]], cells, layer, side)
            encode_layer(state, out, cells, flags, _initial_sign_counts(layer, side), cells_of_layer, table)
            keys[remaining : remaining + k] = cells + coded.cells_from[layer + 1]
        if remaining == 0:
            break
    return with_coded(coded, keys, in_layer)


@njit(cache=True)
def decode_set(
    state: CoderState, data: Bytes, count: int, side: SideInformation, coded: CodedState, disjoint: bool
) -> tuple[Integers, Signs, CodedState, float]:
    """Decode a set of coordinates and their signs.

    Args:
        state: of the decoder.
        data: the message; uint8, shape (length,).
        count: coordinates of the set; at most `capacity`.
        side: what the encoder held.
        coded: state after the earlier sets; not to be used any more.
        disjoint: whether no coordinate is in an earlier set.

    Returns:
        Coordinates and signs in the order of coding, fewer than `count` if the decoder was exhausted; the state after
        this set; bits of the signs.
    """
    sign_bits = 0.0
    coordinates, negative = np.empty(count, np.int64), np.empty(count, np.bool_)
    keys = np.empty(count, np.int64)
    table = np.empty(count + 2, np.int64)
    in_layer = np.zeros(coded.seen.size, np.int64)
    free, weights, concentration = _begin_set(state, coded, disjoint)
    done = 0
    for layer in range(coded.seen.size):
        if exhausted(state):
            break
        remaining, free_here = count - done, free[layer] - free[layer + 1]
        weight, later_weight = weights[layer] - weights[layer + 1], weights[layer + 1]
        k = decode_split(state, data, remaining, free_here, free[layer + 1], weight, later_weight, concentration, table)
        if exhausted(state):
            break
        coded.seen[layer] += k
        if k > 0:
            _spend_on_layer(state, layer, side)
            by_row, by_column, send_them = _exponents_of(layer, k, coded.exponents, side)
            if send_them:
                by_row = decode_exponent(state, data)
                by_column = decode_exponent(state, data)
                if exhausted(state):
                    break
                coded.exponents[layer, 0], coded.exponents[layer, 1] = by_row, by_column
            if exhausted(state):
                break
            picks = coordinates[done : done + k]
            cells_of_layer = _layer_cells(layer, by_row, by_column, side, coded, disjoint)
            flags = negative[done : done + k]
            sign_counts = _initial_sign_counts(layer, side)
            picks_read, flag_bits = decode_layer(state, data, picks, flags, sign_counts, cells_of_layer, table)
            sign_bits += flag_bits
            in_layer[layer] = picks_read
            keys[done : done + picks_read] = picks[:picks_read] + coded.cells_from[layer + 1]
            negative[done : done + picks_read] = _sign_flags(flags[:picks_read], picks[:picks_read], layer, side)
            for i in range(picks_read):
                picks[i] = coordinate_of(picks[i], layer, side)
            done += picks_read
            if picks_read < k:
                break
        if done == count:
            break
    return coordinates[:done], negative[:done], with_coded(coded, keys[:done], in_layer), sign_bits
