"""The step at which a vector takes so many bits: found on a sample of rows and columns, corrected by the vector's own.

What a sample takes is a smooth function of the step, close to a constant share of what the vector takes. So the search
runs on the sample, cheaply, and each time the vector is coded tells that share. Knows layers. Does not know the range
coder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.trellis.level_reader import Layer, matrix_of
from surp_fl.codecs.surp.trellis.magnitude_context import CONTEXTS
from surp_fl.codecs.surp.trellis.quantisation import PRIOR_RATES, bits_of_longest, expected_bits, levels_of, rates_of
from surp_fl.codecs.surp.trellis.search import RATES, count_levels
from surp_fl.types import Floats, Vector

_SAMPLE, _SAMPLED_SHARE = 1 << 15, 64  # coordinates of a sample, or a share of all of them
_LEAST_SIDE = 4  # rows, and columns, of a sampled layer that has more
_TRIALS = 16  # evaluations of the sample in one search
_FARTHER, _FARTHEST, _LEAST_PART = 1.1, 1.0, 0.02  # steps of the search: outwards, at most so far; between two trials
_LEAST_SLOPE, _LARGEST_SLOPE = 0.1, 8.0  # of logarithms of bits and steps
_FIRST_STEP = 3.0  # below the logarithm of the largest step
_MOST_LEVELS = 2.0**23  # of the largest coordinate


@dataclass(frozen=True)
class Tried:
    """What a sample took in a step.

    Attributes:
        wanted: the step's logarithm.
        log_bits: of all layers, each as large as in the vector.
        rates: of levels.
    """

    wanted: float
    log_bits: float
    rates: Floats


class Places(NamedTuple):
    """Of the sample in a layer; in order."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


@dataclass
class StepSearch:
    """The search for a step.

    Attributes:
        values: of the sample, its layers end to end; float32, shape (m,).
        layers: of the sample.
        weights: how many times more coordinates each has in the vector.
        bounds: of logarithms of steps.
        tried: so far.
    """

    values: Vector
    layers: list[Layer]
    weights: list[float]
    bounds: tuple[float, float]
    tried: list[Tried] = field(default_factory=list)

    @classmethod
    def on(cls, vector: Vector, layers: Sequence[Layer], sampled: Sequence[Places]) -> StepSearch:
        """A search at such places of each layer of a vector; empty for zeros."""
        if not (largest := float(np.abs(vector).max(initial=0.0))) > 0:
            return cls(vector, [], [], (0.0, 0.0))
        parts, places, weights, start = [], [], [], 0
        for layer, (rows, columns) in zip(layers, sampled, strict=True):
            values = matrix_of(vector, layer)
            is_whole = len(rows) == layer.rows and len(columns) == layer.columns
            part = values if is_whole else values[rows[:, None], columns]
            parts.append(part.reshape(-1))
            places.append(Layer(start, *part.shape))
            weights.append(values.size / part.size)
            start += part.size
        bounds = math.log(largest / _MOST_LEVELS), math.log(largest)
        return cls(np.concatenate(parts), places, weights, bounds)

    def find(self, log_bits: float, close: float) -> Tried:
        """The step in which the sample takes about so many bits; `close`: of their logarithm."""
        for _ in range(_TRIALS):
            found = self.at(next_step([(each.wanted, each.log_bits) for each in self.tried], log_bits, self.bounds))
            if abs(found.log_bits - log_bits) < close or found.wanted in self.bounds:
                break
        return found

    def at(self, wanted: float) -> Tried:
        """What the sample takes in a step; tried once."""
        found = next((each for each in self.tried if each.wanted == wanted), None)
        if found is None:
            found = self._try(wanted)
            self.tried.append(found)
        return found

    def _try(self, wanted: float) -> Tried:
        """Quantise the sample with the rates of geometric distributions: a function of the step alone.

        Rates that came of an earlier choice would favour that choice again.
        """
        step, total, bits, state = math.exp(wanted), np.zeros(2 * CONTEXTS * RATES), 1.0, 0
        for (start, rows, columns), weight in zip(self.layers, self.weights, strict=True):
            found = levels_of(self.values[start : start + rows * columns], columns, step, PRIOR_RATES, state)
            if found.levels.any():
                count_levels(found.levels, found.contexts, state, weight, total)
                state = found.state
                bits += weight * bits_of_longest(found)
        rates = rates_of(total)
        return Tried(wanted, math.log(bits + expected_bits(total, rates)), rates)


def places_of(vector: Vector, layers: Sequence[Layer]) -> list[Places]:
    """Where to sample: rows and columns of each layer, evenly spaced in the order of their norms.

    So that the sample has its share of the large ones, be they few. All of them where there are few coordinates.
    """
    share = max(_SAMPLE, vector.size // _SAMPLED_SHARE) / max(vector.size, 1)
    stride = round(1 / share) if 2 * share < 1 else 1
    found = []
    for layer in layers:
        values = matrix_of(vector, layer)
        row_stride = max(1, min(round(math.sqrt(stride)), layer.rows // _LEAST_SIDE))
        column_stride = max(1, min(stride // row_stride, layer.columns // _LEAST_SIDE))
        found.append(Places(_spaced(values, "ij,ij->i", row_stride), _spaced(values, "ij,ij->j", column_stride)))
    return found


def _spaced(values: Vector, squares: str, stride: int) -> NDArray[np.intp]:
    if stride == 1:
        return np.arange(values.shape[0 if squares.endswith("i") else 1])
    order = np.argsort(np.einsum(squares, values, values), kind="stable")
    return np.sort(order[stride // 2 :: stride])


def next_step(tried: Sequence[tuple[float, float]], aim: float, bounds: tuple[float, float]) -> float:
    """The logarithm of the step to try next: a secant of two trials, with `aim` between them where there are such.

    Where the last two came out on the same side, the other one's distance counts half (the Illinois method).

    Args:
        tried: logarithms of steps and of the bits that they took, in turn; larger steps take fewer.
        aim: logarithm of the bits that are wanted.
        bounds: of the logarithm of the step.

    >>> next_step([(0.0, 8.0), (1.0, 6.0)], 7.0, (-5.0, 5.0))
    0.5
    """
    over = max((each for each in tried if each[1] > aim), default=None)
    under = min((each for each in tried if each[1] <= aim), default=None)
    if over and under and over[0] < under[0]:
        more, less = over[1] - aim, aim - under[1]
        if len(tried) > 2 and (tried[-1][1] > aim) == (tried[-2][1] > aim):
            more, less = (more, less / 2) if tried[-1][1] > aim else (more / 2, less)
        part = more / (more + less)
        wanted = over[0] + min(max(part, _LEAST_PART), 1 - _LEAST_PART) * (under[0] - over[0])
    elif tried:
        near, *far = sorted(tried, key=lambda each: abs(each[1] - aim))[:2]
        slope = (far[0][1] - near[1]) / (near[0] - far[0][0]) if far and far[0][0] != near[0] else 1.0
        change = _FARTHER * (near[1] - aim) / min(max(slope, _LEAST_SLOPE), _LARGEST_SLOPE)
        wanted = near[0] + min(max(change, -_FARTHEST), _FARTHEST)
    else:
        wanted = bounds[1] - _FIRST_STEP
    return min(max(wanted, bounds[0]), bounds[1])
