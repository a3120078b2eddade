"""The writing end of the trellis mode: a vector → every coordinate's level, and the bytes of a body within a budget.

Quantisation is uniform, one step for all layers: the least squared error for the bits. `reader.py`, which has the
format, mirrors this file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

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
from surp_fl.codecs.surp.trellis.step_search import StepSearch, Tried, next_step
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.integers import encode_bits
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.types import Vector

# Tuned constants of the encoder, not of the format.
_TRIALS, _TRIALS_OF_MANY = 10, 5  # encodings of the vector, until it fits closely: two or three, as a rule
_USUALLY_MORE = 0.1  # of the logarithm of a vector's bits over that of its sample's
_FIRST_SEARCH, _SECOND_SEARCH = 0.05, 0.005  # how close logarithms of bits come on the sample
_CLOSE, _CLOSE_OF_MANY, _MANY = 0.002, 0.01, 1 << 22  # of the budget that may be left; for so many coordinates
_LAST_LESS = 0.02  # of the budget, that the last one aims lower, if none has fitted
_LEAST_SHARE = 0.9  # of the budget, below which nothing is written: bits jump with the step there
_MOST_LEVELS = 2.0**23  # of the largest coordinate


def write_trellis(vector: Vector, side: SideInformation, capacity: int, terms: Sequence[Term] = ()) -> bytes | None:
    """Write a body of the trellis mode with the least squared error within a number of bytes.

    Args:
        vector: without the terms; float32, shape (n,), finite.
        side: the layers, without a context.
        capacity: bytes of the body.
        terms: rank-one terms of layers, which come first.

    Returns:
        At most `capacity` bytes; None where no step uses them, as for a vector of zeros and for very few bits.
    """
    largest = float(np.abs(vector).max(initial=0.0))
    if not largest > 0:
        return None
    layers, best, finest = layers_of(side), None, False
    vector = np.ascontiguousarray(vector)
    bounds = (math.log(largest / _MOST_LEVELS), math.log(largest))
    sample, begun = StepSearch.on(vector, layers, bounds), begun_with(terms, side, capacity)
    close = (_CLOSE if vector.size < _MANY else _CLOSE_OF_MANY) * capacity + 1
    tried: list[tuple[float, float]] = []  # logarithms of steps, and of the bits of the vector
    lags: dict[int, SignLags] = {}  # of layers, by where they begin; sought once, as they are much alike in all steps
    trials = _TRIALS if vector.size < _MANY else _TRIALS_OF_MANY
    for number in range(trials):
        less = close * (0.4 + 0.5 * number / trials) if number < trials - 1 or best else _LAST_LESS * capacity
        aim = math.log(8 * max(capacity - less, 1))
        if not tried:
            found = sample.find(aim - _USUALLY_MORE, _FIRST_SEARCH)
        elif len(tried) == 1:  # the vector takes more than the sample by about the same factor in every step
            found = sample.find(aim - tried[0][1] + found.log_bits, _SECOND_SEARCH)
        else:
            found = replace(found, wanted=next_step(tried, aim, bounds))  # its rates stay, so that bits change steadily
        coded = begun.copy()
        _code(coded, vector, layers, found, lags)
        length = coded.length()
        if coded.overdrawn and any(each.lags.size for each in lags.values()):  # a coordinate with lags is more work
            lags = dict.fromkeys((layer.start for layer in layers), NO_LAGS)
            continue
        if coded.overdrawn:  # so it would be in every step
            break
        if length <= capacity and (best is None or length > best.length()):
            best, finest = coded, found.wanted == bounds[0]
        if 0 <= capacity - length <= close or (length < capacity and finest):
            break
        tried.append((found.wanted, math.log(8 * length)))
    if best is None or (best.length() < _LEAST_SHARE * capacity and not finest):
        return None
    return best.finish()


def begun_with(terms: Sequence[Term], side: SideInformation, capacity: int) -> RangeEncoder:
    """An encoder that holds the mode, and terms; what exceeds its capacity is counted."""
    encoder = RangeEncoder(capacity)
    encoder.grant(sum(layer.rows * layer.columns for layer in layers_of(side)))
    for value in (TRELLIS, TRELLIS, MODE_WITH_TERMS if terms else MODE):
        encode_bits(encoder, value, 2)
    if terms:
        write_terms(encoder, side, terms)
    return encoder


def _code(
    encoder: RangeEncoder, vector: Vector, layers: Sequence[Layer], found: Tried, lags: dict[int, SignLags]
) -> None:
    """Code a vector in a step, with the lags that were found for its layers before, or are now."""
    code, models = code_of_step(math.exp(found.wanted)), LevelModels()
    step = step_of(code)
    codes, lag_models = AdaptiveInteger(CODES_DEPTH), LagModels()
    encode_bits(encoder, code, STEP_BITS)
    encode_bits(encoder, OFFSETS != USUAL_OFFSETS, 1)
    for each in OFFSETS if OFFSETS != USUAL_OFFSETS else ():
        encode_bits(encoder, each, OFFSET_BITS)
    code_before = FIRST_CODE
    for start, rows, columns in layers:
        values = vector[start : start + rows * columns]
        levels = levels_of(values, columns, step, found.rates, models.state).levels
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


def _zigzag(change: int) -> int:
    return 2 * change if change >= 0 else -2 * change - 1
