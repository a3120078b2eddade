"""A vector → a body of the trellis mode that fits a budget: one step after another is tried, until one fits closely.

The encoder's side alone. Knows steps, and what a vector took in them. Does not know how levels are chosen or coded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np

from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one_selection import Term
from surp_fl.codecs.surp.trellis.body import begun_with, code_levels
from surp_fl.codecs.surp.trellis.reader import Layer, layers_of
from surp_fl.codecs.surp.trellis.sign_lags import NO_LAGS, SignLags
from surp_fl.codecs.surp.trellis.step_search import StepSearch, Tried, next_step
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.memory import norm_of
from surp_fl.types import Vector

# Tuned constants of the encoder, not of the format.
_TRIALS, _TRIALS_OF_MANY = 10, 5  # encodings of the vector, until it fits closely: two or three, as a rule
_USUALLY_MORE = 0.1  # of the logarithm of a vector's bits over that of its sample's
_FIRST_SEARCH, _SECOND_SEARCH = 0.05, 0.005  # how close logarithms of bits come on the sample
_CLOSE, _CLOSE_OF_MANY, _MANY = 0.002, 0.01, 1 << 22  # of the budget that may be left; for so many coordinates
_PATIENCE, _FEW = (
    4,
    1 << 17,
)  # trials, after each of which twice as much may be left; of fewer coordinates they are fast
_LAST_LESS = 0.02  # of the budget, that the last one aims lower, if none has fitted
_LEAST_SHARE = 0.9  # of the budget, below which nothing is written: bits jump with the step there
_MOST_LEVELS = 2.0**23  # of the largest coordinate
_NEAR = 0.1  # of a logarithm of bits: from so near, one trial tells what error a body that fits will have
_LEAST_SLOPE = 0.3  # by which logarithms of errors fall with those of bits; at high rates it is ln 2 a bit


class Body(NamedTuple):
    """A body, and the norm of the error of what it tells; a body is None where none was written."""

    content: bytes | None
    error: float


class Trial(NamedTuple):
    """What a vector took in a step: logarithms of the step and of the bits, and the norm of the error."""

    wanted: float
    log_bits: float
    error: float


@dataclass
class LevelFit:
    """A vector's codings in one step after another, until one fits a capacity closely.

    Attributes:
        vector: without the terms; float32, shape (n,), finite, not all zeros.
        layers: of the model, in the order of coding.
        begun: an encoder that holds what comes before the step.
        capacity: bytes of a body.
        sample: that tells about what a step takes.
        tried: so far.
        lags: of layers, by where they begin; sought once, as they are much alike in all steps.
        best: the longest coding that fits, and the norm of its error.
        ended: whether another trial is of no use.
    """

    vector: Vector
    layers: list[Layer]
    begun: RangeEncoder
    capacity: int
    sample: StepSearch
    tried: list[Trial] = field(default_factory=list)
    lags: dict[int, SignLags] = field(default_factory=dict)
    best: tuple[RangeEncoder, float] | None = None
    ended: bool = False
    _found: Tried | None = None
    _number: int = 0

    @classmethod
    def of(cls, vector: Vector, side: SideInformation, capacity: int, terms: Sequence[Term] = ()) -> Self:
        """A fit of a vector in which nothing is tried yet.

        Args:
            vector: without the terms; float32, shape (n,), finite.
            side: the layers, without a context.
            capacity: bytes of the body.
            terms: rank-one terms of layers, which come first.
        """
        layers, vector = layers_of(side), np.ascontiguousarray(vector)
        largest = float(np.abs(vector).max(initial=0.0))
        bounds = (math.log(largest / _MOST_LEVELS), math.log(largest)) if largest > 0 else (0.0, 0.0)
        sample = StepSearch.on(vector, layers, bounds) if largest > 0 else StepSearch(vector, [], [], bounds)
        return cls(vector, layers, begun_with(terms, side, capacity), capacity, sample, ended=not largest > 0)

    def expected_error(self) -> float:
        """About the norm of the error of a body that fits, by two trials at most."""
        aim = math.log(8 * self.capacity)
        while not self.ended and len(self.tried) < 2 and not (self.tried and abs(self.tried[0].log_bits - aim) < _NEAR):
            self._try()
        if self.ended:
            return norm_of(self.vector) if self.best is None else self.best[1]
        slope = max(_LEAST_SLOPE, math.log(2) * 8 * self.capacity / self.vector.size)
        return self.tried[-1].error * math.exp(slope * (self.tried[-1].log_bits - aim))

    def body(self) -> Body:
        """The body with the least squared error within the capacity; none where no step uses it, as for zeros."""
        while not self.ended:
            self._try()
        if self.best is None or (self.best[0].length() < _LEAST_SHARE * self.capacity and not self._is_finest()):
            return Body(None, math.inf)
        return Body(self.best[0].finish(), self.best[1])

    def _try(self) -> None:
        """Code the vector in one more step."""
        is_large = self.vector.size >= _MANY
        trials, number = _TRIALS_OF_MANY if is_large else _TRIALS, self._number
        close = (_CLOSE_OF_MANY if is_large else _CLOSE) * self.capacity + 1
        less = close * (0.4 + 0.5 * number / trials) if number < trials - 1 or self.best else _LAST_LESS * self.capacity
        self._found = self._next(math.log(8 * max(self.capacity - less, 1)))
        self._number += 1
        coded = self.begun.copy()
        error = code_levels(coded, self.vector, self.layers, self._found, self.lags)
        length = coded.length()
        if coded.overdrawn and any(each.lags.size for each in self.lags.values()):
            # Once more without lags, with which a coordinate is more work.
            self.lags = dict.fromkeys((layer.start for layer in self.layers), NO_LAGS)
            self.ended = self._number == trials
            return
        self.tried.append(Trial(self._found.wanted, math.log(8 * length), error))
        if not coded.overdrawn and length <= self.capacity and (self.best is None or length > self.best[0].length()):
            self.best = coded, error
        left = math.inf if self.best is None else self.capacity - self.best[0].length()
        excess = max(0, self._number - _PATIENCE) if self.vector.size >= _FEW else 0
        enough = left <= close * 2**excess or (length < self.capacity and self._is_finest())
        self.ended = coded.overdrawn or enough or self._number == trials  # overdrawn: so it would be in every step

    def _next(self, aim: float) -> Tried:
        """The step to try, for a logarithm of bits."""
        if self._found is None or not self.tried:
            return self.sample.find(aim - _USUALLY_MORE, _FIRST_SEARCH)
        missed = self.tried[-1].log_bits - aim
        if len(self.tried) == 1:  # the vector takes more than the sample by about the same factor in every step
            return self.sample.find(self._found.log_bits - missed, _SECOND_SEARCH)
        trials = [(each.wanted, each.log_bits) for each in self.tried]
        wanted = next_step(trials, aim, self.sample.bounds)
        return replace(self._found, wanted=wanted)  # with the rates of before, so that bits change steadily

    def _is_finest(self) -> bool:
        return self._found is not None and self._found.wanted == self.sample.bounds[0]
