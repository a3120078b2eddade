"""The layers of a model, in the order of coding. Does not know messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.format_walk.frame import Shape

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Tables:
    """What a model says of a layer's rows and columns, each renumbered by falling weight.

    Attributes:
        weights: log2 weights of the rows, and of the columns, by rank.
        order: the row of each rank, and the column of each rank.
    """

    weights: tuple[Integers, Integers]
    order: tuple[Integers, Integers]


@dataclass(frozen=True)
class Layer:
    """A matrix of cells, numbered row by row, by the ranks of its tables if it has some.

    Attributes:
        coordinates: of the vector, of the cells, before any renumbering; shape (rows, columns).
        tables: None for a layer without.
        fell: for the recent layer, which of its coordinates were last made smaller.
        marked: the cells that are in the recent layer as well, ascending.
    """

    coordinates: Integers
    tables: Tables | None = None
    fell: NDArray[np.bool_] | None = None
    marked: Sequence[int] = field(default=())

    @property
    def rows(self) -> int:
        return int(self.coordinates.shape[0])

    @property
    def columns(self) -> int:
        return int(self.coordinates.shape[1])

    @property
    def size(self) -> int:
        return int(self.coordinates.size)

    @property
    def ranked(self) -> Integers:
        """The coordinates with rows and columns in the order of their ranks."""
        return self.coordinates if self.tables is None else self.coordinates[np.ix_(*self.tables.order)]


def layers_of(shapes: Sequence[Shape]) -> list[Layer]:
    layers, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        rows = shape[0] if len(shape) > 1 else 1
        if size:
            layers.append(Layer(np.arange(start, start + size, dtype=np.int64).reshape(rows, size // rows)))
        start += size
    return sorted(layers, key=lambda layer: layer.size)
