"""The search for rank-one terms in layers: each a magnitude times signs of rows and signs of columns.

The encoder's side alone. A layer's best term is near its first pair of singular vectors, which a few power iterations
find; of each vector, the signs of the largest entries are kept, as many as remove most squared error for their bits;
then each factor's signs are chosen anew, given the other's. Knows rates. Does not know bits.

Source: Vogels et al. 2019, "PowerSGD", for power iterations on layers; the singular vectors are coded as factors there.
Kolda and O'Leary 1998, "A semidiscrete matrix decomposition", for factors of −1, 0 and 1, each given the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.groups import magnitude_of, nearest_code
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one import MAX_TERMS, Trits, layers_with_terms
from surp_fl.types import Vector

# Tuned constants of the encoder, not of the format. Set by hand; messages of recorded updates
# (simulations.experiments.messages) and the transformer's runs show what a change does.
_ITERATIONS = 3  # of the power method, from the row of the largest norm
_REFINEMENTS = 2  # of each factor's signs, given the other's, where nothing else is said
_TERM_BITS = 18.0  # about the layer and the magnitude of a term, and what its densities learn
_LEAST_BITS = 40.0  # of a term
_COLUMNS_SHARES = (0.25, 0.5, 0.75)  # of the bits of a term that has to fit; what is best is taken
_LEAST_SIDE = 16  # rows, and columns; in the factors of LoRA a term removes much, but most of that is noise
_LEAST_NORM = 1e-15  # of a layer's product with a vector


@dataclass(frozen=True)
class Term:
    """A magnitude times the product of a sign for each row and for each column of a layer.

    Attributes:
        place: of the layer among those that may have terms.
        code: of the magnitude of every product that is not zero; 13 bits.
        row_signs: −1, 0 or 1; int8, shape (rows,).
        column_signs: int8, shape (columns,).
        gain: squared error that it removes.
        bits: that it takes, as estimated.
    """

    place: int
    code: int
    row_signs: Trits
    column_signs: Trits
    gain: float
    bits: float


@dataclass
class TermSearch:
    """The search for terms in a vector, of which those that were found are subtracted.

    Attributes:
        residual: float32, shape (n,).
        side: what the decoder holds.
        importance: of a squared error in each layer that may have terms; None for 1.
        refinements: of each factor's signs, given the other's.
        most_cells: of all layers that are searched, together; a layer of which a term was taken is searched again.
        most_terms: that are still to be found.
    """

    residual: Vector
    side: SideInformation
    importance: NDArray[np.float64] | None = None
    refinements: int = _REFINEMENTS
    most_cells: float = math.inf
    most_terms: int = MAX_TERMS

    def __post_init__(self) -> None:
        self._matrices = [matrix_of(self.residual, self.side, int(layer)) for layer in layers_with_terms(self.side)]
        self._rights: dict[int, Vector | None] = {}  # right singular vectors of layers since their last term

    def select(self, bits: float, slope: float, slope_at_the_end: float | None = None) -> list[Term]:
        """Select terms that remove more squared error than their bits would elsewhere, best first.

        Args:
            bits: that all terms together may take.
            slope: squared error that a bit removes elsewhere.
            slope_at_the_end: the same, of the bits that are left when a layer's best term does not fit any more and
                one that fits is found; None to take none that way.
        """
        candidates = {place: self._find(place, bits, slope, slope_at_the_end) for place in range(len(self._matrices))}
        terms: list[Term] = []
        while self.most_terms > 0:
            found = [each for each in candidates.values() if each is not None]
            if not found:
                break
            best = max(found, key=lambda each: self._weight(each.place) * each.gain - slope * each.bits)
            if best.bits <= bits:
                terms.append(best)
                self.most_terms -= 1
                bits -= best.bits
                subtract(self._matrices[best.place], best)
                self._rights.pop(best.place)
            candidates[best.place] = self._find(best.place, bits, slope, slope_at_the_end)
        return terms

    def _find(self, place: int, bits: float, slope: float, slope_at_the_end: float | None) -> Term | None:
        """A layer's best term that fits."""
        matrix, weight = self._matrices[place], self._weight(place)
        if is_thin(matrix):
            return None
        if place not in self._rights:
            if matrix.size > self.most_cells:
                return None
            self.most_cells -= matrix.size
            self._rights[place] = _right_singular_vector(matrix)
        right = self._rights[place]
        if right is None:
            return None
        found = _term_near(right, matrix, place, slope / weight, math.inf, 1.0, self.refinements)
        if found is None or found.bits <= bits:
            return found
        return None if slope_at_the_end is None else fitting_term(matrix, place, slope_at_the_end / weight, bits, right)

    def _weight(self, place: int) -> float:
        return 1.0 if self.importance is None else float(self.importance[place])


def is_thin(matrix: Vector) -> bool:
    """Whether a layer is too thin for terms to be worth their bits."""
    return bool(min(matrix.shape) < _LEAST_SIDE)


def matrix_of(vector: Vector, side: SideInformation, layer: int) -> Vector:
    """A view of a layer, shape (rows, columns)."""
    rows, columns = side.rows[layer], side.columns[layer]
    return vector[side.start[layer] : side.start[layer] + rows * columns].reshape(rows, columns)


def subtract(matrix: Vector, term: Term) -> None:
    """matrix ← matrix − term."""
    rows = np.flatnonzero(term.row_signs)
    row_values = np.float32(magnitude_of(term.code)) * term.row_signs[rows].astype(np.float32)
    matrix[rows] -= np.outer(row_values, term.column_signs.astype(np.float32))  # whole rows: faster than some columns


def _right_singular_vector(matrix: Vector) -> Vector | None:
    """About the first one, in any length; None if the matrix is zero."""
    right: Vector = matrix[int(np.argmax(np.einsum("ij,ij->i", matrix, matrix)))].copy()
    for _ in range(_ITERATIONS):
        left = matrix @ right
        norm = float(np.linalg.norm(left))
        if not norm > _LEAST_NORM:
            return None
        right = matrix.T @ (left / np.float32(norm))
    return right


def fitting_term(
    matrix: Vector, place: int, slope: float, most_bits: float, right: Vector | None = None
) -> Term | None:
    """The term that removes most in at most so many bits; None if none removes more than its bits would elsewhere."""
    right = _right_singular_vector(matrix) if right is None else right
    if most_bits < _LEAST_BITS or right is None:
        return None
    found = [_term_near(right, matrix, place, slope, most_bits, share, _REFINEMENTS) for share in _COLUMNS_SHARES]
    return max((each for each in found if each is not None), key=lambda each: each.gain, default=None)


def _term_near(
    right: Vector, matrix: Vector, place: int, slope: float, most_bits: float, columns_share: float, refinements: int
) -> Term | None:
    """The term near a right singular vector; its columns may take a share of the bits at first, its rows the rest."""
    signs_bits = most_bits - _TERM_BITS
    column_signs, _, column_bits = _signs(right, slope, signs_bits * columns_share)
    for _ in range(refinements):
        before = column_signs
        row_signs, _, row_bits = _signs(_mean_along(matrix, column_signs), slope, signs_bits - column_bits)
        column_signs, _, column_bits = _signs(_mean_along(matrix.T, row_signs), slope, signs_bits - row_bits)
        if np.array_equal(before, column_signs):
            break
    products = matrix @ column_signs.astype(np.float32)
    count = float(np.count_nonzero(row_signs)) * np.count_nonzero(column_signs)
    total = float(products @ row_signs.astype(np.float32))
    gain, bits = total * total / count, row_bits + column_bits + _TERM_BITS
    if total <= 0 or gain <= slope * bits or bits > most_bits:
        return None
    return Term(place, nearest_code(total / count), row_signs, column_signs, gain, bits)


def _mean_along(matrix: Vector, signs: Trits) -> Vector:
    """Each row's product with the signs, of norm 1."""
    found: Vector = (matrix @ signs.astype(np.float32)) / np.float32(math.sqrt(np.count_nonzero(signs)))
    return found


def _signs(values: Vector, slope: float, most_bits: float) -> tuple[Trits, float, float]:
    """The signs of the largest values, as many as remove most beyond their bits; what they remove; their bits."""
    magnitudes = np.abs(values)
    descending = np.sort(magnitudes)[::-1]
    k, bits = _counts_and_bits(len(values))
    gain = np.cumsum(descending, dtype=np.float64) ** 2 / k
    net = gain - slope * bits
    kept = int(np.argmax(net if most_bits == math.inf else np.where(bits <= most_bits, net, -math.inf)))
    signs: Trits = np.where(values < 0, np.int8(-1), np.int8(1)) * (magnitudes >= descending[kept])
    if np.count_nonzero(signs) > kept + 1:  # of equal ones, the first
        signs[np.argsort(-magnitudes, kind="stable")[kept + 1 :]] = 0
    return signs, float(gain[kept]), float(bits[kept])


@lru_cache(maxsize=64)
def _counts_and_bits(length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The counts 1 to `length` of signs that are kept, and the bits that each takes; read-only."""
    k = np.arange(1.0, length + 1)
    share = k / length
    with np.errstate(divide="ignore", invalid="ignore"):
        zero_bits = np.where(share < 1, -(length - k) * np.log2(1 - share), 0.0)
    bits: NDArray[np.float64] = zero_bits - k * np.log2(share) + k
    k.setflags(write=False)
    bits.setflags(write=False)
    return k, bits
