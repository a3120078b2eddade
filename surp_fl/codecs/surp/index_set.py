"""Sets of coordinates of a whole model, with signs ↔ a range coder: layer by layer, each an index tree of its own.

Both use side information (`layers.py`) and what earlier sets of the message tell (`coded_state.py`). Encoder and
decoder mirror each other. Knows layers. Does not know magnitudes.
"""

from __future__ import annotations

import numpy as np

from surp_fl.codecs.surp.beta_binomial import BetaBinomial
from surp_fl.codecs.surp.cell_ranges import LayerCells
from surp_fl.codecs.surp.coded_state import CodedState
from surp_fl.codecs.surp.index_tree import LayerDecoder, LayerEncoder, SignCounts
from surp_fl.codecs.surp.layer_weights import (
    DEFAULT_EXPONENT,
    MIN_PICKS,
    decode_exponent,
    encode_exponent,
)
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder, WorkAccount
from surp_fl.types import Flags, Integers

# Work units (see "Credit" in FORMAT.md), set from the time that a decoder takes; tests.fuzz.hostile checks them.
_WORK_OF_SET, _WORK_OF_LAYER = 64, 32  # each set; each layer with picks
_LAYERS_PER_WORK, _TABLE_ENTRIES_PER_WORK, _KEYS_PER_WORK = 1, 4, 4  # one more unit for so many of each
_MAX_INSERTIONS = 40  # picks that are sorted as they come; more are faster with numpy
_DEFAULT, _MIN_PICKS = DEFAULT_EXPONENT, MIN_PICKS  # as C numbers


def encode_set(
    encoder: RangeEncoder, coordinates: Integers, negative: Flags, side: SideInformation, state: CodedState,
    disjoint: bool,
) -> None:  # fmt: skip
    """Encode a set of distinct coordinates and their signs; the decoder knows how many.

    Args:
        encoder: of the message.
        coordinates: int64, shape (k,).
        negative: uint8, shape (k,).
        side: what the decoder holds.
        state: after the earlier sets; updated.
        disjoint: whether no coordinate is in an earlier set.
    """
    remaining = len(coordinates)
    splits = BetaBinomial(remaining)
    keys_of_set = np.empty(remaining, np.int64)
    picks_of_layer = np.zeros(side.layer_count(), np.int64)
    keys, picks = keys_of_set, picks_of_layer
    layers_of_picks = side.layers_of(coordinates)
    layer_of = layers_of_picks
    for i in range(remaining):
        picks[layer_of[i]] += 1
    by_layer = _by_layer(layer_of, picks)
    _spend_on_set(encoder, state)
    free, weights, concentration = state.free_cells_from(disjoint), state.layer_weights_from(), state.concentration()
    for layer in range(side.layer_count()):
        k = picks[layer]
        splits.encode(
            encoder, k, remaining, free[layer] - free[layer + 1], free[layer + 1],
            weights[layer] - weights[layer + 1], weights[layer + 1], concentration,
        )  # fmt: skip
        remaining -= k
        state.seen[layer] += k
        if k > 0:
            _spend_on_layer(encoder, layer, side)
            members = by_layer[len(coordinates) - remaining - k : len(coordinates) - remaining]
            cells_of_picks, flags = _cells_and_flags(coordinates, negative, members, layer, side)
            cells = cells_of_picks
            if _sends_exponents(layer, k, side, state):
                columns = side.columns[layer]
                rows_of_picks = cells_of_picks // columns
                state.row_exponents[layer] = side.row_table(layer).best_exponent(rows_of_picks)
                state.column_exponents[layer] = side.column_table(layer).best_exponent(
                    cells_of_picks - rows_of_picks * columns
                )
                encode_exponent(encoder, state.row_exponents[layer])
                encode_exponent(encoder, state.column_exponents[layer])
            layer_cells = _layer_cells(layer, side, state, disjoint)
            LayerEncoder(encoder, layer_cells, cells, flags, _sign_counts(layer, side), splits).encode()
            for i in range(k):
                keys[remaining + i] = cells[i] + state.cells_from[layer + 1]
        if remaining == 0:
            break
    state.add(keys, picks)


def decode_set(
    decoder: RangeDecoder, coordinates: Integers, negative: Flags, side: SideInformation, state: CodedState,
    disjoint: bool,
) -> tuple[int, float]:  # fmt: skip
    """Decode a set of coordinates and their signs.

    Args:
        decoder: of the message.
        coordinates: filled in; int64, shape (k,), with k at most `state.capacity`.
        negative: filled in; uint8, shape (k,).
        side: what the encoder held.
        state: after the earlier sets; updated.
        disjoint: whether no coordinate is in an earlier set.

    Returns:
        How many were decoded, fewer than k if the decoder was exhausted; bits of their signs.
    """
    count = len(coordinates)
    sign_bits = 0.0
    splits = BetaBinomial(count)
    keys_of_set = np.empty(count, np.int64)
    picks_of_layer = np.zeros(side.layer_count(), np.int64)
    keys, picks = keys_of_set, picks_of_layer
    _spend_on_set(decoder, state)
    free, weights, concentration = state.free_cells_from(disjoint), state.layer_weights_from(), state.concentration()
    done = 0
    for layer in range(side.layer_count()):
        if decoder.exhausted():
            break
        k = splits.decode(
            decoder, count - done, free[layer] - free[layer + 1], free[layer + 1],
            weights[layer] - weights[layer + 1], weights[layer + 1], concentration,
        )  # fmt: skip
        if decoder.exhausted():
            break
        state.seen[layer] += k
        if k > 0:
            _spend_on_layer(decoder, layer, side)
            if _sends_exponents(layer, k, side, state):
                row_exponent, column_exponent = decode_exponent(decoder), decode_exponent(decoder)
                if decoder.exhausted():
                    break
                state.row_exponents[layer], state.column_exponents[layer] = row_exponent, column_exponent
            if decoder.exhausted():
                break
            layer_decoder = LayerDecoder(
                decoder, _layer_cells(layer, side, state, disjoint), coordinates[done : done + k],
                negative[done : done + k], _sign_counts(layer, side), splits,
            )  # fmt: skip
            read = layer_decoder.decode()
            sign_bits += layer_decoder.flag_bits
            picks[layer] = read
            for i in range(done, done + read):
                keys[i] = coordinates[i] + state.cells_from[layer + 1]
                if side.is_recent(layer):
                    negative[i] ^= side.recent_negative[coordinates[i]]
                coordinates[i] = side.coordinate_of(coordinates[i], layer)
            done += read
            if read < k:
                break
        if done == count:
            break
    state.add(keys[:done], picks)
    return done, sign_bits


def _spend_on_set(account: WorkAccount, state: CodedState) -> None:
    account.spend(_WORK_OF_SET + len(state.seen) // _LAYERS_PER_WORK + state.keys_kept() // _KEYS_PER_WORK)


def _spend_on_layer(account: WorkAccount, layer: int, side: SideInformation) -> None:
    table_entries = side.row_table(layer).size() + side.column_table(layer).size()
    account.spend(_WORK_OF_LAYER + table_entries // _TABLE_ENTRIES_PER_WORK)


def _sends_exponents(layer: int, k: int, side: SideInformation, state: CodedState) -> bool:
    """Whether a layer's exponents are sent with these k picks."""
    return state.row_exponents[layer] < 0 and side.first_row[layer] >= 0 and k >= _MIN_PICKS


def _layer_cells(layer: int, side: SideInformation, state: CodedState, disjoint: bool) -> LayerCells:
    """A layer's cells, with the weights of rows and columns that its exponents give."""
    known = state.row_exponents[layer] >= 0
    return LayerCells(
        side.rows[layer], side.columns[layer], state.cells_from[layer + 1],
        side.row_table(layer).cumulative(state.row_exponents[layer] if known else _DEFAULT),
        side.column_table(layer).cumulative(state.column_exponents[layer] if known else _DEFAULT),
        side.recent_keys, state.coded, disjoint,
    )  # fmt: skip


def _sign_counts(layer: int, side: SideInformation) -> SignCounts:
    """The model of a layer's signs.

    A recently changed coordinate mostly changes in the same direction again; other signs are counted by rows.
    """
    return SignCounts(6, 1, False) if side.is_recent(layer) else SignCounts(1, 1, True)


def _by_layer(layer_of: Integers, picks: Integers) -> Integers:
    """Positions of a set's coordinates, layer by layer; `picks` is the number in each layer."""
    found = np.empty(len(layer_of), np.int64)
    first = np.cumsum(picks) - picks
    order, place = found, first
    for i in range(len(layer_of)):
        order[place[layer_of[i]]] = i
        place[layer_of[i]] += 1
    return found


def _cells_and_flags(
    coordinates: Integers, negative: Flags, members: Integers, layer: int, side: SideInformation
) -> tuple[Integers, Flags]:
    """The cells of a layer's picks, ascending, and their sign flags.

    The flag of a recently changed coordinate says whether it changes in the other direction.
    """
    cells_of_picks, flags_of_picks = np.empty(len(members), np.int64), np.empty(len(members), np.uint8)
    cells, flags = cells_of_picks, flags_of_picks
    few = len(members) <= _MAX_INSERTIONS
    for i in range(len(members)):
        cell, flag = side.cell_of(coordinates[members[i]], layer), negative[members[i]]
        if side.is_recent(layer):
            flag ^= side.recent_negative[cell]
        at = i
        while few and at > 0 and cells[at - 1] > cell:
            cells[at], flags[at] = cells[at - 1], flags[at - 1]
            at -= 1
        cells[at], flags[at] = cell, flag
    if few:
        return cells_of_picks, flags_of_picks
    order = np.argsort(cells_of_picks)
    return cells_of_picks[order], flags_of_picks[order]
