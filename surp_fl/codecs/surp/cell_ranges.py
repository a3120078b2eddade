"""Ranges of a layer's cells, and how they are halved: the nodes of an index tree, with the weights of their halves.

The expected share of a half is its share of the weights of rows or columns. Cells that were coded before, or changed
recently, count as evidence like picks seen there (a Pólya tree), and those that cannot be picked are left out. Knows
weights and keys. Does not know where they come from, and not bits.
"""

from __future__ import annotations

from typing import NamedTuple

from surp_fl._compile import njit
from surp_fl.codecs.surp.beta_binomial import MAX_SCALED_WEIGHT, MAX_WEIGHT, halve_to_fit
from surp_fl.codecs.surp.coded_set import Counts, Words, bisect, max_coded, rank
from surp_fl.types import Integers

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
_CONCENTRATION_ROWS, _CONCENTRATION_COLUMNS = 24, 200  # a + b of the beta-binomial
_EVIDENCE_PER_PICK = 16  # units of evidence
_RECENT_EVIDENCE, _CODED_EVIDENCE = 4, 16  # units of a recently changed cell, and of an already coded one

# First row and end, first column and end; ranks of the node's first and end among recent keys, and among coded ones.
Node = tuple[int, int, int, int, int, int, int, int]


class LayerCells(NamedTuple):
    """A layer's cells, rows × columns, and what is known of them.

    Attributes:
        rows: of the layer.
        columns: of the layer.
        first: key of the layer's first cell.
        row_sums: cumulative weights of the rows by rank, shape (rows + 1,); empty if all weigh the same.
        column_sums: cumulative weights of the columns by rank, shape (columns + 1,); empty if all weigh the same.
        recent: ascending keys of recently changed cells, which are in a layer of their own and cannot be picked here.
        already_coded: ascending keys of cells that this message coded before, or empty; see `coded_set.py`.
        bits: the same as a bitmap, or empty.
        counts: Fenwick tree over `bits`.
        disjoint: whether already coded cells cannot be picked again.
    """

    rows: int
    columns: int
    first: int
    row_sums: Integers
    column_sums: Integers
    recent: Integers
    already_coded: Integers
    bits: Words
    counts: Counts
    disjoint: bool


@njit(cache=True)
def weight_of(sums: Integers, low: int, high: int) -> int:
    """Weight of rows or columns [low, high); without cumulative weights each weighs 1."""
    return high - low if sums.size == 0 else int(sums[high] - sums[low])


@njit(cache=True)
def root(cells: LayerCells) -> Node:
    """The node of all cells of a layer."""
    last = cells.first + cells.rows * cells.columns
    recent = bisect(cells.recent, 0, cells.recent.size, cells.first)
    end = max_coded(cells.already_coded, cells.bits)
    coded = rank(cells.already_coded, cells.bits, cells.counts, 0, end, cells.first)
    return (
        0, cells.rows, 0, cells.columns,
        recent, bisect(cells.recent, recent, cells.recent.size, last),
        coded, rank(cells.already_coded, cells.bits, cells.counts, coded, end, last),
    )  # fmt: skip


@njit(cache=True)
def cell_count(node: Node) -> int:
    """Number of cells of a node."""
    return (node[1] - node[0]) * (node[3] - node[2])


@njit(cache=True)
def free_cells(node: Node, cells: LayerCells) -> int:
    """Number of cells of a node that can be picked."""
    first, last, low, high, recent, recent_end, coded, coded_end = node
    excluded = recent_end - recent + (coded_end - coded if cells.disjoint else 0)
    return (last - first) * (high - low) - excluded


@njit(cache=True)
def _scale_weight(weight: int, free: int, size: int) -> int:
    """A half's weight in proportion to the cells that can be picked, at least 1."""
    if free == size:
        return weight
    return max((weight * ((free << 16) // size)) >> 16, 1)


@njit(cache=True)
def halve(node: Node, cells: LayerCells) -> tuple[Node, Node, int, int, int]:
    """Halve a node: at its middle row, or at its middle column if it has one row.

    Returns:
        The left and the right node, their weights, and the concentration a + b of the beta-binomial for the split.
    """
    first, last, low, high, recent, recent_end, coded, coded_end = node
    if last - first > 1:
        middle = (first + last) >> 1
        left, right = weight_of(cells.row_sums, first, middle), weight_of(cells.row_sums, middle, last)
        ends, starts, concentration = (middle, high), (middle, low), _CONCENTRATION_ROWS
        key = cells.first + middle * cells.columns
    else:
        middle = (low + high) >> 1
        left, right = weight_of(cells.column_sums, low, middle), weight_of(cells.column_sums, middle, high)
        ends, starts, concentration = (last, middle), (first, middle), _CONCENTRATION_COLUMNS
        key = cells.first + first * cells.columns + middle
    recent_middle = bisect(cells.recent, recent, recent_end, key)
    coded_middle = rank(cells.already_coded, cells.bits, cells.counts, coded, coded_end, key)
    left_node = first, ends[0], low, ends[1], recent, recent_middle, coded, coded_middle
    right_node = starts[0], last, starts[1], high, recent_middle, recent_end, coded_middle, coded_end
    if recent_end > recent or coded_end > coded:
        evidence_left = _RECENT_EVIDENCE * (recent_middle - recent) + _CODED_EVIDENCE * (coded_middle - coded)
        evidence_right = _RECENT_EVIDENCE * (recent_end - recent_middle) + _CODED_EVIDENCE * (coded_end - coded_middle)
        left, right = halve_to_fit(left, right, MAX_SCALED_WEIGHT)
        left = _scale_weight(left, free_cells(left_node, cells), (ends[0] - first) * (ends[1] - low))
        right = _scale_weight(right, free_cells(right_node, cells), (last - starts[0]) * (high - starts[1]))
        total_weight = left + right
        left, right = (
            _EVIDENCE_PER_PICK * concentration * left + evidence_left * total_weight,
            _EVIDENCE_PER_PICK * concentration * right + evidence_right * total_weight,
        )
        left, right = halve_to_fit(left, right, MAX_SCALED_WEIGHT)
        concentration += (evidence_left + evidence_right) // _EVIDENCE_PER_PICK
    return left_node, right_node, left, right, concentration


@njit(cache=True)
def axis(node: Node, cells: LayerCells) -> tuple[int, int, Integers, int]:
    """The rows of a node, or the columns of its only row.

    Returns:
        The first and the end of them, their cumulative weights, and their total weight; that is 0 if a single pick
        cannot be coded in one symbol, for evidence within the node or a total above MAX_WEIGHT.
    """
    first, last, low, high, recent, recent_end, coded, coded_end = node
    if last - first > 1:
        total_weight = weight_of(cells.row_sums, first, last)
        low, high, sums = first, last, cells.row_sums
    else:
        total_weight = weight_of(cells.column_sums, low, high)
        sums = cells.column_sums
    direct = recent == recent_end and coded == coded_end and total_weight <= MAX_WEIGHT
    return low, high, sums, total_weight if direct else 0


@njit(cache=True)
def narrowed(node: Node, position: int) -> Node:
    """The node of one row of a node, or of one column of its only row."""
    first, last, low, high, recent, recent_end, coded, coded_end = node
    if last - first > 1:
        first, last = position, position + 1
    else:
        low, high = position, position + 1
    return first, last, low, high, recent, recent_end, coded, coded_end


@njit(cache=True)
def position_of(target: int, low: int, high: int, sums: Integers) -> int:
    """The row or column of [low, high) in whose part of the cumulative weights `target` lies."""
    return low + target if sums.size == 0 else bisect(sums, low + 1, high, sums[low] + target + 1) - 1


@njit(cache=True)
def first_cell(node: Node, cells: LayerCells) -> int:
    """The first cell of a node, counted within the layer."""
    return node[0] * cells.columns + node[2]
