"""Index trees: picks among a layer's cells, with signs ↔ a range coder, by recursive halving.

A set of k picks among weighted cells is coded node by node: a *split* (`beta_binomial.py`) says
how many of its picks are in the left half. The order of the picks is never sent. A single pick takes one symbol for its
row and one for its column. Time grows with k·log(cells), not with the cells. Nodes are as in `cell_ranges.py`. Encoder
and decoder mirror each other. Knows nodes. Does not know side information.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl.codecs.surp.beta_binomial import decode_split, encode_split
from surp_fl.codecs.surp.cell_ranges import (
    LayerCells,
    axis,
    cell_count,
    first_cell,
    free_cells,
    halve,
    narrowed,
    position_of,
    root,
    weight_of,
)
from surp_fl.codecs.surp.coded_set import bisect
from surp_fl.entropy.range_coder import (
    Bytes,
    CoderState,
    bits_read,
    decode_target,
    decode_update,
    encode,
    exhausted,
    spend,
)
from surp_fl.types import Integers

Flags = NDArray[np.bool_]

# Work units (see "Credit" in FORMAT.md), set from the time that a decoder takes; tests.fuzz.hostile checks them.
_WORK_OF_HALVING, _WORK_OF_POSITION, _WORK_OF_PICK = 12, 8, 16


@njit(cache=True)
def _reset_at_new_row(sign_counts: Integers, cell: int, cells: LayerCells) -> None:
    """Begin new sign counts where a row begins, if they are counted by rows."""
    if sign_counts[2] >= 0 and sign_counts[2] != cell // cells.columns:
        sign_counts[0], sign_counts[1], sign_counts[2] = 1, 1, cell // cells.columns


@njit(cache=True)
def encode_layer(
    state: CoderState, out: Bytes, picks: Integers, flags: Flags, sign_counts: Integers, cells: LayerCells,
    table: Integers,
) -> None:  # fmt: skip
    """Encode picks among a layer's cells, each with a sign flag; the decoder knows how many.

    Args:
        state: of the encoder.
        out: where bytes go; uint8, shape (capacity,).
        picks: ascending cells; shape (k,).
        flags: of each pick; bool, shape (k,).
        sign_counts: of false and of true flags so far, and the row they are counted in (−1: counted for the whole
            layer); shape (3,), updated in place.
        cells: of the layer.
        table: working memory of splits; int64, shape (k + 1,) or more.
    """
    stack = [(root(cells), 0, picks.size)]
    while len(stack) > 0:
        node, start, end = stack.pop()
        k = end - start
        while 0 < k < cell_count(node):
            low, _, sums, total_weight = axis(node, cells)
            if k == 1 and total_weight > 0:
                spend(state, _WORK_OF_POSITION)
                row = picks[start] // cells.columns
                position = row if node[1] - node[0] > 1 else picks[start] - row * cells.columns
                cum_freq, freq = weight_of(sums, low, position), weight_of(sums, position, position + 1)
                encode(state, out, cum_freq, freq, total_weight)
                node = narrowed(node, position)
                continue
            spend(state, _WORK_OF_HALVING)
            left_node, right_node, left, right, concentration = halve(node, cells)
            j = bisect(picks, start, start + k, first_cell(right_node, cells)) - start
            free_left, free_right = free_cells(left_node, cells), free_cells(right_node, cells)
            encode_split(state, out, j, k, free_left, free_right, left, right, concentration, table)
            if 0 < j < k:
                stack.append((right_node, start + j, start + k))
            node, k, start = (left_node, j, start) if j > 0 else (right_node, k, start)
        spend(state, _WORK_OF_PICK * k)
        for i in range(start, start + k):
            _reset_at_new_row(sign_counts, picks[i], cells)
            one = 1 if flags[i] else 0
            encode(state, out, sign_counts[0] if one else 0, sign_counts[one], sign_counts[0] + sign_counts[1])
            sign_counts[one] += 1


@njit(cache=True)
def decode_layer(
    state: CoderState, data: Bytes, picks: Integers, flags: Flags, sign_counts: Integers, cells: LayerCells,
    table: Integers,
) -> tuple[int, float]:  # fmt: skip
    """Decode ascending picks among a layer's cells, and their sign flags.

    Args:
        state: of the decoder.
        data: the message; uint8, shape (length,).
        picks: filled in; shape (k,).
        flags: filled in; shape (k,).
        sign_counts: as in `encode_layer`.
        cells: of the layer.
        table: working memory of splits; int64, shape (k + 1,) or more.

    Returns:
        How many picks were decoded before the decoder was exhausted, and the bits of their flags.
    """
    flag_bits = 0.0
    stack = [(root(cells), 0, picks.size)]
    while len(stack) > 0:
        node, start, end = stack.pop()
        k = end - start
        while 0 < k < cell_count(node):
            low, high, sums, total_weight = axis(node, cells)
            if k == 1 and total_weight > 0:
                spend(state, _WORK_OF_POSITION)
                position = position_of(decode_target(state, total_weight), low, high, sums)
                cum_freq, freq = weight_of(sums, low, position), weight_of(sums, position, position + 1)
                decode_update(state, data, cum_freq, freq, total_weight)
                if exhausted(state):
                    return start, flag_bits
                node = narrowed(node, position)
                continue
            spend(state, _WORK_OF_HALVING)
            left_node, right_node, left, right, concentration = halve(node, cells)
            free_left, free_right = free_cells(left_node, cells), free_cells(right_node, cells)
            j = decode_split(state, data, k, free_left, free_right, left, right, concentration, table)
            if exhausted(state):
                return start, flag_bits
            if 0 < j < k:
                stack.append((right_node, start + j, start + k))
            node, k = (left_node, j) if j > 0 else (right_node, k)
        spend(state, _WORK_OF_PICK * k)
        if exhausted(state):
            return start, flag_bits
        cell = first_cell(node, cells)
        bits_before = bits_read(state)
        for i in range(start, start + k):
            _reset_at_new_row(sign_counts, cell, cells)
            one = 1 if decode_target(state, sign_counts[0] + sign_counts[1]) >= sign_counts[0] else 0
            decode_update(state, data, sign_counts[0] if one else 0, sign_counts[one], sign_counts[0] + sign_counts[1])
            if exhausted(state):
                return i, flag_bits
            sign_counts[one] += 1
            picks[i], flags[i] = cell, one == 1
            cell += 1
        flag_bits += bits_read(state) - bits_before
    return picks.size, flag_bits
