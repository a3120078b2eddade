"""Rate–distortion selection of rank-one terms: which layers, and which signs of their rows and columns.

The encoder's side alone: decoders need none of it. Terms are used where they pay in the round's own update: under error
feedback the residuals of a model that is far from low rank become low-rank all the same, layers that drift together,
and terms for them cost the bits of what is learnt now. A layer's best term is near its first pair of singular vectors,
which a few power iterations find; of each vector, the signs of the largest entries are kept, as many as remove most
squared error for their bits. Terms are taken by what they remove beyond what the same bits would remove as groups.
A squared error counts more in layers that moved more: steps such as AdamW's are as long where gradients are mere noise,
which adds up to little, as where they agree, and what the loss gains is where they agree.
Knows rates. Does not know bits.

Source: Vogels et al. 2019, "PowerSGD", for power iterations on layers; the singular vectors are coded as factors there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.groups import magnitude_of, nearest_code
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one import MAX_TERMS, Trits, layers_with_terms, write_term
from surp_fl.codecs.surp.rate_distortion import select_groups, slope_of
from surp_fl.entropy.integers import encode_uint
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.memory import norm_of
from surp_fl.topk import on_host
from surp_fl.types import Vector

if TYPE_CHECKING:
    import torch

# Tuned constants of the encoder, not of the format. Set by hand, but for those that say what was measured; messages of
# recorded updates (simulations.experiments.messages) and the transformer's runs show what a change does.
_ITERATIONS = 3  # of the power method, from the row of the largest norm
_REFINEMENTS = 2  # of each factor's signs, given the other's
_TERM_BITS = 18.0  # about the layer and the magnitude of a term, and what its densities learn
_LEAST_BITS = 40.0  # of a term
_COLUMNS_SHARES = (0.25, 0.5, 0.75)  # of the bits of a term that has to fit; what is best is taken
_HEAD_BITS = 26.0  # about the first group, where terms may take all of a message
_FLAT_KURTOSIS = 6.0  # twice that of a normal distribution; at most 4 in AdamW's layers, 8 to 20 in those of SGD
_SAMPLE = 1 << 16  # coordinates of a layer
_LEAST_ADVANTAGE = 1.2  # of terms over groups, in squared error of the round's own update
_FEW_BITS, _LEAST_OF_FEW = 0.01, 3.0  # a coordinate; the same with so few: SGD's 1 to 2.5 did harm, AdamW has 5 to 85
# Beside levels: what a term's bit has to remove, in mean squared errors of levels alone (at high rates a bit removes
# 2·ln 2 of one), and the share of the bits that terms may take. Of 1 to 8, and 0.9 to 1, by recorded updates of LeNet-5
# and the CNN with batch normalization.
_ERRORS_A_BIT, _MOST_BESIDE_LEVELS = 2.5, 0.9
_LEAST_NET_GAIN = 0.01  # of these, as a share of what levels alone leave; below, a second trial is a waste
_MOST_CELLS = 1 << 27  # that the search for them reads, each about a dozen times; under a second
_LEAST_SIDE = 16  # rows, and columns; in the factors of LoRA a term removes much, but most of that is noise
_LEAST_NORM, _MOST_NORM = 1e-15, 1e15  # of vectors with terms
_MOST_IMPORTANCE = 32.0  # of a layer; its inverse is the least


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


def terms_within(
    bits: float, share: float, vector: Vector | torch.Tensor, delta: Vector | None, side: SideInformation
) -> list[Term]:
    """The terms of a message, best first; none where they do not pay.

    Args:
        bits: of the message.
        share: of the bits that terms may take, 0 to 1.
        vector: float32, shape (n,); an array, or a tensor on any device.
        delta: the round's own part of the vector; None for all of it.
        side: what the decoder holds.
    """
    whole = on_host(vector)
    update = whole if delta is None else delta
    if not flat(update, side) or not all(map(_in_range, [whole] if update is whole else [whole, update])):
        return []
    group_bits = max((1 - share) * bits, _HEAD_BITS)
    slope = slope_of(select_groups(update, side, group_bits))
    if not slope > 0:
        return []
    equal = np.ones(len(layers_with_terms(side)))
    terms = select_terms(update.copy(), side, share * bits, slope, equal, slope_at_the_end=slope)
    groups = sum(len(each.coordinates) * each.magnitude**2 for each in select_groups(update, side, bits))
    least = _LEAST_OF_FEW if bits < _FEW_BITS * update.size else _LEAST_ADVANTAGE
    if sum(term.gain for term in terms) < least * groups:
        return []
    if update is not whole:
        slope = slope_of(select_groups(whole, side, group_bits))
    importance = _importance_of(update, side)
    terms = select_terms(whole.copy(), side, share * bits, slope, importance)
    return _reselect(terms, whole, side, share * bits, slope, importance)


def terms_beside_levels(bits: float, share: float, vector: Vector, side: SideInformation, error: float) -> list[Term]:
    """The terms of a message that tells every coordinate's level as well, best first.

    A dense layer's gradient is a sum of outer products, one for each example; so is an update of a few local steps.
    With bits for levels beside them, terms do not displace what single coordinates tell.

    Args:
        bits: of the message.
        share: of the bits that terms may take, 0 to 1.
        vector: float32, shape (n,).
        side: what the decoder holds.
        error: norm of what levels alone leave of the vector; more than 0.
    """
    if not _in_range(vector):
        return []
    slope = _ERRORS_A_BIT * error * error / vector.size
    equal = np.ones(len(layers_with_terms(side)))
    most_bits = min(share, _MOST_BESIDE_LEVELS) * bits
    terms = select_terms(vector.copy(), side, most_bits, slope, equal, most_cells=_MOST_CELLS)
    net_gain = sum(term.gain - slope * term.bits for term in terms)
    return terms if net_gain > _LEAST_NET_GAIN * error * error else []


def without(vector: Vector | torch.Tensor, terms: Sequence[Term], side: SideInformation) -> Vector:
    """The vector minus what a decoder adds for terms."""
    layers, residual = layers_with_terms(side), on_host(vector).copy()
    for term in terms:
        subtract(_matrix(residual, side, int(layers[term.place])), term)
    return residual


def write_terms(encoder: RangeEncoder, side: SideInformation, terms: Sequence[Term]) -> None:
    """Write how many terms there are, at least one, and each of them."""
    layers, previous = layers_with_terms(side), 0
    encode_uint(encoder, len(terms))
    for term in terms:
        write_term(encoder, side, layers, term.place, previous, term.code, term.row_signs, term.column_signs)
        previous = term.code


def _in_range(vector: Vector) -> bool:
    """Whether products of the vector's values are exact enough in float32."""
    return _LEAST_NORM < norm_of(vector) < _MOST_NORM


def flat(update: Vector, side: SideInformation) -> bool:
    """Whether most of an update's squared norm lies in layers without outliers, by a sample of each layer."""
    layers = {layer for layer in layers_with_terms(side).tolist() if not _thin(_matrix(update, side, layer))}
    total = flat = 0.0
    for layer in range(side.layer_count()):
        values = _matrix(update, side, layer).reshape(-1)
        if side.is_recent(layer) or values.size == 0:
            continue
        step = values.size // _SAMPLE + 1
        while math.gcd(step, int(side.columns[layer])) > 1:
            step += 1  # of all columns
        squares = np.square(values[::step], dtype=np.float64)
        mean = float(squares.mean())
        total += values.size * mean
        if layer in layers and float(squares @ squares) <= _FLAT_KURTOSIS * squares.size * mean * mean:
            flat += values.size * mean
    return flat > total / 2


def _importance_of(update: Vector, side: SideInformation) -> NDArray[np.float64]:
    """Of a squared error in each layer that may have terms: its mean square over that of the whole update."""
    usual = norm_of(update) ** 2 / update.size
    matrices = [_matrix(update, side, int(layer)) for layer in layers_with_terms(side)]
    found = np.array([norm_of(matrix) ** 2 / max(matrix.size, 1) / usual for matrix in matrices])
    return found.clip(1 / _MOST_IMPORTANCE, _MOST_IMPORTANCE)


def _reselect(
    first: list[Term],
    vector: Vector,
    side: SideInformation,
    bits: float,
    slope: float,
    importance: NDArray[np.float64],
) -> list[Term]:
    """Select once more, by what a bit removes in the worst of the terms; then the better terms of the two.

    Signs that remove less for their bits than another term would are left out, and the last terms are made to fit.
    """
    worst = min((importance[term.place] * term.gain / term.bits for term in first), default=slope)
    second = select_terms(vector.copy(), side, bits, max(slope, worst), importance, slope_at_the_end=slope)

    def net_gain(terms: list[Term]) -> float:
        return sum(float(importance[term.place]) * term.gain - slope * term.bits for term in terms)

    return max(first, second, key=net_gain)


def select_terms(
    residual: Vector,
    side: SideInformation,
    bits: float,
    slope: float,
    importance: NDArray[np.float64],
    *,
    slope_at_the_end: float | None = None,
    most_cells: float = math.inf,
) -> list[Term]:
    """Select terms that remove more squared error than their bits would elsewhere, best first.

    Args:
        residual: float32, shape (n,); the terms are subtracted from it.
        side: what the decoder holds.
        bits: that all terms together may take.
        slope: squared error that a bit removes elsewhere.
        importance: of a squared error in each layer that may have terms.
        slope_at_the_end: the same, of the bits that are left when a layer's best term does not fit any more and one
            that fits is found; None to take none that way.
        most_cells: of all layers that are searched, together; a layer of which a term was taken is searched again.
    """
    layers = layers_with_terms(side)
    matrices = [_matrix(residual, side, int(layer)) for layer in layers]
    candidates: dict[int, Term] = {}

    def find(place: int) -> None:
        """Have the layer's best term that fits among the candidates, if there is one."""
        nonlocal most_cells
        candidates.pop(place, None)
        matrix, weight = matrices[place], float(importance[place])
        if _thin(matrix) or matrix.size > most_cells:
            return
        most_cells -= matrix.size
        right = _right_singular_vector(matrix)
        found = None if right is None else _term_near(right, matrix, place, slope / weight, math.inf, 1.0)
        if found is not None and right is not None and found.bits > bits:
            end = slope_at_the_end
            found = None if end is None else _fitting_term(right, matrix, place, end / weight, bits)
        if found is not None:
            candidates[place] = found

    for place in range(len(layers)):
        find(place)
    terms: list[Term] = []
    while candidates and len(terms) < MAX_TERMS:
        best = max(candidates.values(), key=lambda each: importance[each.place] * each.gain - slope * each.bits)
        if best.bits <= bits:
            terms.append(best)
            bits -= best.bits
            subtract(matrices[best.place], best)
        find(best.place)
    return terms


def shortened(terms: Sequence[Term], excess: float, vector: Vector | torch.Tensor, side: SideInformation) -> list[Term]:
    """The terms with a last one that takes fewer bits; without it if that cannot be.

    Args:
        terms: best first; at least one.
        excess: bits to leave out.
        vector: that they are for.
        side: what the decoder holds.
    """
    *kept, last = terms
    matrix = _matrix(without(vector, kept, side), side, int(layers_with_terms(side)[last.place]))
    right = _right_singular_vector(matrix)
    found = None if right is None else _fitting_term(right, matrix, last.place, 0.0, last.bits - excess)
    return kept if found is None else [*kept, found]


def _thin(matrix: Vector) -> bool:
    """Whether a layer is too thin for terms to be worth their bits."""
    return bool(min(matrix.shape) < _LEAST_SIDE)


def _matrix(vector: Vector, side: SideInformation, layer: int) -> Vector:
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


def _fitting_term(right: Vector, matrix: Vector, place: int, slope: float, most_bits: float) -> Term | None:
    """The term that removes most in at most so many bits; None if none removes more than its bits would elsewhere."""
    if most_bits < _LEAST_BITS:
        return None
    found = [_term_near(right, matrix, place, slope, most_bits, share) for share in _COLUMNS_SHARES]
    return max((each for each in found if each is not None), key=lambda each: each.gain, default=None)


def _term_near(
    right: Vector, matrix: Vector, place: int, slope: float, most_bits: float, columns_share: float
) -> Term | None:
    """The term near a right singular vector; its columns may take a share of the bits at first, its rows the rest."""
    signs_bits = most_bits - _TERM_BITS
    column_signs, _, column_bits = _signs(right, slope, signs_bits * columns_share)
    for _ in range(_REFINEMENTS):
        row_signs, _, row_bits = _signs(_mean_along(matrix, column_signs), slope, signs_bits - column_bits)
        column_signs, _, column_bits = _signs(_mean_along(matrix.T, row_signs), slope, signs_bits - row_bits)
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
    magnitudes = np.abs(values).astype(np.float64)
    order = np.argsort(-magnitudes, kind="stable")
    k, bits = _counts_and_bits(len(values))
    gain = np.cumsum(magnitudes[order]) ** 2 / k
    net = gain - slope * bits
    kept = int(np.argmax(net if most_bits == math.inf else np.where(bits <= most_bits, net, -math.inf)))
    signs = np.zeros(len(values), np.int8)
    chosen = order[: kept + 1]
    signs[chosen] = np.where(values[chosen] < 0, -1, 1)
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
