"""What encoder and decoder know of a message's earlier sets: picks of each layer, exponents, and coded cells.

Both update it in the same way, set by set. A *pick* is a coordinate that is in a set. Knows layers and counts. Does not
know bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from surp_fl._compile import njit
from surp_fl.codecs.surp.coded_set import Counts, Words, max_coded, rank, with_keys
from surp_fl.codecs.surp.layers import SideInformation, cells_from_each_layer
from surp_fl.types import Integers

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
_CONCENTRATION_LAYERS = 2  # a + b of the beta-binomial, before any pick
_PICKS_PER_CONCENTRATION, _MAX_EXTRA_CONCENTRATION = 4, 400
_PRIOR_PICKS = 2  # that the prior counts for


class CodedState(NamedTuple):
    """What earlier sets of a message tell about the next one; int64, one entry a layer in the order of coding.

    Attributes:
        seen: picks of each layer in all sets so far.
        exponents: of each layer's row and column weights, −1 until they are coded; shape (layers, 2).
        already_coded: ascending keys of coded cells; empty if they are in `bits` and `counts`, as in `coded_set.py`.
            A cell's key is its place in its layer, plus the cells of all later layers.
        bits: one bit for each cell.
        counts: Fenwick tree over `bits`.
        coded_in_layer: distinct cells of each layer that are coded.
        cells_from: cells of each layer and all later ones; shape (layers + 1,).
        own_cells: cells of each layer, without those that belong to the layer of recent changes.
        prior: expected share of each layer, before any pick.
    """

    seen: Integers
    exponents: Integers
    already_coded: Integers
    bits: Words
    counts: Counts
    coded_in_layer: Integers
    cells_from: Integers
    own_cells: Integers
    prior: Integers


@njit(cache=True)
def nothing_coded(side: SideInformation) -> CodedState:
    """The state before the first set of a message."""
    layers = side.start.size
    cells_from = cells_from_each_layer(side)
    return CodedState(
        np.zeros(layers, np.int64), np.full((layers, 2), -1, np.int64),
        np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.int32), np.zeros(layers, np.int64),
        cells_from, _own_cells(cells_from, side), _prior(side),
    )  # fmt: skip


@njit(cache=True)
def _prior(side: SideInformation) -> Integers:
    """Expected share of each layer before any pick: proportional to the square root of its size."""
    prior = np.empty(side.start.size, np.int64)
    for layer in range(prior.size):
        prior[layer] = max(1, int(math.sqrt(16.0 * side.rows[layer] * side.columns[layer])))
    return prior


@njit(cache=True)
def _own_cells(cells_from: Integers, side: SideInformation) -> Integers:
    """Cells of each layer, without those that belong to the layer of recent changes."""
    own_cells = np.empty(side.start.size, np.int64)
    for layer in range(own_cells.size):
        low, high = cells_from[layer + 1], cells_from[layer]
        recent = np.searchsorted(side.recent_keys, high) - np.searchsorted(side.recent_keys, low)
        own_cells[layer] = high - low - recent
    return own_cells


@njit(cache=True)
def free_cells_from(coded: CodedState, disjoint: bool) -> Integers:
    """Cells of each layer and all later ones that the next set may have.

    Args:
        coded: the state.
        disjoint: whether the set has no coordinate of an earlier one.

    Returns:
        int64, shape (layers + 1,).
    """
    free = np.zeros(coded.cells_from.size, np.int64)
    for layer in range(coded.own_cells.size - 1, -1, -1):
        free[layer] = free[layer + 1] + coded.own_cells[layer] - (coded.coded_in_layer[layer] if disjoint else 0)
    return free


@njit(cache=True)
def capacity(coded: CodedState, disjoint: bool) -> int:
    """Number of coordinates that the next set may have; `disjoint` as in `free_cells_from`."""
    capacity = 0
    for layer in range(coded.own_cells.size):
        capacity += coded.own_cells[layer] - (coded.coded_in_layer[layer] if disjoint else 0)
    return capacity


@njit(cache=True)
def with_coded(coded: CodedState, keys: Integers, picks: Integers) -> CodedState:
    """The state after a set; `coded` is updated in part, and not to be used any more.

    Args:
        coded: the state before the set.
        keys: of the set's cells, in any order; shape (k,).
        picks: number of them in each layer; shape (layers,).
    """
    already_coded, bits, counts = with_keys(coded.already_coded, coded.bits, coded.counts, keys, coded.cells_from[0])
    most = max_coded(already_coded, bits)
    for layer in np.flatnonzero(picks):
        low = rank(already_coded, bits, counts, 0, most, coded.cells_from[layer + 1])
        coded.coded_in_layer[layer] = rank(already_coded, bits, counts, low, most, coded.cells_from[layer]) - low
    return CodedState(
        coded.seen, coded.exponents, already_coded, bits, counts, coded.coded_in_layer,
        coded.cells_from, coded.own_cells, coded.prior,
    )  # fmt: skip


@njit(cache=True)
def layer_weights_from(prior: Integers, seen: Integers) -> tuple[Integers, int]:
    """The weight of each layer and all later ones, given the picks so far: a Pólya urn that starts with the prior.

    Args:
        prior: expected share of each layer; shape (layers,).
        seen: picks of each layer so far; shape (layers,).

    Returns:
        Weights, shape (layers + 1,), and the concentration a + b of the beta-binomial for splits between layers.
    """
    picks = seen.sum()
    total_weight = prior.sum()
    weights = np.zeros(prior.size + 1, np.int64)
    for layer in range(prior.size - 1, -1, -1):
        weights[layer] = weights[layer + 1] + _PRIOR_PICKS * prior[layer] + total_weight * seen[layer]
    return weights, _CONCENTRATION_LAYERS + min(picks // _PICKS_PER_CONCENTRATION, _MAX_EXTRA_CONCENTRATION)
