"""What encoder and decoder know of a message's earlier sets: picks of each layer, exponents, and coded cells.

Both update it in the same way, set by set. A *pick* is a coordinate that is in a set. Knows layers and counts. Does not
know bits.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp.coded_set import CodedCells, bisect, max_keys
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.types import Integers

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
_CONCENTRATION_LAYERS = 2  # a + b of the beta-binomial, before any pick
_PICKS_PER_CONCENTRATION, _MAX_EXTRA_CONCENTRATION = 4, 400
_PRIOR_PICKS = 2  # that the prior counts for


class CodedState:
    """What earlier sets of a message tell about the next one; int64, one entry a layer in the order of coding.

    Args:
        side: what encoder and decoder hold.

    Attributes:
        seen: picks of each layer in all sets so far.
        row_exponents: of each layer's row weights, −1 until they are coded.
        column_exponents: the same of its column weights.
        coded: distinct cells that are coded, by their keys. A cell's key is its place in its layer, plus the cells of
            all later layers.
        cells_from: cells of each layer and all later ones; shape (layers + 1,).
    """

    def __init__(self, side: SideInformation) -> None:
        layers = side.layer_count()
        cells_from = side.cells_from_each_layer()
        self.seen = np.zeros(layers, np.int64)
        self.row_exponents, self.column_exponents = np.full(layers, -1), np.full(layers, -1)
        self.coded = CodedCells(int(cells_from[0]))
        self.cells_from = cells_from
        self._coded_in_layer = np.zeros(layers, np.int64)  # distinct cells
        self._own_cells = _own_cells(cells_from, side.recent_keys)  # without those of the layer of recent changes
        self._prior = _prior(cells_from)

    def copy(self) -> CodedState:
        """The same state, which can change by itself."""
        other = CodedState.__new__(CodedState)
        other.seen, other._coded_in_layer = np.array(self.seen), np.array(self._coded_in_layer)
        other.row_exponents, other.column_exponents = np.array(self.row_exponents), np.array(self.column_exponents)
        other.coded = self.coded.copy()
        other.cells_from, other._own_cells, other._prior = self.cells_from, self._own_cells, self._prior
        return other

    def free_cells_from(self, disjoint: bool) -> Integers:
        """Cells of each layer and all later ones that the next set may have.

        Args:
            disjoint: whether the set has no coordinate of an earlier one.

        Returns:
            int64, shape (layers + 1,).
        """
        found = np.zeros(len(self.cells_from), np.int64)
        free = found
        for layer in range(len(self._own_cells) - 1, -1, -1):
            free[layer] = free[layer + 1] + self._own_cells[layer] - (self._coded_in_layer[layer] if disjoint else 0)
        return found

    def capacity(self, disjoint: bool) -> int:
        """Number of coordinates that the next set may have; `disjoint` as in `free_cells_from`."""
        cells = 0
        for layer in range(len(self._own_cells)):
            cells += self._own_cells[layer] - (self._coded_in_layer[layer] if disjoint else 0)
        return int(cells)

    def keys_kept(self) -> int:
        """An upper bound of the keys that have to be moved when a set is added."""
        return min(sum_of(self._coded_in_layer), max_keys(self.cells_from[0]))

    def add(self, keys: Integers, picks: Integers) -> None:
        """Add a set.

        Args:
            keys: of the set's cells, in any order; shape (k,).
            picks: number of them in each layer; shape (layers,).
        """
        self.coded.add(keys)
        most = self.coded.max_rank()
        for layer in range(len(picks)):
            if picks[layer] > 0:
                low = self.coded.rank(0, most, self.cells_from[layer + 1])
                self._coded_in_layer[layer] = self.coded.rank(low, most, self.cells_from[layer]) - low

    def concentration(self) -> int:
        """The concentration a + b of the beta-binomial for splits between layers."""
        return _CONCENTRATION_LAYERS + min(sum_of(self.seen) // _PICKS_PER_CONCENTRATION, _MAX_EXTRA_CONCENTRATION)

    def layer_weights_from(self) -> Integers:
        """The weight of each layer and all later ones: a Pólya urn that starts with the prior; shape (layers + 1,)."""
        total_weight = sum_of(self._prior)
        found = np.zeros(len(self._prior) + 1, np.int64)
        weights = found
        for layer in range(len(self._prior) - 1, -1, -1):
            weights[layer] = weights[layer + 1] + _PRIOR_PICKS * self._prior[layer] + total_weight * self.seen[layer]
        return found


def sum_of(counts: Integers) -> int:
    """The sum of some counts."""
    total = 0
    for i in range(len(counts)):
        total += counts[i]
    return int(total)


def _prior(cells_from: Integers) -> Integers:
    """Expected share of each layer before any pick: proportional to the square root of its size."""
    found = np.empty(len(cells_from) - 1, np.int64)
    prior = found
    for layer in range(len(found)):
        prior[layer] = max(1, int(math.sqrt(16.0 * (cells_from[layer] - cells_from[layer + 1]))))
    return found


def _own_cells(cells_from: Integers, recent_keys: Integers) -> Integers:
    """Cells of each layer, without those that belong to the layer of recent changes."""
    found = np.empty(len(cells_from) - 1, np.int64)
    own_cells = found
    for layer in range(len(found)):
        low, high = cells_from[layer + 1], cells_from[layer]
        first = bisect(recent_keys, 0, len(recent_keys), low)
        own_cells[layer] = high - low - (bisect(recent_keys, first, len(recent_keys), high) - first)
    return found
