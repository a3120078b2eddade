"""Trellis mode: a level for every coordinate, over terms or factors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.format_walk.adaptive import AdaptiveIntegers
from tests.format_walk.factors import read_factors
from tests.format_walk.groups import folded, unfolded
from tests.format_walk.layers import Layer
from tests.format_walk.levels import LayerOfLevels, LevelModels
from tests.format_walk.sign_lags import LagModels, Lags
from tests.format_walk.symbols import Source
from tests.format_walk.terms import read_terms

TERMS, FACTORS = 1, 2
FIRST_MEAN, MOST_MEAN = 64, 127  # codes of mean levels
USUAL = (7, 5)  # a and b


def read_trellis(
    source: Source, layers: Sequence[Layer], sums: NDArray[np.float64], values: NDArray[np.float32]
) -> None:
    """Add terms or factors to the sums, and set the values of all coordinates."""
    kind = source.bits("kind of trellis mode", 2, source.choose("kind of trellis mode", 0, 2))
    source.check(kind <= FACTORS, "no such kind of trellis mode")
    if kind == TERMS:
        source.note("trellis mode with terms")
        read_terms(source, layers, sums)
    if kind == FACTORS:
        source.note("trellis mode with factors")
        read_factors(source, layers, sums, read_levels)
    parts = [np.zeros((layer.rows, layer.columns), np.float32) for layer in layers]
    try:
        read_levels(source, parts)
    finally:
        for layer, part in zip(layers, parts, strict=True):
            values[layer.coordinates] = part


def read_levels(source: Source, matrices: Sequence[NDArray[np.float32]]) -> None:
    """Fill matrices of zeros, one after another."""
    d = source.bits("step", 20, source.choose("step", 1, (1 << 20) - 1))
    a, b = USUAL
    if source.bits("offsets", 1):
        source.note("offsets of their own")
        a, b = source.bits("a", 4), source.bits("b", 4)
    source.check(d > 0, "a step of 0")
    unit = (2048 + d % 2048) * 2.0 ** (d // 2048 - 267) / 16
    means, models, lag_models, m = AdaptiveIntegers(), LevelModels(), LagModels(), FIRST_MEAN
    for matrix in matrices:
        wish = source.choose("mean", 0, MOST_MEAN)
        if wish:
            wish = 1 + folded(wish - m)
        told = means.read(source, wish)
        if told == 0:
            source.note("a layer of zeros")
            continue
        m += unfolded(told - 1)
        source.check(1 <= m <= MOST_MEAN, "a mean's code out of range")
        lags = lag_models.read(source) if min(matrix.shape) > 1 else Lags()
        LayerOfLevels(source, models, m, lags).read(matrix, (24 + a, 16 + b), unit)
