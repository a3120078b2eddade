"""A vector → a body of the trellis mode that fits a budget: one step after another is tried, until one fits closely.

The encoder's side alone. Knows steps, and what a vector took in them. Does not know how levels are chosen or coded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.body import Quantised, begun_with, code_levels, quantised
from surp_fl.codecs.surp.trellis.factor_levels import Factors
from surp_fl.codecs.surp.trellis.level_reader import Layer, layers_of
from surp_fl.codecs.surp.trellis.quantisation import Learnt, learnt_of
from surp_fl.codecs.surp.trellis.sign_lags import NO_LAGS, SignLags
from surp_fl.codecs.surp.trellis.step_search import StepSearch, Tried, next_step, places_of
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.types import Vector

# Tuned constants of the encoder, not of the format.
_TRIALS, _TRIALS_OF_MANY = 10, 5  # codings of the vector, until one fits closely: two, as a rule
_USUALLY_MORE = 0.1  # of the logarithm of a vector's bits over that of its sample's, where nothing else is known
_FIRST_SEARCH, _SECOND_SEARCH = 0.05, 0.005  # how close logarithms of bits come on the sample
_CLOSE, _CLOSE_OF_MANY, _MANY = 0.002, 0.01, 1 << 22  # of the budget that may be left; for so many coordinates
_PATIENCE, _FEW = 3, 1 << 17  # codings, after each of which twice as much may be left; of fewer coordinates are fast
_CHOICES, _NEARER = 4, 0.6  # of levels, until the bits expected are so near, of what may be left, to those wanted
_TRUSTED = 3  # codings with the same rates, from which on they say what a step takes, instead of choices
_FAR, _FAR_OF_MANY = 0.15, 0.3  # of a logarithm of bits: choices as far off tell too little; the sample is asked again
_FAR_TO_CODE, _NEAR_TO_CODE = 0.05, 0.015  # the same of choices that are coded, of many coordinates and of few
# Logarithms of the bits of a coding over those of its choice, until a coding tells them; by recorded updates.
_FACTOR_BY_SAMPLE, _FACTOR_BY_LEARNT = -0.02, 0.006
_LAST_LESS = 0.02  # of the budget, that the last one aims lower, if none has fitted
_LEAST_SHARE = 0.9  # of the budget, below which nothing is written: bits jump with the step there


class Body(NamedTuple):
    """A body, and the norm of the error of what it tells; a body is None where none was written."""

    content: bytes | None
    error: float


@dataclass
class LevelFit:
    """A vector's levels in one step after another, until the body that tells them fits a capacity closely.

    What a choice of levels takes is known before it is coded: the rates by which levels were chosen say it up to a
    factor, which one coding tells. So steps are sought by choices alone, which take less time. The first choice is by
    the sample's rates; from its levels the vector's own are learnt.

    Attributes:
        vector: without products of factors; float32, shape (n,), finite, not all zeros.
        layers: of the model, in the order of coding.
        begun: an encoder that holds what comes before the step.
        capacity: bytes of a body.
        sample: that tells about what a step takes.
        lags: of layers, by where they begin; sought once, as they are much alike in all steps.
        best: the longest coding that fits, and the norm of its error.
    """

    vector: Vector
    layers: list[Layer]
    begun: RangeEncoder
    capacity: int
    sample: StepSearch
    lags: dict[int, SignLags] = field(default_factory=dict)
    best: tuple[RangeEncoder, float] | None = None
    _choices: dict[float, float] = field(default_factory=dict)  # logarithms of steps → of bits by the rates
    _codings: dict[float, float] = field(default_factory=dict)  # the same → of bits of codings
    _factor: float = 0.0  # logarithm of the bits of a coding over those
    _learnt: Learnt | None = None  # by which levels are chosen; None for the sample's rates
    _is_finest: bool = False  # whether a coding in the finest step fits

    @classmethod
    def of(cls, vector: Vector, side: SideInformation, capacity: int, factors: Factors | None = None) -> Self:
        """A fit of a vector in which nothing is tried yet.

        Args:
            vector: without the products of factors; float32, shape (n,), finite.
            side: the layers, without a context.
            capacity: bytes of the body.
            factors: that come before levels; in a step near that of levels.
        """
        layers, vector = layers_of(side), np.ascontiguousarray(vector)
        places = places_of(vector, layers)
        sample = StepSearch.on(vector, layers, places)
        if factors is not None and sample.layers:
            sample.at(min(max(math.log(factors.step), sample.bounds[0]), sample.bounds[1]))
        return cls(vector, layers, begun_with(factors, side, capacity), capacity, sample)

    def body(self) -> Body:
        """The body with the least squared error within the capacity; none where no step uses it, as for zeros."""
        if self.sample.layers:
            self._fit()
        if self.best is None or (self.best[0].length() < _LEAST_SHARE * self.capacity and not self._is_finest):
            return Body(None, math.inf)
        return Body(self.best[0].finish(), self.best[1])

    def _fit(self) -> None:
        """Code the vector in one step after another, each nearer to the capacity."""
        is_large = self.vector.size >= _MANY
        trials = _TRIALS_OF_MANY if is_large else _TRIALS
        close = (_CLOSE_OF_MANY if is_large else _CLOSE) * self.capacity + 1
        chosen, aim = self._first_choice, self._aim(0)
        self._factor = _FACTOR_BY_SAMPLE
        if not is_large:
            chosen = self._learnt_from(chosen, aim)
            self._factor = _FACTOR_BY_LEARNT
            chosen = self._following(chosen, aim, _NEAR_TO_CODE) or chosen
        elif abs(self._missed(chosen, aim)) > _FAR_TO_CODE:  # one more choice is time enough
            chosen = self._asked_again(chosen, aim, _SECOND_SEARCH)
        for number in range(trials):
            coded, length = self._coded(chosen)
            fits = not coded.overdrawn and length <= self.capacity
            if fits and (self.best is None or length > self.best[0].length()):
                self.best, self._is_finest = (coded, chosen.error), chosen.found.wanted == self.sample.bounds[0]
            left = math.inf if self.best is None else self.capacity - self.best[0].length()
            excess = max(0, number - _PATIENCE) if self.vector.size >= _FEW else 0
            if coded.overdrawn or left <= close * 2**excess or self._is_finest:  # overdrawn: so it would be in any step
                return
            is_last = number == trials - 2 and self.best is None
            aim = self._aim(_LAST_LESS * self.capacity if is_last else close * (0.4 + 0.5 * number / trials))
            if number == 0 and abs(self._missed(chosen, aim)) > _FAR_TO_CODE:
                chosen = self._learnt_from(chosen, aim)
                self._codings.clear()
            following = self._following(chosen, aim, _NEARER * close / self.capacity)
            if following is None:
                return
            chosen = following

    def _coded(self, chosen: Quantised) -> tuple[RangeEncoder, int]:
        """A choice, coded, and its bytes."""
        coded = self.begun.copy()
        code_levels(coded, self.vector, self.layers, chosen, self.lags)
        if coded.overdrawn and any(each.lags.size for each in self.lags.values()):
            # Once more without lags, with which a coordinate is more work.
            self.lags = dict.fromkeys((layer.start for layer in self.layers), NO_LAGS)
            return self._coded(chosen)
        length = coded.length()
        log_bits = math.log(8 * max(length - self.begun.length(), 1))
        self._factor = log_bits - math.log(chosen.bits)
        self._codings[chosen.found.wanted] = log_bits
        return coded, length

    @cached_property
    def _first_choice(self) -> Quantised:
        """The levels in the step that the sample tells."""
        aim = self._aim(0)
        first = self._choice(self.sample.find(aim - _USUALLY_MORE, _FIRST_SEARCH))
        far = _FAR_OF_MANY if self.vector.size >= _MANY else _FAR
        return first if abs(self._missed(first, aim)) <= far else self._asked_again(first, aim, _FIRST_SEARCH)

    def _following(self, chosen: Quantised, aim: float, near: float) -> Quantised | None:
        """The next choice to be coded, with the same rates; None if all steps nearby are coded.

        It comes nearest to a logarithm of bits among some choices; after a few codings that did not, by them alone.
        """
        nearest = None if chosen.found.wanted in self._codings else chosen
        by_codings = len(self._codings) >= _TRUSTED
        for _ in range(1 if by_codings else _CHOICES):
            if nearest and abs(self._missed(nearest, aim)) < near:
                break
            if len(self._choices) == 1:
                wanted = self._by_sample(chosen, aim, _SECOND_SEARCH).wanted
            else:
                choices = [(wanted, log_bits + self._factor) for wanted, log_bits in self._choices.items()]
                wanted = next_step(list(self._codings.items()) if by_codings else choices, aim, self.sample.bounds)
            if wanted in (self._codings if by_codings else self._choices):
                break
            chosen = self._choice(replace(chosen.found, wanted=wanted))
            if nearest is None or abs(self._missed(chosen, aim)) < abs(self._missed(nearest, aim)):
                nearest = chosen
        return nearest

    def _learnt_from(self, chosen: Quantised, aim: float) -> Quantised:
        """A choice by what another one tells; so are all from here on."""
        self._learnt = learnt_of(chosen.levels, [layer.columns for layer in self.layers])
        return self._asked_again(chosen, aim, _SECOND_SEARCH)

    def _asked_again(self, chosen: Quantised, aim: float, close: float) -> Quantised:
        """A choice in the step that the sample tells; other rates than before tell its bits."""
        self._choices.clear()
        return self._choice(self._by_sample(chosen, aim, close))

    def _by_sample(self, chosen: Quantised, aim: float, close: float) -> Tried:
        """The step that the sample tells, which misses by about the same factor in every step."""
        return self.sample.find(chosen.found.log_bits - self._missed(chosen, aim), close)

    def _choice(self, found: Tried) -> Quantised:
        chosen = quantised(self.vector, self.layers, found, self._learnt)
        self._choices[found.wanted] = math.log(chosen.bits)
        return chosen

    def _missed(self, chosen: Quantised, aim: float) -> float:
        return math.log(chosen.bits) + self._factor - aim

    def _aim(self, less: float) -> float:
        """The logarithm of the bits of levels that leave so many bytes of the capacity."""
        return math.log(8 * max(self.capacity - less - self.begun.length(), 1))
