"""TBD"""

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
    """What the sets of a message told so far, and what they are told against.

    `seen`: picks of each layer. `powers`: to which the levels of a layer's rows and columns are raised, −1 until they
    are told; shape (layers, 2). `named`: keys of the picks: cells, plus the cells of all later layers; they are in
    `bits` and `counts` where they are many. `gone`: how many of each layer were named. `rooms`: cells from each layer
    on. `cold`: cells of each layer that are not told in the hot one. `prior`: expected share of each layer.
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
    """Begin a message."""
    layers = side.start.size
    cells_from = cells_from_each_layer(side)
    return CodedState(
        np.zeros(layers, np.int64), np.full((layers, 2), -1, np.int64),
        np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.int32), np.zeros(layers, np.int64),
        cells_from, _own_cells(cells_from, side), _prior(side),
    )  # fmt: skip


@njit(cache=True)
def _prior(side: SideInformation) -> Integers:
    """Expected share of each layer before anything is known: the square root of its size."""
    prior = np.empty(side.start.size, np.int64)
    for layer in range(prior.size):
        prior[layer] = max(1, int(math.sqrt(16.0 * side.rows[layer] * side.columns[layer])))
    return prior


@njit(cache=True)
def _own_cells(cells_from: Integers, side: SideInformation) -> Integers:
    """Cells of each layer that are not told in the hot one."""
    own_cells = np.empty(side.start.size, np.int64)
    for layer in range(own_cells.size):
        low, high = cells_from[layer + 1], cells_from[layer]
        own_cells[layer] = (
            high - low - (np.searchsorted(side.recent_keys, high) - np.searchsorted(side.recent_keys, low))
        )
    return own_cells


@njit(cache=True)
def free_cells_from(coded: CodedState, disjoint: bool) -> Integers:
    """Cells from each layer on that can be picked."""
    free = np.zeros(coded.cells_from.size, np.int64)
    for layer in range(coded.own_cells.size - 1, -1, -1):
        free[layer] = free[layer + 1] + coded.own_cells[layer] - (coded.coded_in_layer[layer] if disjoint else 0)
    return free


@njit(cache=True)
def capacity(coded: CodedState, disjoint: bool) -> int:
    """How many coordinates a set can have."""
    capacity = 0
    for layer in range(coded.own_cells.size):
        capacity += coded.own_cells[layer] - (coded.coded_in_layer[layer] if disjoint else 0)
    return capacity


@njit(cache=True)
def with_coded(coded: CodedState, keys: Integers, done: Integers) -> CodedState:
    """What is told after these keys, in layers of which each has so many."""
    already_coded, bits, counts = with_keys(coded.already_coded, coded.bits, coded.counts, keys, coded.cells_from[0])
    for layer in np.flatnonzero(done):
        low = rank(already_coded, bits, counts, 0, max_coded(already_coded, bits), coded.cells_from[layer + 1])
        coded.coded_in_layer[layer] = (
            rank(already_coded, bits, counts, low, max_coded(already_coded, bits), coded.cells_from[layer]) - low
        )
    return CodedState(
        coded.seen,
        coded.exponents,
        already_coded,
        bits,
        counts,
        coded.coded_in_layer,
        coded.cells_from,
        coded.own_cells,
        coded.prior,
    )


@njit(cache=True)
def layer_weights_from(prior: Integers, seen: Integers) -> tuple[Integers, int]:
    """Weight of the layers from each one on, given what they had so far, and how far to trust it."""
    picks = seen.sum()
    total_weight = prior.sum()
    weights = np.zeros(prior.size + 1, np.int64)
    for layer in range(prior.size - 1, -1, -1):
        weights[layer] = weights[layer + 1] + _PRIOR_PICKS * prior[layer] + total_weight * seen[layer]
    return weights, _CONCENTRATION_LAYERS + min(picks // _PICKS_PER_CONCENTRATION, _MAX_EXTRA_CONCENTRATION)
