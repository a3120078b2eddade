"""Entropy-constrained scalar quantisation: the magnitudes that a message offers, and which coordinates take each.

Squared error plus `slope` times the bits is minimised by turns: thresholds for given magnitudes and rates, then the
magnitudes as means of what takes them, then the rates as they occur in each layer. It begins with uniform steps, which
are the best ones at high rates. The encoder's side alone. Knows magnitudes and rates. Does not know coordinates or
bits.

Sources: Chou, Lookabaugh and Gray 1989, "Entropy-constrained vector quantization", in one dimension; Sullivan 1996,
"Efficient scalar quantization of exponential and Laplacian random variables", for the wider zone around zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from surp_fl.codecs.surp.groups import magnitude_of, nearest_code
from surp_fl.types import Floats, Integers, Vector

_ITERATIONS = 6  # set by hand: the expected bits change by less than 0.1 % after them
_UNIFORM = 40  # steps, above which codes, 16 an octave, are wider than a uniform step
_FIRST_THRESHOLD = 0.6  # of the first step: where the turns begin
_UNSEEN = 0.3  # counts added to each level of a layer, so that none has an infinite rate


@dataclass(frozen=True)
class Magnitudes:
    """Of the coordinates of one layer.

    Attributes:
        ascending: float32, shape (k,).
        sums: of the first 0, 1, … k of them; float64, shape (k + 1,).
    """

    ascending: Vector
    sums: Floats

    @classmethod
    def of(cls, values: Vector) -> Magnitudes:
        """Those of a layer's values, in any order."""
        ascending = np.sort(np.abs(values))
        sums = np.zeros(len(values) + 1)
        np.cumsum(ascending, dtype=np.float64, out=sums[1:])
        return cls(ascending, sums)


@dataclass(frozen=True)
class Levels:
    """What a message offers.

    Attributes:
        codes: of the magnitudes, ascending; level 0 is zero and has none; int64, shape (levels,).
        thresholds: of each layer: its coordinates from the j-th on, below the next, take level j + 1; ascending;
            float64, shape (layers, levels).
        rates: bits of an index and sign at each level of each layer, level 0 first; float64, shape (layers,
            levels + 1).
        expected_bits: of all coordinates together.
        error: squared error of all coordinates together, minus that of zeros.
    """

    codes: Integers
    thresholds: Floats
    rates: Floats
    expected_bits: float
    error: float


def largest_of(layers: Sequence[Magnitudes]) -> float:
    """The largest magnitude; 0 for none."""
    return max((float(layer.ascending[-1]) for layer in layers if len(layer.ascending)), default=0.0)


def levels_for(layers: Sequence[Magnitudes], slope: float) -> Levels:
    """Design the levels of least squared error plus `slope` times the bits.

    Args:
        layers: all of a vector; at least one magnitude is not zero.
        slope: squared error that a bit has to remove.

    >>> layer = Magnitudes.of(np.array([0, 0.1, -4, 4.1, 0, 0, 0, 0], np.float32))
    >>> levels = levels_for([layer], 0.1)
    >>> [magnitude_of(int(code)) for code in levels.codes]
    [4.0]
    """
    magnitudes = _initial(largest_of(layers), slope)
    codes, rates = np.empty(0, np.int64), None
    for _ in range(_ITERATIONS):
        taken = _taken(layers, _thresholds(layers, magnitudes, rates, slope))
        codes, magnitudes, rates = _centred(taken)
    assert rates is not None
    return _as_taken(codes, magnitudes, layers, _thresholds(layers, magnitudes, rates, slope))


def at_slope(levels: Levels, layers: Sequence[Magnitudes], slope: float) -> Levels:
    """Other thresholds, for the same magnitudes and rates: bits change steadily, where those of designs may jump."""
    magnitudes = np.array([magnitude_of(int(code)) for code in levels.codes])
    return _as_taken(levels.codes, magnitudes, layers, _thresholds(layers, magnitudes, levels.rates, slope))


def _as_taken(codes: Integers, magnitudes: Floats, layers: Sequence[Magnitudes], thresholds: Floats) -> Levels:
    """Levels with the rates that these thresholds give."""
    taken = _taken(layers, thresholds)
    rates = _rates(taken.counts)
    error = float((magnitudes * (taken.counts[:, 1:].sum(axis=0) * magnitudes - 2 * taken.sums[1:])).sum())
    return Levels(codes, thresholds, rates, float((taken.counts * rates).sum()), error)


class _Taken(NamedTuple):
    """What takes each level, level 0 first: coordinates of each layer; and the sum of their magnitudes."""

    counts: Floats
    sums: Floats


def _taken(layers: Sequence[Magnitudes], thresholds: Floats) -> _Taken:
    found = _Taken(np.zeros((len(layers), thresholds.shape[1] + 1)), np.zeros(thresholds.shape[1] + 1))
    for layer, mine, counts in zip(layers, thresholds, found.counts, strict=True):
        ends = np.concatenate([[0], np.searchsorted(layer.ascending, mine), [len(layer.ascending)]])
        counts[:] = np.diff(ends)
        found.sums[:] += np.diff(layer.sums[ends])
    return found


def _rates(counts: Floats) -> Floats:
    """Bits of an index and sign, from how often each level of a layer is taken."""
    frequencies = counts + _UNSEEN
    rates: Floats = np.log2(frequencies.sum(axis=1, keepdims=True)) - np.log2(frequencies)
    rates[:, 1:] += 1  # the sign
    return rates


def _initial(largest: float, slope: float) -> Floats:
    """Uniform steps Δ, with slope = 2·ln 2·Δ²/12, as at high rates; from 40 steps on, every code's magnitude."""
    step = math.sqrt(6 * slope / math.log(2))
    codes = {nearest_code(step * count) for count in range(1, min(_UNIFORM, int(largest / step + 0.5)) + 1)}
    if largest > _UNIFORM * step:
        codes |= set(range(nearest_code(_UNIFORM * step), nearest_code(largest) + 1))
    return np.array([magnitude_of(code) for code in sorted(codes or {nearest_code(largest)})])


def _thresholds(layers: Sequence[Magnitudes], magnitudes: Floats, rates: Floats | None, slope: float) -> Floats:
    """Where neighbouring levels cost a coordinate the same: the middle, moved by what their rates differ."""
    below = np.concatenate([[0.0], magnitudes[:-1]])
    middle, gap = (magnitudes + below) / 2, magnitudes - below
    if rates is None:
        middle[:1] = _FIRST_THRESHOLD * magnitudes[:1]
        return np.tile(middle, (len(layers), 1))
    thresholds: Floats = np.maximum.accumulate(middle + slope * np.diff(rates) / (2 * gap), axis=1)
    return thresholds


def _centred(taken: _Taken) -> tuple[Integers, Floats, Floats]:
    """Codes nearest to the means of what takes each level, their magnitudes, and rates; equal codes are one level."""
    used = 1 + np.flatnonzero(taken.sums[1:] > 0)
    nearest = [nearest_code(float(mean)) for mean in taken.sums[used] / taken.counts[:, used].sum(axis=0)]
    codes, place = np.unique(np.array(nearest, np.int64), return_inverse=True)
    merged = np.zeros((len(taken.counts), codes.size + 1))
    merged[:, 0] = taken.counts.sum(axis=1) - taken.counts[:, used].sum(axis=1)
    np.add.at(merged.T, place + 1, taken.counts[:, used].T)
    return codes, np.array([magnitude_of(int(code)) for code in codes]), _rates(merged)
