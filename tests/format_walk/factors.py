"""Low-rank factors: of some layers, a few values for each row and each column, whose products are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tests.format_walk.adaptive import AdaptiveIntegers
from tests.format_walk.groups import MOST_CODE, folded, magnitude_of, unfolded
from tests.format_walk.layers import Layer
from tests.format_walk.symbols import Source, UndeterminedError
from tests.format_walk.terms import SMALLEST

FIRST_CODE = 4096  # the code before the first magnitude


class ReadLevels(Protocol):
    """Fills matrices, float32 and of zeros, one after another, with what levels stand for."""

    def __call__(self, source: Source, matrices: Sequence[NDArray[np.float32]]) -> None: ...


@dataclass
class Factored:
    """A layer and its factors: lefts and rights of shape (rank, rows) and (rank, columns)."""

    layer: Layer
    magnitudes: list[float]
    lefts: NDArray[np.float32]
    rights: NDArray[np.float32]


def read_factors(source: Source, layers: Sequence[Layer], sums: NDArray[np.float64], read_levels: ReadLevels) -> None:
    """Add all products to the sums."""
    found = _shapes(source, layers)
    try:
        read_levels(source, [matrix for each in found for matrix in (each.lefts, each.rights)])
    except UndeterminedError:
        _add(source, found, sums)
        raise
    _add(source, found, sums)


def _shapes(source: Source, layers: Sequence[Layer]) -> list[Factored]:
    ranks, magnitudes, found, code = AdaptiveIntegers(), AdaptiveIntegers(), list[Factored](), FIRST_CODE
    for layer in layers:
        if min(layer.rows, layer.columns) < SMALLEST:
            continue
        most = layer.size // (layer.rows + layer.columns)
        rank = ranks.read(source, source.choose("rank", 0, most))
        source.check(rank <= most, "too many components")
        if rank:
            zeros = [np.zeros((rank, width), np.float32) for width in (layer.rows, layer.columns)]
            found.append(Factored(layer, [0.0] * rank, *zeros))
    for each in found:
        for k in range(len(each.magnitudes)):
            wish = source.choose("magnitude of a component", 1, MOST_CODE)
            code += unfolded(magnitudes.read(source, None if wish is None else folded(wish - code)))
            source.check(1 <= code <= MOST_CODE, "a component's magnitude out of range")
            each.magnitudes[k] = magnitude_of(code)
    source.note("components of several layers", len(found) > 1)
    source.note("no components", not found)
    return found


def _add(source: Source, found: Sequence[Factored], sums: NDArray[np.float64]) -> None:
    for each in found:
        source.spend(int(np.count_nonzero(each.lefts)) * each.layer.columns // 16)
        source.note("a component whose left factor is 0", not each.lefts.any(axis=1).all())
        for magnitude, left, right in zip(each.magnitudes, each.lefts, each.rights, strict=True):
            sums[each.layer.coordinates] += np.outer(left.astype(np.float64) * magnitude, right.astype(np.float64))
