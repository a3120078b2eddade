"""The search for rank-one terms in layers: each a magnitude times signs of rows and signs of columns.

The encoder's side alone. A layer's best terms are near its first pairs of singular vectors. A block of them is found at
a time: a product of a matrix with eight vectors takes as long as two or three with one. Of each vector, the signs of
the largest entries are kept, as many as remove most squared error for their bits; then each factor's signs are chosen
anew, given the other's and the terms before. Knows rates. Does not know bits.

Source: Halko, Martinsson and Tropp 2011, "Finding structure with randomness", for blocks of singular vectors. Vogels et
al. 2019, "PowerSGD", for power iterations on layers; the singular vectors are coded as factors there. Kolda and O'Leary
1998, "A semidiscrete matrix decomposition", for factors of −1, 0 and 1, each given the other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.groups import magnitude_of, nearest_code
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one import MAX_TERMS, Trits, layers_with_terms
from surp_fl.codecs.surp.rank_one_signs import largest_signs
from surp_fl.types import Floats, Vector

# Tuned constants of the encoder, not of the format. Set by hand; messages of recorded updates
# (simulations.experiments.messages) and the transformer's runs show what a change does.
_ITERATIONS = 3  # of the power method, from random combinations of rows
_REFINEMENTS = 2  # of each factor's signs, given the other's, at most
_FIRST_BLOCK, _LARGEST_BLOCK = 4, 16  # terms that are sought at a time: twice as many as paid in the block before
_TERM_BITS = 18.0  # about the layer and the magnitude of a term, and what its densities learn
_LEAST_BITS = 40.0  # of a term
_COLUMNS_SHARES = (0.25, 0.5, 0.75)  # of the bits of a term that has to fit; what is best is taken
_LEAST_NORM = 1e-15  # of a singular vector times its value
_LEAST_SIDE = 16  # rows, and columns; in the factors of LoRA a term removes much, but most of that is noise


Real = TypeVar("Real", np.float32, np.float64)


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


class Pairs(NamedTuple):
    """Pairs of singular vectors of a layer, largest first; all times singular values.

    Attributes:
        rights: float32, shape (count, columns).
        lefts: float32, shape (count, rows).
    """

    rights: Vector
    lefts: Vector


@dataclass
class _LayerSearch:
    """The search in a layer.

    Attributes:
        matrix: what terms that were subtracted have left; a view, shape (rows, columns).
        found: terms that pay, each given those before it.
        taken: of them, those that are still to be subtracted.
        block: terms to seek next.
        near: pairs of singular vectors, as many as `block`; None if they are to be found.
    """

    matrix: Vector
    found: deque[Term] = field(default_factory=deque)
    taken: list[Term] = field(default_factory=list)
    block: int = _FIRST_BLOCK
    near: Pairs | None = None

    def settle(self) -> None:
        """Subtract the terms that were taken."""
        if self.taken:
            subtract(self.matrix, self.taken)
            self.taken, self.near = [], None


@dataclass
class TermSearch:
    """The search for terms in a vector, of which those that were found are subtracted.

    Attributes:
        residual: float32, shape (n,).
        side: what the decoder holds.
        importance: of a squared error in each layer that may have terms; None for 1.
    """

    residual: Vector
    side: SideInformation
    importance: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        layers = layers_with_terms(self.side).tolist()
        self._layers = [_LayerSearch(matrix_of(self.residual, self.side, layer)) for layer in layers]
        self._signs = sum(sum(layer.matrix.shape) for layer in self._layers if not is_thin(layer.matrix))

    def select(self, bits: float, slope: float, slope_at_the_end: float | None = None) -> list[Term]:
        """Select terms that remove more squared error than their bits would elsewhere, best first.

        Args:
            bits: that all terms together may take.
            slope: squared error that a bit removes elsewhere.
            slope_at_the_end: the same, of the bits that are left when a layer's best term does not fit any more and
                one that fits is found; None to take none that way.
        """
        for place in range(len(self._layers)):
            self._seek(place, bits, slope / self._weight(place))
        terms: list[Term] = []
        while len(terms) < MAX_TERMS:
            found = [layer.found[0] for layer in self._layers if layer.found]
            if not found:
                break
            best = max(found, key=lambda each: self._weight(each.place) * each.gain - slope * each.bits)
            layer = self._layers[best.place]
            if best.bits > bits:
                layer.found.clear()
                layer.settle()
                if slope_at_the_end is not None:
                    slope_here = slope_at_the_end / self._weight(best.place)
                    fitting = fitting_term(layer.matrix, best.place, slope_here, bits, layer.near)
                    layer.found.extend([] if fitting is None else [fitting])
                continue
            terms.append(best)
            bits -= best.bits
            layer.taken.append(layer.found.popleft())
            if not layer.found:
                self._seek(best.place, bits, slope / self._weight(best.place))
        for layer in self._layers:
            layer.found.clear()
            layer.settle()
        return terms

    def _seek(self, place: int, bits: float, slope: float) -> None:
        """Find a layer's next terms, about as many as fit."""
        layer = self._layers[place]
        layer.settle()
        matrix = layer.matrix
        if is_thin(matrix) or bits < _LEAST_BITS:
            return
        if layer.near is None:
            count = int(min(layer.block, 1 + 2 * bits / self._signs))  # of each layer, if half the signs are told
            layer.near = singular_vectors(matrix, count)
        terms = _terms_near(layer.near, matrix, place, slope)
        layer.found.extend(terms)
        layer.block = min(max(2 * len(terms), _FIRST_BLOCK), _LARGEST_BLOCK)

    def _weight(self, place: int) -> float:
        return 1.0 if self.importance is None else float(self.importance[place])


def is_thin(matrix: Vector) -> bool:
    """Whether a layer is too thin for terms to be worth their bits."""
    return bool(min(matrix.shape) < _LEAST_SIDE)


def matrix_of(vector: Vector, side: SideInformation, layer: int) -> Vector:
    """A view of a layer, shape (rows, columns)."""
    rows, columns = side.rows[layer], side.columns[layer]
    return vector[side.start[layer] : side.start[layer] + rows * columns].reshape(rows, columns)


def subtract(matrix: Vector, terms: Sequence[Term]) -> None:
    """matrix ← matrix − all terms."""
    magnitudes = np.array([magnitude_of(term.code) for term in terms], np.float32)
    rows = np.array([term.row_signs for term in terms], np.float32)
    matrix -= (magnitudes[:, None] * rows).T @ np.array([term.column_signs for term in terms], np.float32)


def singular_vectors(matrix: Vector, count: int) -> Pairs:
    """About the first pairs; fewer if the matrix has fewer."""
    signs = np.random.default_rng(0).integers(0, 2, (min(count, *matrix.shape), len(matrix)), np.int8)
    rights: Vector = (2 * signs - 1).astype(np.float32) @ matrix
    for _ in range(_ITERATIONS):
        rights = _left_products(_orthonormal(rights), matrix) @ matrix
    rights = _orthonormal(rights)
    lefts = _left_products(rights, matrix)
    squares, combinations = np.linalg.eigh((lefts @ lefts.T).astype(np.float64))
    scaled = (np.sqrt(np.maximum(squares, 0)) * combinations).T[::-1].astype(np.float32) @ rights
    same = usual_signs(scaled)
    return Pairs(same * scaled, same * (combinations.T[::-1].astype(np.float32) @ lefts))


def usual_signs(vectors: NDArray[Real]) -> NDArray[Real]:
    """With which each row's largest entry is positive: the same sign on all machines; shape (count, 1)."""
    largest = vectors[np.arange(len(vectors)), np.argmax(np.abs(vectors), axis=1)]
    found: NDArray[Real] = np.copysign(np.ones_like(largest), largest)[:, None]
    return found


def _orthonormal(vectors: Vector) -> Vector:
    """Rows that span what these rows do, orthogonal to each other and of norm 1."""
    found: Vector = np.linalg.qr(vectors.T)[0].T
    return found


def _left_products(rights: Vector, matrix: Vector) -> Vector:
    """The matrix times each of the vectors; shape (count, rows)."""
    return np.ascontiguousarray((matrix @ rights.T).T)


def fitting_term(matrix: Vector, place: int, slope: float, most_bits: float, near: Pairs | None = None) -> Term | None:
    """The term that removes most in at most so many bits; None if none removes more than its bits would elsewhere."""
    if most_bits < _LEAST_BITS:
        return None
    rights, lefts = near or singular_vectors(matrix, _FIRST_BLOCK)
    first = Pairs(rights[:1], lefts[:1])
    found = [_terms_near(first, matrix, place, slope, most_bits, share) for share in _COLUMNS_SHARES]
    return max((term for terms in found for term in terms), key=lambda each: each.gain, default=None)


def _terms_near(
    pairs: Pairs, matrix: Vector, place: int, slope: float,
    most_bits: float = math.inf, columns_share: float = 1.0,
) -> list[Term]:  # fmt: skip
    """The terms near pairs of singular vectors that pay, each given those before it.

    Args:
        pairs: of singular vectors.
        matrix: shape (rows, columns).
        place: of the layer.
        slope: squared error that a bit removes elsewhere.
        most_bits: of a term.
        columns_share: of the bits of a term's signs, what its columns may take at first; its rows take the rest.
    """
    signs_bits = most_bits - _TERM_BITS
    columns, column_bits = largest_signs(pairs.rights, slope, np.full(len(pairs.rights), signs_bits * columns_share))
    right_factors, left_factors = pairs.rights, pairs.lefts / _norms(pairs.rights).clip(_LEAST_NORM)  # of terms before
    for _ in range(_REFINEMENTS):
        before = columns
        left = _without_before(_left_products(columns, matrix), columns, right_factors, left_factors)
        rows, row_bits = largest_signs(left / _norms(columns), slope, signs_bits - column_bits)
        left_factors, right_factors = _magnitudes(left, columns, rows) * rows, columns
        products = rows @ matrix
        right = _without_before(products, rows, left_factors, right_factors)
        columns, column_bits = largest_signs(right / _norms(rows), slope, signs_bits - row_bits)
        left_factors, right_factors = _magnitudes(right, rows, columns) * rows, columns
        if np.array_equal(before, columns):
            break
    return _paying(place, rows, columns, products, row_bits + column_bits + _TERM_BITS, slope, most_bits)


def _without_before(products: Vector, signs: Vector, factors: Vector, others: Vector) -> Vector:
    """Products of signs with the matrix, each as if the terms before it, with such factors, were subtracted."""
    before: Vector = np.tril(signs @ factors.T, -1) @ others
    return products - before


def _paying(
    place: int, rows: Vector, columns: Vector, products: Vector, bits: Floats, slope: float, most_bits: float
) -> list[Term]:
    """The terms that pay, best first, each given those before it; `products` are of the rows with the matrix."""
    totals = np.einsum("ij,ij->i", products, columns, dtype=np.float64)
    alike = (rows @ rows.T).astype(np.float64) * (columns @ columns.T)  # exact: at most 2^24
    counts = np.diag(alike)
    terms: list[Term] = []
    while len(terms) < len(rows):
        gains = np.where((totals > 0) & (bits <= most_bits), totals**2 / counts, 0)
        best = int(np.argmax(gains - slope * bits))
        if not gains[best] > slope * bits[best]:
            break
        code = nearest_code(float(totals[best] / counts[best]))
        signs = rows[best].astype(np.int8), columns[best].astype(np.int8)
        terms.append(Term(place, code, *signs, float(gains[best]), float(bits[best])))
        totals -= magnitude_of(code) * alike[best]
        totals[best] = 0
    return terms


def _norms(signs: Vector) -> Vector:
    norms: Vector = np.linalg.norm(signs, axis=1, keepdims=True)
    return norms


def _magnitudes(products: Vector, signs: Vector, others: Vector) -> Vector:
    """Of terms, from the products of a factor's signs with the matrix; shape (count, 1)."""
    found: Vector = np.einsum("ij,ij->i", products, others)[:, None] / (_norms(signs) * _norms(others)) ** 2
    return found
