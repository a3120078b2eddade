"""The writing end of the trellis mode: a vector → every coordinate's level, and the bytes of a body within a budget.

Quantisation is uniform, so that one step serves all layers: the least squared error for the bits. The step that a budget
holds is found on a sample of rows, then on the vector. `reader.py` mirrors what is written here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.level_coder import LevelModels, encode_layer
from surp_fl.codecs.surp.trellis.magnitude_context import CONTEXTS, code_of_mean, contexts_of
from surp_fl.codecs.surp.trellis.reader import (
    CODES_DEPTH,
    FIRST_CODE,
    OFFSET_BITS,
    STEP_BITS,
    TRELLIS,
    Layer,
    layers_of,
    magnitudes_of,
)
from surp_fl.codecs.surp.trellis.search import RATES, choose_levels, count_levels
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.integers import encode_bits
from surp_fl.entropy.minifloat import decode_minifloat, encode_minifloat
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.types import Floats, Vector

# Tuned constants of the encoder, not of the format; on recorded updates of LeNet-5 and of a CNN with batch
# normalization, simulations.experiments.update_rates shows what a change does.
_SLOPE = 0.2  # squared steps that a bit has to remove
_SLOPE_PER_STEP = 7.0  # the slope's change for a step's, both relative, that gives as many bits
_OFFSETS = (7, 5)  # codes of the magnitude of level 1 in both quantisers; see `magnitudes_of`
_ROUNDING = 0.35  # of a plain rounding to even steps: what is added before it is rounded down
_RUN = 1 << 15  # coordinates of a path, after which the best state is kept
_SAMPLE, _SAMPLED_SHARE = 1 << 15, 64  # coordinates of a sample, or a share of all of them
_SAMPLE_TRIALS, _SAMPLE_CLOSE = 10, 0.004  # encodings of the sample; how close its bits come
_TRIALS = 4  # encodings of the vector, until it fits closely
_CLOSE, _CLOSE_OF_MANY, _MANY = 0.001, 0.01, 1 << 22  # of the budget that may be left; for so many coordinates
_PRIOR = 4.0  # coordinates, as if seen before, in each context
_MOST_LEVELS = 2.0**22  # of the largest coordinate


@dataclass(frozen=True)
class _Trial:
    """A vector in levels of one step.

    Attributes:
        body: what it is coded in; some of it may be beyond the encoder's capacity.
        bits: of each layer.
        rates: of levels, as they came.
    """

    body: RangeEncoder
    bits: Floats
    rates: Floats


def write_trellis(vector: Vector, side: SideInformation, capacity: int) -> bytes | None:
    """Write a body of the trellis mode with the least squared error within a number of bytes.

    Args:
        vector: float32, shape (n,), finite.
        side: the layers, without a context.
        capacity: bytes of the body.

    Returns:
        At most `capacity` bytes; None where no step's body fits closely, as for zeros and very few bits.
    """
    largest = float(np.abs(vector).max(initial=0.0))
    if not largest > 0:
        return None
    layers = layers_of(side)
    finest = math.log(largest / _MOST_LEVELS)
    coarsest = math.log(largest)
    wanted, slope, rates = _found_on_sample(vector, layers, 8.0 * capacity, finest, coarsest)
    best: RangeEncoder | None = None
    close = _CLOSE if vector.size < _MANY else _CLOSE_OF_MANY
    for trial_number in range(_TRIALS):
        trial = _tried(vector, layers, wanted, rates, capacity)
        length = trial.body.length()
        if length <= capacity and not trial.body.overdrawn and (best is None or length > best.length()):
            best = trial.body
        left = capacity - length
        if 0 <= left <= close * capacity + 1 or (left > 0 and wanted <= finest):
            break
        aim = close * capacity * (0.5 if trial_number < _TRIALS - 2 else 0.9)
        wanted = min(max(wanted - 8.0 * (left - aim) / slope, finest), coarsest)
        rates = trial.rates
    return None if best is None else best.finish()


def _found_on_sample(
    vector: Vector, layers: Sequence[Layer], bits: float, finest: float, coarsest: float
) -> tuple[float, float, Floats]:
    """The logarithm of a step, how many bits less a larger one takes, and rates of levels, by a sample of rows."""
    sampled, places, weights = _sample(vector, layers)
    cells = sum(layer.rows * layer.columns for layer in layers)
    root = math.sqrt(float(np.einsum("i,i->", sampled, sampled, dtype=np.float64)) / max(sampled.size, 1))
    wanted = math.log(root) + (1.5 - bits / cells) * math.log(2) if root > 0 else finest
    slope = min(bits, 1.2 * cells)
    rates, tried = _rates_of(None), []
    for _ in range(_SAMPLE_TRIALS):
        wanted = min(max(wanted, finest), coarsest)
        trial = _tried(sampled, places, wanted, rates, 0)
        found, rates = float(trial.bits @ weights), trial.rates
        tried.append((wanted, found))
        if abs(found - bits) < _SAMPLE_CLOSE * bits or (found < bits and wanted == finest):
            break
        slope = _slope(tried, bits, slope)
        wanted -= min(max((bits - found) / slope, -1.5), 1.5)
    return min(max(wanted, finest), coarsest), slope, rates


def _slope(tried: Sequence[tuple[float, float]], bits: float, before: float) -> float:
    """Bits that a step's logarithm costs, by the two trials nearest to the budget; as before where they tell nothing."""
    if len(tried) < 2:
        return before
    (near, near_bits), (far, far_bits) = sorted(tried, key=lambda each: abs(each[1] - bits))[:2]
    if near == far:
        return before
    found = (far_bits - near_bits) / (near - far)
    return min(max(found, before / 4), before * 4)


def _sample(vector: Vector, layers: Sequence[Layer]) -> tuple[Vector, list[Layer], Floats]:
    """Evenly spaced rows of all layers, end to end; and how many times more coordinates each layer has."""
    share = max(_SAMPLE, vector.size // _SAMPLED_SHARE) / max(vector.size, 1)
    parts, places, weights, start = [], [], [], 0
    for layer in layers:
        values = vector[layer.start : layer.start + layer.rows * layer.columns].reshape(layer.rows, layer.columns)
        stride = max(1, min(round(1 / share), layer.rows // 4)) if 2 * share < 1 else 1
        columns = layer.columns if layer.rows > 1 or 2 * share >= 1 else min(layer.columns, _SAMPLE)
        part = values[::stride, :columns]
        parts.append(part.reshape(-1))
        places.append(Layer(start, part.shape[0], columns))
        weights.append(values.size / part.size)
        start += part.size
    return np.concatenate(parts), places, np.array(weights)


def _tried(vector: Vector, layers: Sequence[Layer], wanted: float, rates: Floats, capacity: int) -> _Trial:
    """Code a vector in a step; of coded steps, the finer one, with a slope that makes up for the difference."""
    code = max(encode_minifloat(math.exp(wanted)), 1)
    if decode_minifloat(code) > math.exp(wanted) and code > 1:
        code -= 1
    step = decode_minifloat(code)
    slope = _SLOPE * math.exp(_SLOPE_PER_STEP * min(max(wanted - math.log(step), 0.0), 0.01))
    encoder, models, codes = RangeEncoder(capacity), LevelModels(), AdaptiveInteger(CODES_DEPTH)
    encoder.grant(len(vector))
    for value, width in ((TRELLIS, 2), (TRELLIS, 2), (0, 2), (code, STEP_BITS), *((o, OFFSET_BITS) for o in _OFFSETS)):
        encode_bits(encoder, value, width)
    first = magnitudes_of(*_OFFSETS)
    counts, bits = np.zeros(2 * CONTEXTS * RATES), np.empty(len(layers))
    state, code_before = 0, FIRST_CODE
    for number, (start, rows, columns) in enumerate(layers):
        before = encoder.bytes_written()
        levels, state = _levels(vector[start : start + rows * columns], columns, step, slope, rates, first, state, counts)
        mean = float(np.abs(levels).mean(dtype=np.float64))
        mean_code = code_of_mean(mean) if mean > 0 else 0
        if mean_code:
            codes.encode(encoder, 1 + _zigzag(mean_code - code_before))
            encode_layer(encoder, models, levels, columns, mean_code)
            code_before = mean_code
        else:
            codes.encode(encoder, 0)
        state = models.state  # a layer of zeros leaves it as it was
        bits[number] = 8.0 * (encoder.bytes_written() - before)
    return _Trial(encoder, bits, _rates_of(counts))


def _levels(
    values: Vector, columns: int, step: float, slope: float, rates: Floats, first: Floats, state: int, counts: Floats
) -> tuple[NDArray[np.int32], int]:
    """The levels of a layer, with signs, and the state after it; what is chosen is added to the counts."""
    rough = (np.abs(values) * np.float32(0.5 / step) + np.float32(_ROUNDING)).astype(np.int32)
    mean = float(rough.mean(dtype=np.float64))
    contexts, levels = np.empty(len(values), np.int16), np.empty(len(values), np.int32)
    contexts_of(rough, columns, code_of_mean(max(mean, 1 / len(values))), contexts)
    began = state
    for start in range(0, len(values), _RUN):
        part = slice(start, start + _RUN)
        magnitudes = np.abs(values[part]).astype(np.float64) / step
        state = choose_levels(magnitudes, contexts[part], rates, slope, first / 16, state, levels[part])
    count_levels(levels, contexts, began, counts)
    return np.where(values < 0, -levels, levels), state


def _zigzag(change: int) -> int:
    return 2 * change if change >= 0 else -2 * change - 1


def _rates_of(counts: Floats | None) -> Floats:
    """Bits of levels by quantiser and context, with a sign, from counts and a geometric distribution."""
    expected = 2.0 ** ((np.arange(CONTEXTS) - 32) / 4)[None, :, None]
    longer = expected / (1 + expected)
    level = np.arange(RATES - 1)
    prior = _PRIOR * np.where(level < RATES - 2, (1 - longer) * longer**level, longer**level)
    seen = np.zeros((2, CONTEXTS, RATES)) if counts is None else counts.reshape(2, CONTEXTS, RATES)
    likely = seen[:, :, :-1] + prior + 1e-3
    rates = np.empty((2, CONTEXTS, RATES))
    rates[:, :, :-1] = np.log2(likely.sum(axis=2, keepdims=True)) - np.log2(likely)
    rates[:, :, 1:-1] += 1
    rates[:, :, -1] = -np.log2(longer[0, :, 0])
    return rates.reshape(-1)
