"""Rank-one terms beside levels of all coordinates: more and more of them, for as long as levels leave less.

A dense layer's gradient is a sum of outer products, one for each example; so is an update of a few local steps. With
bits for levels beside them, terms do not displace what single coordinates tell: they spare levels bits. Of a cell of
variance σ², levels that leave a squared error D take ½·log2(σ²/D) bits, so that what a term removes from cells is worth
its bits if a bit removes 2·ln 2·σ² there; where σ² is below D levels tell nothing, and a bit removes what it does
elsewhere. Knows rates. Does not know how terms are found, nor bits.

Source: reverse water-filling, Cover and Thomas, "Elements of Information Theory", section 10.3.3.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one import MAX_TERMS
from surp_fl.codecs.surp.rank_one_search import Term, TermSearch
from surp_fl.codecs.surp.rank_one_selection import in_range, without
from surp_fl.codecs.surp.trellis.sampled_errors import SampledErrors
from surp_fl.types import Floats, Vector

# Tuned constants of the encoder, not of the format; by recorded updates of LeNet-5, a CNN with batch normalization and
# a transformer.
_LEAST_WORTH, _NEXT, _FALLS = 1.2, 0.6, 4  # of a term at first; then, where none is worth as much, so often
_EVENLY = 0.7  # of what terms remove, as if from all cells; the rest is where singular vectors are large
_BATCH = 0.06  # of the bits that terms may take
_PATIENCE, _PATIENCE_WITH_MANY, _MANY = 2, 1, 1 << 22  # batches that may be in vain; the same of so many coordinates
_LESS = 0.994  # of what levels leave, that they have to leave after a batch
_MOST_LEFT = 0.985  # of what levels alone leave; levels beside terms learn less
_REFINEMENTS = 3
_MOST_CELLS = 1 << 28  # that the search reads for all terms that it seeks
_LEAST = 1e-30  # of a layer's squared norm


def terms_beside_levels(
    bits: float, first: list[Term], vector: Vector, side: SideInformation, levels: SampledErrors, alone: float
) -> tuple[list[Term], Vector]:
    """Select the terms beside which levels leave least.

    Args:
        bits: that terms may take.
        first: terms that come first.
        vector: float32, shape (n,).
        side: what the decoder holds.
        levels: tells what levels leave.
        alone: what they leave without terms.

    Returns:
        Terms, none if levels alone are about as good, and the vector without them.
    """
    terms, count, least, residual = list(first), 0, alone, without(vector, first, side)
    taken = sum(term.bits for term in terms)
    if first and (error := levels.beside(residual, taken)) < least:
        least, count = error, len(terms)
    search = TermSearch(residual, side, None, _REFINEMENTS, _MOST_CELLS, MAX_TERMS - len(first))
    patience = _PATIENCE if len(vector) < _MANY else _PATIENCE_WITH_MANY
    worth, falls, in_vain = _LEAST_WORTH, 0, 0 if in_range(vector) else patience
    while in_vain < patience and falls < _FALLS:
        slope = partial(_slope, worth=worth, least=levels.removed_by_a_bit)
        if not (more := search.next_terms(bits - taken, _BATCH * bits, slope)):
            if len(terms) == len(first):
                break  # as in noise
            worth, falls = _NEXT * worth, falls + 1
            search.seek_again()
            continue
        terms, taken = terms + more, taken + sum(term.bits for term in more)
        error, in_vain = levels.beside(residual, taken), in_vain + 1
        if error < _LESS * least:
            least, count, in_vain = error, len(terms), 0
    if least > _MOST_LEFT * alone:
        return [], vector
    return terms[:count], residual if count == len(terms) else without(vector, terms[:count], side)


def _slope(matrix: Vector, rights: Vector, lefts: Vector, worth: float, least: float) -> float:
    """What a bit has to remove, as squared error, in a layer.

    Args:
        matrix: what is left of the layer, shape (rows, columns).
        rights: about its next right singular vectors, times singular values; shape (count, columns).
        lefts: the same of left ones; shape (count, rows).
        worth: of terms, in bits that they spare for each that they take.
        least: squared error that a bit removes where levels tell nothing.
    """
    of_rows, of_columns = (np.einsum("ij,ij->" + axis, matrix, matrix).astype(np.float64) for axis in "ij")
    total = max(float(of_rows.sum()), _LEAST)
    order = np.argsort(of_columns)
    # The squares of cells are about those of the row times those of the column, over all squares. Each row has cells
    # that levels tell, those from a column on.
    rows, columns = 2 * math.log(2) * np.maximum(of_rows, _LEAST * total) / total, of_columns[order]
    weights = _weights(rights)[order]
    untold = np.searchsorted(columns, least / rows)
    before = np.concatenate(([0.0], np.cumsum(weights)))
    after = np.concatenate((np.cumsum((weights / np.maximum(columns, _LEAST * total))[::-1])[::-1], [0.0]))
    return worth / float(_weights(lefts) @ (before[untold] / least + after[untold] / rows))


def _weights(vectors: Vector) -> Floats:
    """Of rows or columns, in sum 1."""
    squares = np.einsum("ij,ij->j", vectors, vectors, dtype=np.float64)
    found: Floats = (1 - _EVENLY) * squares / max(float(squares.sum()), _LEAST) + _EVENLY / len(squares)
    return found
