"""Components of layers → factors as they are told, in levels of one step.

The encoder's side alone. A component of singular value σ is told as σ·u and σ·v: an error of one of their values then
counts as much as one of a cell does. Right factors are those that fit best to what levels have made of the left ones.
Knows steps. Does not know the range coder, nor how many components there should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.groups import nearest_code
from surp_fl.codecs.surp.rank_one_search import singular_vectors, usual_signs
from surp_fl.codecs.surp.trellis.factor_loops import values_of_levels
from surp_fl.codecs.surp.trellis.factors import Shape, layers_of_factors, magnitudes_of_codes
from surp_fl.codecs.surp.trellis.level_reader import LARGEST, USUAL_OFFSETS, Layer, magnitudes_of, matrix_of
from surp_fl.codecs.surp.trellis.quantisation import PRIOR_RATES, Learnt, bits_of_longest, learnt_of, levels_of
from surp_fl.types import Floats, Vector

Matrix = NDArray[np.floating]

_BITS_OF_COMPONENT = 8.0  # about its magnitude
EXACT_SIDE, EXACT_CELLS = 640, 1 << 22  # rows or columns, and cells, up to which components are exact; in float64
_LEAST_PRODUCT = 1e-12  # of a left factor with itself, as a share of the largest


class Components(NamedTuple):
    """The first components of a layer, largest first.

    Attributes:
        layer: whose they are.
        matrix: shape (rows, columns).
        values: singular values; shape (count,).
        lefts: singular vectors times their values; shape (count, rows).
        rights: the same, of columns; shape (count, columns).
    """

    layer: Layer
    matrix: Matrix
    values: Matrix
    lefts: Matrix
    rights: Matrix


Chosen = Sequence[tuple[Components, int]]  # of layers, and how many components


class Factors(NamedTuple):
    """Factors of layers, as they are told.

    Attributes:
        step: of their levels.
        shapes: of layers that have components, in the order of coding.
        vector: what levels are of, whose signs they have; float32, end to end as `layers_of_factors` has them.
        levels: of each left and right factor.
        values: what they stand for; float32, as `vector`.
        bits: that they take, about.
    """

    step: float
    shapes: list[Shape]
    vector: Vector
    levels: list[NDArray[np.int32]]
    values: Vector
    bits: float

    def subtracted_from(self, vector: Vector) -> Vector:
        """What is left of a vector; float32, shape (n,)."""
        rest = vector.copy()
        for (layer, _), (lefts, rights) in zip(self.shapes, self.pairs(), strict=True):
            matrix_of(rest, layer)[:] -= lefts.T @ rights
        return rest

    def pairs(self) -> list[tuple[Vector, Vector]]:
        """Of each shape, the left factor times the magnitudes, and the right one; about what a decoder has."""
        parts = [matrix_of(self.values, layer) for layer in layers_of_factors(self.shapes)]
        magnitudes = [magnitudes_of_codes(codes)[:, None].astype(np.float32) for _, codes in self.shapes]
        return [(each * left, right) for each, left, right in zip(magnitudes, parts[::2], parts[1::2], strict=True)]


def is_exact(layer: Layer) -> bool:
    """Whether all components of a layer are found, and exactly."""
    return min(layer.rows, layer.columns) <= EXACT_SIDE and layer.rows * layer.columns <= EXACT_CELLS


def components_of(layer: Layer, matrix: Vector, count: int) -> Components:
    """The first components of a layer, as many as asked for at most; about these where it is large."""
    if not is_exact(layer):
        rights, lefts = singular_vectors(matrix, count)
        return Components(layer, matrix, np.linalg.norm(rights, axis=1), lefts, rights)
    exact = matrix.astype(np.float64)
    wide = exact if layer.rows <= layer.columns else exact.T
    squares, vectors = np.linalg.eigh(wide @ wide.T)
    own = vectors.T[::-1][:count]
    own = own * usual_signs(own)
    values = np.sqrt(np.maximum(squares[::-1][:count], 0))
    sides = own * values[:, None], own @ wide
    return Components(layer, exact, values, *(sides if wide is exact else sides[::-1]))


def told(chosen: Chosen, step: float) -> Factors:
    """Components, told in levels of a step: once by rates of no vector, then by what those levels tell.

    Args:
        chosen: layers in the order of coding, and how many components each has, at least one.
        step: of all levels.
    """
    shapes = [Shape(each.layer, [nearest_code(1 / value) for value in each.values[:rank]]) for each, rank in chosen]
    layers = layers_of_factors(shapes)
    parts = [side[:rank].reshape(-1) for each, rank in chosen for side in (each.lefts, each.rights)]
    vector = np.concatenate([*parts, np.empty(0)]).astype(np.float32)
    first = [levels for levels, _, _ in _chosen_levels(vector, layers, step, None)]
    learnt = learnt_of(first, [layer.columns for layer in layers])
    values, levels, bits = np.zeros_like(vector), [], _BITS_OF_COMPONENT * sum(rank for _, rank in chosen)
    for place, (of_each, state, taken) in enumerate(_chosen_levels(vector, layers, step, learnt)):
        start, rank, width = layers[place]
        part = slice(start, start + rank * width)
        values_of_levels(of_each, vector[part], _FIRST, step / 16, LARGEST, state, values[part])
        if place % 2 == 0:  # the right factor, before its levels are chosen
            left = matrix_of(values, layers[place]) * magnitudes_of_codes(shapes[place // 2].codes)[:, None]
            matrix_of(vector, layers[place + 1])[:] = _best_rights(left, chosen[place // 2][0].matrix)
        levels.append(of_each)
        bits += taken
    return Factors(step, shapes, vector, levels, values, bits)


def _chosen_levels(
    vector: Vector, layers: Sequence[Layer], step: float, learnt: Learnt | None
) -> Iterator[tuple[NDArray[np.int32], int, float]]:
    """Of each layer in turn: its levels, the state before them, and their bits."""
    state = 0
    rates, contexts = learnt or (PRIOR_RATES, repeat(None))
    for (start, rank, width), of_each in zip(layers, contexts, strict=False):
        found = levels_of(vector[start : start + rank * width], width, step, rates, state, of_each)
        yield found.levels, state, found.bits + bits_of_longest(found)
        state = found.state if found.levels.any() else state


def _best_rights(lefts: Floats, matrix: Matrix) -> Floats:
    """The right factor of least squared error beside a left one, times magnitudes; shape (rank, columns)."""
    products = lefts @ lefts.T
    diagonal = np.einsum("ii->i", products)
    diagonal += _LEAST_PRODUCT * diagonal.max()
    diagonal[diagonal == 0] = 1.0
    found = np.linalg.solve(products, lefts.astype(matrix.dtype) @ matrix)
    return found.astype(np.float64, copy=False)


_FIRST = magnitudes_of(*USUAL_OFFSETS)
