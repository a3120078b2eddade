"""Rate–distortion selection of rank-one terms: in which layers, and how many.

The encoder's side alone: decoders need none of it. Terms are used where they pay in the round's own update: under error
feedback the residuals of a model that is far from low rank become low-rank all the same, layers that drift together,
and terms for them cost the bits of what is learnt now. Terms are taken by what they remove beyond what the same bits
would remove as groups, or as levels. A squared error counts more in layers that moved more: steps such as AdamW's are
as long where gradients are mere noise, which adds up to little, as where they agree, and what the loss gains is where
they agree. Knows rates. Does not know how terms are found, nor bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one import layers_with_terms, write_term
from surp_fl.codecs.surp.rank_one_search import Term, TermSearch, fitting_term, is_thin, matrix_of, subtract
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
_HEAD_BITS = 26.0  # about the first group, where terms may take all of a message
_FLAT_KURTOSIS = 6.0  # twice that of a normal distribution; at most 4 in AdamW's layers, 8 to 20 in those of SGD
_SAMPLE = 1 << 16  # coordinates of a layer
_LEAST_ADVANTAGE = 1.2  # of terms over groups, in squared error of the round's own update
_FEW_BITS, _LEAST_OF_FEW = 0.01, 3.0  # a coordinate; the same with so few: SGD's 1 to 2.5 did harm, AdamW has 5 to 85
_LEAST_NORM, _MOST_NORM = 1e-15, 1e15  # of vectors with terms
_MOST_IMPORTANCE = 32.0  # of a layer; its inverse is the least


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
    if not flat(update, side) or not all(map(in_range, [whole] if update is whole else [whole, update])):
        return []
    group_bits = max((1 - share) * bits, _HEAD_BITS)
    slope = slope_of(select_groups(update, side, group_bits))
    if not slope > 0:
        return []
    terms = TermSearch(update.copy(), side).select(share * bits, slope, slope)
    groups = sum(len(each.coordinates) * each.magnitude**2 for each in select_groups(update, side, bits))
    least = _LEAST_OF_FEW if bits < _FEW_BITS * update.size else _LEAST_ADVANTAGE
    if sum(term.gain for term in terms) < least * groups:
        return []
    if update is not whole:
        slope = slope_of(select_groups(whole, side, group_bits))
    importance = _importance_of(update, side)
    terms = TermSearch(whole.copy(), side, importance).select(share * bits, slope)
    return _reselect(terms, whole, side, share * bits, slope, importance)


def without(vector: Vector | torch.Tensor, terms: Sequence[Term], side: SideInformation) -> Vector:
    """The vector minus what a decoder adds for terms."""
    residual = on_host(vector).copy()
    for place, layer in enumerate(layers_with_terms(side).tolist()):
        if mine := [term for term in terms if term.place == place]:
            subtract(matrix_of(residual, side, layer), mine)
    return residual


def write_terms(encoder: RangeEncoder, side: SideInformation, terms: Sequence[Term]) -> None:
    """Write how many terms there are, at least one, and each of them."""
    layers, previous = layers_with_terms(side), 0
    encode_uint(encoder, len(terms))
    for term in terms:
        write_term(encoder, side, layers, term.place, previous, term.code, term.row_signs, term.column_signs)
        previous = term.code


def in_range(vector: Vector) -> bool:
    """Whether products of the vector's values are exact enough in float32."""
    return _LEAST_NORM < norm_of(vector) < _MOST_NORM


def flat(update: Vector, side: SideInformation) -> bool:
    """Whether most of an update's squared norm lies in layers without outliers, by a sample of each layer."""
    layers = {layer for layer in layers_with_terms(side).tolist() if not is_thin(matrix_of(update, side, layer))}
    total = flat = 0.0
    for layer in range(side.layer_count()):
        values = matrix_of(update, side, layer).reshape(-1)
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
    matrices = [matrix_of(update, side, int(layer)) for layer in layers_with_terms(side)]
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
    second = TermSearch(vector.copy(), side, importance).select(bits, max(slope, worst), slope)

    def net_gain(terms: list[Term]) -> float:
        return sum(float(importance[term.place]) * term.gain - slope * term.bits for term in terms)

    return max(first, second, key=net_gain)


def shortened(terms: Sequence[Term], excess: float, vector: Vector | torch.Tensor, side: SideInformation) -> list[Term]:
    """The terms with a last one that takes fewer bits; without it if that cannot be.

    Args:
        terms: best first; at least one.
        excess: bits to leave out.
        vector: that they are for.
        side: what the decoder holds.
    """
    *kept, last = terms
    matrix = matrix_of(without(vector, kept, side), side, int(layers_with_terms(side)[last.place]))
    found = fitting_term(matrix, last.place, 0.0, last.bits - excess)
    return kept if found is None else [*kept, found]
