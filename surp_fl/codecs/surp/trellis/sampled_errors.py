"""About what error levels leave of a vector, of which more and more is told otherwise: measured on a sample.

The encoder's side alone. All vectors are sampled at the same places, so that they can be told apart by less than a
sample's error. Knows steps. Does not know what else tells the vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from surp_fl.codecs.surp.trellis.quantisation import SLOPE
from surp_fl.codecs.surp.trellis.reader import Layer
from surp_fl.codecs.surp.trellis.step_search import Places, StepSearch, Tried, next_step
from surp_fl.types import Vector

# Tuned constants of the encoder, not of the format.
_TRIALS, _NEAR = 12, 0.03  # of steps; how near logarithms of bits are to those wanted
_APART, _FAR = 0.01, 0.5  # logarithms of bits, between which two trials tell slopes
_ASIDE = 0.1  # of the logarithm of a step, for a second trial that tells slopes
_GOES_ON = 0.7  # of a step's change from one vector to the next, in the following one


@dataclass
class SampledErrors:
    """What levels leave of one vector after another.

    Attributes:
        layers: of the model, in the order of coding.
        places: of the sample, in each layer.
        bits: of all that is told.
        more: logarithm of the bits that levels take over those of the sample.
        step: logarithm of the step of the last vector; at first about the one expected.
    """

    layers: Sequence[Layer]
    places: Sequence[Places]
    bits: float
    more: float
    step: float
    _change: float = 0.0  # of the step, by the last vector
    _step_slope: float = -0.8  # of logarithms, of steps over bits; until two trials tell it
    _error_slope: float = -0.6  # the same of errors
    _tells_slopes: bool = False

    @property
    def removed_by_a_bit(self) -> float:
        """Squared error that a bit removes where levels choose between telling a coordinate or not."""
        return SLOPE * math.exp(2 * self.step)

    def beside(self, vector: Vector, bits: float) -> float:
        """About the norm of what levels leave of a vector, beside what takes so many bits."""
        sample = StepSearch.on(vector, self.layers, self.places)
        if not sample.layers:
            return 0.0
        aim = math.log(max(self.bits - bits, 1.0)) - self.more
        wanted = self.step + _GOES_ON * self._change
        for _ in range(_TRIALS):
            found = sample.at(min(max(wanted, sample.bounds[0]), sample.bounds[1]))
            missed = found.log_bits - aim
            self._learn(sorted(sample.tried, key=lambda each: abs(each.log_bits - aim))[:2])
            if abs(missed) >= _FAR:
                wanted = next_step([(each.wanted, each.log_bits) for each in sample.tried], aim, sample.bounds)
            elif self._tells_slopes:
                wanted = found.wanted - self._step_slope * missed
                if abs(missed) < _NEAR:
                    break
            else:
                wanted = found.wanted - self._step_slope * missed - _ASIDE
        found = min(sample.tried, key=lambda each: abs(each.log_bits - aim))
        missed = min(max(found.log_bits - aim, -_FAR), _FAR)
        last, self.step = self.step, found.wanted - self._step_slope * missed
        self._change = self.step - last
        return found.error * math.exp(-self._error_slope * missed)

    def _learn(self, nearest: Sequence[Tried]) -> None:
        """Slopes, from two trials."""
        if len(nearest) == 2 and min(each.error for each in nearest) > 0:
            apart = nearest[0].log_bits - nearest[1].log_bits
            if _APART < abs(apart) < _FAR:
                self._step_slope = (nearest[0].wanted - nearest[1].wanted) / apart
                self._error_slope = math.log(nearest[0].error / nearest[1].error) / apart
                self._tells_slopes = True
