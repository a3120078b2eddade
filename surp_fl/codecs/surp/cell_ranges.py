"""Ranges of a layer's cells, and how they are halved: the nodes of an index tree, with the weights of their halves.

The expected share of a half is its share of the weights of rows or columns. Cells that were coded before, or changed
recently, count as evidence like picks seen there (a Pólya tree), and those that cannot be picked are left out. Knows
weights and keys. Does not know where they come from, and not bits.
"""

from __future__ import annotations

from surp_fl.codecs.surp.beta_binomial import MAX_SCALED_WEIGHT, MAX_WEIGHT, halved, halvings_to_fit
from surp_fl.codecs.surp.coded_set import CodedCells, bisect
from surp_fl.types import Integers

# Part of the format. Set by hand; simulations.experiments.messages measures what a change does.
_CONCENTRATION_ROWS, _CONCENTRATION_COLUMNS = 24, 200  # a + b of the beta-binomial
_EVIDENCE_PER_PICK = 16  # units of evidence
_RECENT_EVIDENCE, _CODED_EVIDENCE = 4, 16  # units of a recently changed cell, and of an already coded one
_MAX_WEIGHT, _MAX_SCALED_WEIGHT = MAX_WEIGHT, MAX_SCALED_WEIGHT  # as C numbers

# A range of rows, or a range of columns of one row: first row and end, first column and end; ranks of the node's first
# cell and end among recent keys, and among coded ones.
Node = tuple[int, int, int, int, int, int, int, int]


def cell_count(node: Node) -> int:
    """Number of cells of a node."""
    return (node[1] - node[0]) * (node[3] - node[2])


def narrowed(node: Node, position: int) -> Node:
    """The node of one row of a node, or of one column of its only row."""
    first, last, low, high, recent, recent_end, coded, coded_end = node
    if last - first > 1:
        return position, position + 1, low, high, recent, recent_end, coded, coded_end
    return first, last, position, position + 1, recent, recent_end, coded, coded_end


def weight_of(sums: Integers, low: int, high: int) -> int:
    """Weight of rows or columns [low, high); without cumulative weights each weighs 1."""
    return high - low if len(sums) == 0 else int(sums[high] - sums[low])


class LayerCells:
    """A layer's cells, rows × columns, and what is known of them.

    Args:
        rows: of the layer.
        columns: of the layer.
        first: key of the layer's first cell.
        row_sums: cumulative weights of the rows by rank, shape (rows + 1,); empty if all weigh the same.
        column_sums: cumulative weights of the columns by rank, shape (columns + 1,); empty if all weigh the same.
        recent: ascending keys of recently changed cells, which are in a layer of their own and cannot be picked here.
        coded: cells that this message coded before.
        disjoint: whether already coded cells cannot be picked again.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        first: int,
        row_sums: Integers,
        column_sums: Integers,
        recent: Integers,
        coded: CodedCells,
        disjoint: bool,
    ) -> None:
        self.rows, self.columns = rows, columns
        self._first = first
        self._row_sums, self._column_sums = row_sums, column_sums
        self._recent, self._coded, self._disjoint = recent, coded, disjoint

    def root(self) -> Node:
        """The node of all cells."""
        end = self._first + self.rows * self.columns
        recent = bisect(self._recent, 0, len(self._recent), self._first)
        recent_end = bisect(self._recent, recent, len(self._recent), end)
        most = self._coded.max_rank()
        coded = self._coded.rank(0, most, self._first)
        return 0, self.rows, 0, self.columns, recent, recent_end, coded, self._coded.rank(coded, most, end)

    def first_cell(self, node: Node) -> int:
        """The first cell of a node, counted within the layer."""
        return node[0] * self.columns + node[2]

    def free_cells(self, node: Node) -> int:
        """Number of cells of a node that can be picked."""
        first, last, low, high, recent, recent_end, coded, coded_end = node
        excluded = recent_end - recent + (coded_end - coded if self._disjoint else 0)
        return (last - first) * (high - low) - excluded

    def axis_weight(self, node: Node) -> int:
        """Weight of all rows of a node, or of all columns of its only row.

        Returns:
            0 if a single pick cannot be coded in one symbol: for evidence within the node, or a weight above 2^28.
        """
        first, last, low, high, recent, recent_end, coded, coded_end = node
        if recent < recent_end or coded < coded_end:
            return 0
        weight = weight_of(self._row_sums, first, last) if last - first > 1 else weight_of(self._column_sums, low, high)
        return weight if weight <= _MAX_WEIGHT else 0

    def weight_at(self, node: Node, start: int, end: int) -> int:
        """Weight of some rows of a node, or of some columns of its only row; −1 stands for the first and the end."""
        first, last, low, high, _, _, _, _ = node
        if last - first > 1:
            return weight_of(self._row_sums, first if start < 0 else start, last if end < 0 else end)
        return weight_of(self._column_sums, low if start < 0 else start, high if end < 0 else end)

    def position_of(self, node: Node, target: int) -> int:
        """The row of a node (or the column of its only row) in whose part of the cumulative weights `target` lies."""
        first, last, low, high, _, _, _, _ = node
        if last - first > 1:
            return _position(self._row_sums, first, last, target)
        return _position(self._column_sums, low, high, target)

    def halve(self, node: Node) -> tuple[Node, Node, int, int, int]:
        """Halve a node: at its middle row, or at its middle column if it has one row.

        Returns:
            The left and the right node, their weights, and the concentration a + b of the beta-binomial for the split.
        """
        first, last, low, high, recent, recent_end, coded, coded_end = node
        middle = (first + last) >> 1 if last - first > 1 else (low + high) >> 1
        by_row = last - first > 1
        if by_row:
            left, right = weight_of(self._row_sums, first, middle), weight_of(self._row_sums, middle, last)
            key = self._first + middle * self.columns
            concentration = _CONCENTRATION_ROWS
        else:
            left, right = weight_of(self._column_sums, low, middle), weight_of(self._column_sums, middle, high)
            key = self._first + first * self.columns + middle
            concentration = _CONCENTRATION_COLUMNS
        recent_middle = bisect(self._recent, recent, recent_end, key)
        coded_middle = self._coded.rank(coded, coded_end, key)
        if by_row:
            left_node = first, middle, low, high, recent, recent_middle, coded, coded_middle
            right_node = middle, last, low, high, recent_middle, recent_end, coded_middle, coded_end
        else:
            left_node = first, last, low, middle, recent, recent_middle, coded, coded_middle
            right_node = first, last, middle, high, recent_middle, recent_end, coded_middle, coded_end
        if recent_end > recent or coded_end > coded:
            evidence_left = _RECENT_EVIDENCE * (recent_middle - recent) + _CODED_EVIDENCE * (coded_middle - coded)
            evidence_right = _RECENT_EVIDENCE * (recent_end - recent_middle) + _CODED_EVIDENCE * (
                coded_end - coded_middle
            )
            halvings = halvings_to_fit(left, right, _MAX_SCALED_WEIGHT)
            left = _scale_weight(halved(left, halvings), self.free_cells(left_node), cell_count(left_node))
            right = _scale_weight(halved(right, halvings), self.free_cells(right_node), cell_count(right_node))
            total_weight = left + right
            left = _EVIDENCE_PER_PICK * concentration * left + evidence_left * total_weight
            right = _EVIDENCE_PER_PICK * concentration * right + evidence_right * total_weight
            halvings = halvings_to_fit(left, right, _MAX_SCALED_WEIGHT)
            left, right = halved(left, halvings), halved(right, halvings)
            concentration += (evidence_left + evidence_right) // _EVIDENCE_PER_PICK
        return left_node, right_node, left, right, concentration


def _position(sums: Integers, low: int, high: int, target: int) -> int:
    """The row or column of [low, high) in whose part of the cumulative weights `target` lies."""
    return low + target if len(sums) == 0 else bisect(sums, low + 1, high, sums[low] + target + 1) - 1


def _scale_weight(weight: int, free: int, size: int) -> int:
    """A half's weight in proportion to the cells that can be picked, at least 1."""
    if free == size:
        return weight
    return max((weight * ((free << 16) // size)) >> 16, 1)
