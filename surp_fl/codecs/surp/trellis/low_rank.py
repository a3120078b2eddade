"""Low-rank factors of a vector, beside which levels leave least: of which layers, how many components, in which step.

The encoder's side alone. Factors are told in about the step of what they leave, so that the step tells the rank too:
components that are small against it have levels of 0 alone. A layer has factors where they, and levels of what they
leave, are better than levels alone, which is measured on a sample. Knows layers and rates. Does not know the range
coder.

Source: Eckart and Young 1936, "The approximation of one matrix by another of lower rank"; reverse water-filling, Cover
and Thomas, "Elements of Information Theory", section 10.3.3, over singular values instead of variances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.factor_levels import Chosen, Components, Factors, components_of, is_exact, told
from surp_fl.codecs.surp.trellis.factors import layers_with_factors, most_components
from surp_fl.codecs.surp.trellis.level_reader import Layer, code_of_step, layers_of, matrix_of, step_of
from surp_fl.codecs.surp.trellis.quantisation import PRIOR_RATES, SLOPE, bits_of_longest, levels_of
from surp_fl.codecs.surp.trellis.step_search import StepSearch, next_step, places_of
from surp_fl.types import Vector

# Tuned constants of the encoder, not of the format; by recorded updates of LeNet-5, a CNN with batch normalization, a
# ResNet and a transformer.
_LEAST_SQUARE = 0.5  # of a singular value, in squared steps for each row and column
_LEAST_BITS_OF_VALUE = 0.8  # in factors, about; limits how many components are sought
_MOST_CELLS = 1 << 30  # of layers for which not all components are found; read once for each that is
ADVANTAGE = 0.85  # of what levels alone leave of a layer, with their bits: what is left with factors, at most
_TRIALS, _NEAR = 6, 0.05  # of steps; how near logarithms of bits come
_FARTHEST = 6.0  # above the logarithm of the largest value, of a step
_CLOSE = 0.9  # of what levels alone leave, with their bits, from which on both are tried
_LEAST_COST = 1e-9  # squared steps
_LARGER = 1.1  # singular values of components that are kept, where all take more than their share


class _Trial(NamedTuple):
    """What a step comes to.

    Attributes:
        step: of levels.
        chosen: layers that have factors.
        bits: of all.
        left: what is left, with its bits, over what levels alone leave.
    """

    step: float
    chosen: Chosen
    bits: float
    left: float


@dataclass
class LowRankSearch:
    """The search for factors of a vector.

    Attributes:
        vector: float32, shape (n,), finite.
        side: the layers, without a context.
        bits: that all may take.
        share: of them, that factors may take at most.
        is_close: whether levels alone may be better than the factors that were found.
    """

    vector: Vector
    side: SideInformation
    bits: float
    share: float = 1.0
    is_close: bool = False

    def __post_init__(self) -> None:
        layers = layers_of(self.side)
        self._places = places_of(self.vector, layers)
        self._sample = StepSearch.on(self.vector, layers, self._places)
        self._components = self._all_components(layers) if self._sample.layers and self.share > 0 else []

    def find(self, most_left: float = ADVANTAGE) -> Factors | None:
        """The factors, at a step in which all takes about the bits; None where levels alone are better.

        Args:
            most_left: of what levels alone leave of a layer, with their bits, that is left beside its factors.
        """
        if not any(self._components):
            return None
        aim, (least, most) = math.log(self.bits), self._sample.bounds
        wanted, best = self._first_step, _Trial(0.0, [], 0.0, 1.0)
        tried: list[tuple[float, float]] = []
        while len(tried) < _TRIALS and wanted not in (each for each, _ in tried):
            trial = self._at(step_of(code_of_step(math.exp(wanted))), most_left)
            tried.append((wanted, math.log(trial.bits)))
            if abs(tried[-1][1] - aim) == min(abs(log_bits - aim) for _, log_bits in tried):
                best = trial
            if abs(tried[-1][1] - aim) < _NEAR:
                break
            wanted = next_step(tried, aim, (least, most + _FARTHEST))
        self.is_close = best.left > _CLOSE
        return self._limited(best.chosen, best.step)

    @cached_property
    def _first_step(self) -> float:
        """The logarithm of the step in which levels alone take about the bits."""
        return self._sample.find(math.log(self.bits), _NEAR).wanted

    def _all_components(self, layers: list[Layer]) -> list[Components | None]:
        """Of each layer, as many components as there are bits for; None if it has none."""
        with_factors = {layer.start for layer in layers_with_factors(self.side)}
        large = [layer.rows * layer.columns for layer in layers if not is_exact(layer)]
        found: list[Components | None] = []
        for layer in layers:
            count = min(most_components(layer), int(self.bits / (layer.rows + layer.columns) / _LEAST_BITS_OF_VALUE))
            if not is_exact(layer):
                count = min(count, _MOST_CELLS // sum(large))
            has_some = layer.start in with_factors and count > 0
            found.append(components_of(layer, matrix_of(self.vector, layer), count) if has_some else None)
        return found

    def _at(self, step: float, most_left: float) -> _Trial:
        """Which layers are better with factors, and the bits of all, in a step."""
        total, chosen, alone, left = 1.0, list[tuple[Components, int]](), 0.0, 0.0
        for components, layer, weight, (rows, columns) in zip(
            self._components, self._sample.layers, self._sample.weights, self._places, strict=True
        ):
            values = matrix_of(self._sample.values, layer)
            bits, cost = _cost(values, step)
            bits, cost = weight * bits, weight * cost
            alone += cost
            if components and (rank := _rank_at(components, step)):
                factors = told([(components, rank)], step)
                ((lefts, rights),) = factors.pairs()
                rest_bits, rest_cost = _cost(values - lefts[:, rows].T @ rights[:, columns], step)
                beside = weight * rest_cost + SLOPE * factors.bits
                if beside < most_left * cost:
                    bits, cost = weight * rest_bits + factors.bits, beside
                    chosen.append((components, rank))
            total, left = total + bits, left + cost
        return _Trial(step, chosen, total, left / max(alone, _LEAST_COST))

    def _limited(self, chosen: Chosen, step: float) -> Factors | None:
        """Factors that take their share of the bits at most; None for none."""
        most, raised = self.share * self.bits, step
        while chosen:
            factors = told(chosen, step)
            if factors.bits <= most:
                return factors
            raised = _LARGER * raised
            chosen = [(each, rank) for each, _ in chosen if (rank := _rank_at(each, raised)) > 0]
        return None


def _rank_at(components: Components, step: float) -> int:
    """How many components are large enough for levels in a step."""
    least = _LEAST_SQUARE * step**2 * (components.layer.rows + components.layer.columns)
    return int((np.square(components.values, dtype=np.float64) > least).sum())


def _cost(values: Vector, step: float) -> tuple[float, float]:
    """About the bits of levels of a sample; and these, as squared errors, with the squared error, in squared steps."""
    found = levels_of(np.ascontiguousarray(values, np.float32).reshape(-1), values.shape[1], step, PRIOR_RATES, 0)
    bits = found.bits + bits_of_longest(found)
    return bits, found.squared_error + SLOPE * bits
