"""The writing end of the trellis mode: a vector and a step → every coordinate's level, in a range coder.

Quantisation is uniform, one step for all layers: the least squared error for the bits. `reader.py`, which has the
format, mirrors this file; `level_fit.py` chooses the step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.factor_levels import Factors
from surp_fl.codecs.surp.trellis.factors import layers_of_factors, work_of_products, write_shapes
from surp_fl.codecs.surp.trellis.lag_search import lags_of
from surp_fl.codecs.surp.trellis.level_coder import encode_layer
from surp_fl.codecs.surp.trellis.level_models import LevelModels
from surp_fl.codecs.surp.trellis.level_reader import (
    CODES_DEPTH,
    FIRST_CODE,
    OFFSET_BITS,
    STEP_BITS,
    USUAL_OFFSETS,
    Layer,
    code_of_step,
    layers_of,
    step_of,
    zigzag,
)
from surp_fl.codecs.surp.trellis.magnitude_context import code_of_mean
from surp_fl.codecs.surp.trellis.quantisation import OFFSETS, Learnt, levels_of
from surp_fl.codecs.surp.trellis.reader import MODE, MODE_WITH_FACTORS, TRELLIS
from surp_fl.codecs.surp.trellis.sign_lags import NO_LAGS, LagModels, SignLags, may_have_lags
from surp_fl.codecs.surp.trellis.step_search import Tried
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.integers import encode_bits
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.types import Vector

_WITHIN = 2.0**-13  # of a step, by which it may be larger


def begun_with(factors: Factors | None, side: SideInformation, capacity: int) -> RangeEncoder:
    """An encoder that holds the mode, and factors if there are any; what exceeds its capacity is counted."""
    encoder = RangeEncoder(capacity)
    encoder.grant(sum(layer.rows * layer.columns for layer in layers_of(side)))
    for value in (TRELLIS, TRELLIS, MODE if factors is None else MODE_WITH_FACTORS):
        encode_bits(encoder, value, 2)
    if factors is not None:
        _write_factors(encoder, side, factors)
    return encoder


def _write_factors(encoder: RangeEncoder, side: SideInformation, factors: Factors) -> None:
    write_shapes(encoder, side, factors.shapes)
    layers = layers_of_factors(factors.shapes)
    inside = factors.step * (1 + _WITHIN)  # of the steps that have the same code
    chosen = Quantised(Tried(math.log(inside), 0.0, np.empty(0)), factors.levels, 0.0, 0.0)
    code_levels(encoder, factors.vector, layers, chosen, {layer.start: NO_LAGS for layer in layers})
    for shape, levels in zip(factors.shapes, factors.levels[::2], strict=True):
        encoder.spend(work_of_products(levels, shape.layer.columns))


class Quantised(NamedTuple):
    """The levels of a vector.

    Attributes:
        found: the step, and the rates by which they were chosen.
        levels: of each layer, in the order of coding; int32, shape (rows·columns,).
        bits: about what they take, by these rates.
        error: its norm.
    """

    found: Tried
    levels: list[NDArray[np.int32]]
    bits: float
    error: float


def quantised(vector: Vector, layers: Sequence[Layer], found: Tried, learnt: Learnt | None = None) -> Quantised:
    """Choose all levels.

    Args:
        vector: without the terms; float32, shape (n,), finite.
        layers: in the order of coding.
        found: the step, and rates by which levels are chosen.
        learnt: of levels in a step nearby, whose rates and contexts are used then; None where nothing is.
    """
    step, state, levels, bits, squares = _step_of(found), 0, [], 1.0, 0.0
    rates, contexts = learnt or (found.rates, repeat(None))
    for (start, rows, columns), of_each in zip(layers, contexts, strict=False):
        of_layer = levels_of(vector[start : start + rows * columns], columns, step, rates, state, of_each)
        levels.append(of_layer.levels)
        bits, squares = bits + of_layer.bits, squares + of_layer.squared_error
        if of_layer.levels.any():
            state = of_layer.state
    return Quantised(found, levels, bits, step * math.sqrt(squares))


def code_levels(
    encoder: RangeEncoder, vector: Vector, layers: Sequence[Layer], chosen: Quantised, lags: dict[int, SignLags]
) -> None:
    """Code what comes from the step on.

    Args:
        encoder: that holds what comes before.
        vector: whose levels were chosen.
        layers: in the order of coding.
        chosen: the levels.
        lags: of layers, by where they begin; those that are missing are sought, and added.
    """
    models, codes, lag_models = LevelModels(), AdaptiveInteger(CODES_DEPTH), LagModels()
    encode_bits(encoder, code_of_step(math.exp(chosen.found.wanted)), STEP_BITS)
    encode_bits(encoder, OFFSETS != USUAL_OFFSETS, 1)
    for each in OFFSETS if OFFSETS != USUAL_OFFSETS else ():
        encode_bits(encoder, each, OFFSET_BITS)
    code_before = FIRST_CODE
    for (start, rows, columns), levels in zip(layers, chosen.levels, strict=True):
        values = vector[start : start + rows * columns]
        mean = float(levels.mean(dtype=np.float64))
        if mean > 0:
            mean_code = code_of_mean(mean)
            codes.encode(encoder, 1 + zigzag(mean_code - code_before))
            if start not in lags and (own := lags_of(levels, values, columns, lag_models.before)) is not None:
                lags[start] = own
            mine = lags.get(start, NO_LAGS)
            if may_have_lags(rows, columns):
                lag_models.encode(encoder, mine)
            encode_layer(encoder, models, levels, values, columns, mean_code, *mine)
            code_before = mean_code
        else:
            codes.encode(encoder, 0)


def _step_of(found: Tried) -> float:
    return step_of(code_of_step(math.exp(found.wanted)))
