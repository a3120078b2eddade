"""Index trees: picks among a layer's cells, with signs ↔ a range coder, by recursive halving.

A set of k picks among weighted cells is coded node by node: a *split* (`beta_binomial.py`) says
how many of its picks are in the left half. The order of the picks is never sent. A single pick takes one symbol for its
row and one for its column. Time grows with k·log(cells), not with the cells. Nodes are as in `cell_ranges.py`. Encoder
and decoder mirror each other. Knows nodes. Does not know side information.
"""

from __future__ import annotations

from surp_fl.codecs.surp.beta_binomial import BetaBinomial
from surp_fl.codecs.surp.cell_ranges import LayerCells, Node, cell_count, narrowed
from surp_fl.codecs.surp.coded_set import bisect
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Flags, Integers

# Work units (see "Credit" in FORMAT.md), set from the time that a decoder takes; tests.fuzz.hostile checks them.
_WORK_OF_HALVING, _WORK_OF_POSITION, _WORK_OF_PICK = 12, 8, 16


class SignCounts:
    """The adaptive model of a layer's sign flags: counts of false and of true flags so far.

    Args:
        false: the first count of false flags.
        true: the first count of true flags.
        by_row: begin anew, with 1 and 1, where a row begins; the first row is row 0.
    """

    def __init__(self, false: int, true: int, by_row: bool) -> None:
        self._false, self._true = false, true
        self._row = 0 if by_row else -1

    def encode(self, encoder: RangeEncoder, flag: int, row: int) -> None:
        """Encode the flag of a pick in a row, after those of all earlier picks."""
        self._begin(row)
        if flag:
            encoder.encode(self._false, self._true, self._false + self._true)
            self._true += 1
        else:
            encoder.encode(0, self._false, self._false + self._true)
            self._false += 1

    def decode(self, decoder: RangeDecoder, row: int) -> int:
        """Decode a flag; not to be used if the decoder is exhausted after it."""
        self._begin(row)
        flag = decoder.decode_flag(self._false, self._false + self._true)
        if flag:
            self._true += 1
        else:
            self._false += 1
        return flag

    def _begin(self, row: int) -> None:
        if self._row >= 0 and self._row != row:
            self._false, self._true, self._row = 1, 1, row


class LayerEncoder:
    """Encodes picks among a layer's cells, each with a sign flag; the decoder knows how many.

    Args:
        encoder: of the message.
        cells: of the layer.
        picks: ascending cells; int64, shape (k,).
        flags: of each pick; uint8, shape (k,).
        signs: the model of the flags.
        splits: working memory, for k picks or more.
    """

    def __init__(
        self,
        encoder: RangeEncoder,
        cells: LayerCells,
        picks: Integers,
        flags: Flags,
        signs: SignCounts,
        splits: BetaBinomial,
    ) -> None:
        self._encoder, self._cells = encoder, cells
        self._picks, self._flags, self._signs = picks, flags, signs
        self._splits = splits

    def encode(self) -> None:
        """Encode all picks."""
        self._encode(self._cells.root(), 0, len(self._picks))

    def _encode(self, node: Node, start: int, end: int) -> None:
        """Encode the picks start to end, which are those of a node."""
        while 0 < end - start < cell_count(node):
            total_weight = self._cells.axis_weight(node) if end - start == 1 else 0
            if total_weight > 0:
                self._encoder.spend(_WORK_OF_POSITION)
                row = self._picks[start] // self._cells.columns
                position = row if node[1] - node[0] > 1 else self._picks[start] - row * self._cells.columns
                cum_freq = self._cells.weight_at(node, -1, position)
                self._encoder.encode(cum_freq, self._cells.weight_at(node, position, position + 1), total_weight)
                node = narrowed(node, position)
                continue
            self._encoder.spend(_WORK_OF_HALVING)
            left, right, left_weight, right_weight, concentration = self._cells.halve(node)
            middle = bisect(self._picks, start, end, self._cells.first_cell(right))
            self._splits.encode(
                self._encoder, middle - start, end - start, self._cells.free_cells(left), self._cells.free_cells(right),
                left_weight, right_weight, concentration,
            )  # fmt: skip
            if start < middle < end:
                self._encode(left, start, middle)
                node, start = right, middle
            else:
                node = left if middle == end else right
        self._encoder.spend(_WORK_OF_PICK * (end - start))
        for i in range(start, end):
            self._signs.encode(self._encoder, self._flags[i], self._picks[i] // self._cells.columns)


class LayerDecoder:
    """Decodes ascending picks among a layer's cells, and their sign flags.

    Args:
        decoder: of the message.
        cells: of the layer.
        picks: filled in; int64, shape (k,).
        flags: filled in; uint8, shape (k,).
        signs: the model of the flags.
        splits: working memory, for k picks or more.

    Attributes:
        flag_bits: bits of the flags that were decoded.
    """

    def __init__(
        self,
        decoder: RangeDecoder,
        cells: LayerCells,
        picks: Integers,
        flags: Flags,
        signs: SignCounts,
        splits: BetaBinomial,
    ) -> None:
        self._decoder, self._cells = decoder, cells
        self._picks, self._flags, self._signs = picks, flags, signs
        self._splits = splits
        self._done = 0
        self.flag_bits = 0.0

    def decode(self) -> int:
        """Decode picks; gives how many there were before the decoder was exhausted."""
        self._decode(self._cells.root(), len(self._picks))
        return self._done

    def _decode(self, node: Node, k: int) -> None:
        """Decode the k picks of a node, which are the next ones."""
        while 0 < k < cell_count(node):
            total_weight = self._cells.axis_weight(node) if k == 1 else 0
            if total_weight > 0:
                self._decoder.spend(_WORK_OF_POSITION)
                position = self._cells.position_of(node, self._decoder.decode_target(total_weight))
                cum_freq = self._cells.weight_at(node, -1, position)
                self._decoder.decode_update(cum_freq, self._cells.weight_at(node, position, position + 1), total_weight)
                node = narrowed(node, position)
            else:
                self._decoder.spend(_WORK_OF_HALVING)
                left, right, left_weight, right_weight, concentration = self._cells.halve(node)
                on_left = self._splits.decode(
                    self._decoder, k, self._cells.free_cells(left), self._cells.free_cells(right),
                    left_weight, right_weight, concentration,
                )  # fmt: skip
                if 0 < on_left < k and not self._decoder.exhausted():
                    self._decode(left, on_left)
                    node, k = right, k - on_left
                else:
                    node = left if on_left > 0 else right
            if self._decoder.exhausted():
                k = 0
        self._decoder.spend(_WORK_OF_PICK * k)
        if k > 0 and not self._decoder.exhausted():
            self._decode_flags(self._cells.first_cell(node), k)

    def _decode_flags(self, cell: int, k: int) -> None:
        """Decode the flags of the k picks from a cell on."""
        bits_before = self._decoder.bits_read()
        for _ in range(k):
            flag = self._signs.decode(self._decoder, cell // self._cells.columns)
            if self._decoder.exhausted():
                break
            self._picks[self._done], self._flags[self._done] = cell, flag
            self._done += 1
            cell += 1
        self.flag_bits += self._decoder.bits_read() - bits_before
