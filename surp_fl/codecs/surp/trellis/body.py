"""The writing end of the trellis mode: a vector and a step → every coordinate's level, in a range coder.

Quantisation is uniform, one step for all layers: the least squared error for the bits. `reader.py`, which has the
format, mirrors this file; `level_fit.py` chooses the step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one_selection import Term, write_terms
from surp_fl.codecs.surp.trellis.lag_search import lags_of
from surp_fl.codecs.surp.trellis.level_coder import encode_layer
from surp_fl.codecs.surp.trellis.level_models import LevelModels
from surp_fl.codecs.surp.trellis.magnitude_context import code_of_mean
from surp_fl.codecs.surp.trellis.quantisation import OFFSETS, levels_of
from surp_fl.codecs.surp.trellis.reader import (
    CODES_DEPTH,
    FIRST_CODE,
    MODE,
    MODE_WITH_TERMS,
    OFFSET_BITS,
    STEP_BITS,
    TRELLIS,
    USUAL_OFFSETS,
    Layer,
    code_of_step,
    layers_of,
    step_of,
)
from surp_fl.codecs.surp.trellis.sign_lags import NO_LAGS, LagModels, SignLags, may_have_lags
from surp_fl.codecs.surp.trellis.step_search import Tried
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.integers import encode_bits
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.types import Vector


def begun_with(terms: Sequence[Term], side: SideInformation, capacity: int) -> RangeEncoder:
    """An encoder that holds the mode, and terms; what exceeds its capacity is counted."""
    encoder = RangeEncoder(capacity)
    encoder.grant(sum(layer.rows * layer.columns for layer in layers_of(side)))
    for value in (TRELLIS, TRELLIS, MODE_WITH_TERMS if terms else MODE):
        encode_bits(encoder, value, 2)
    if terms:
        write_terms(encoder, side, terms)
    return encoder


def code_levels(
    encoder: RangeEncoder, vector: Vector, layers: Sequence[Layer], found: Tried, lags: dict[int, SignLags]
) -> float:
    """Code what comes from the step on.

    Args:
        encoder: that holds what comes before.
        vector: without the terms; float32, shape (n,), finite.
        layers: in the order of coding.
        found: the step, and rates by which levels are chosen.
        lags: of layers, by where they begin; those that are missing are sought, and added.

    Returns:
        The norm of the error.
    """
    code, models = code_of_step(math.exp(found.wanted)), LevelModels()
    step = step_of(code)
    codes, lag_models = AdaptiveInteger(CODES_DEPTH), LagModels()
    encode_bits(encoder, code, STEP_BITS)
    encode_bits(encoder, OFFSETS != USUAL_OFFSETS, 1)
    for each in OFFSETS if OFFSETS != USUAL_OFFSETS else ():
        encode_bits(encoder, each, OFFSET_BITS)
    code_before, squares = FIRST_CODE, 0.0
    for start, rows, columns in layers:
        values = vector[start : start + rows * columns]
        quantised = levels_of(values, columns, step, found.rates, models.state)
        levels, squares = quantised.levels, squares + quantised.squared_error
        mean = float(levels.mean(dtype=np.float64))
        if mean > 0:
            mean_code = code_of_mean(mean)
            codes.encode(encoder, 1 + _zigzag(mean_code - code_before))
            if start not in lags and (own := lags_of(levels, values, columns, lag_models.before)) is not None:
                lags[start] = own
            mine = lags.get(start, NO_LAGS)
            if may_have_lags(rows, columns):
                lag_models.encode(encoder, mine)
            encode_layer(encoder, models, levels, values, columns, mean_code, *mine)
            code_before = mean_code
        else:
            codes.encode(encoder, 0)
    return step * math.sqrt(squares)


def _zigzag(change: int) -> int:
    return 2 * change if change >= 0 else -2 * change - 1
