"""Terms: a magnitude times a sign for each row and each column of a layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.format_walk.groups import magnitude_of, read_code
from tests.format_walk.layers import Layer
from tests.format_walk.symbols import Equal, Source

MOST_TERMS = 4096
SMALLEST = 4  # rows, and columns, of a layer


class Zeros:
    """Whether signs of a kind are 0."""

    def __init__(self) -> None:
        self.zeros, self.others = 40, 24

    def read(self, source: Source) -> int:
        """A sign: 0, 1 or −1."""
        if not source.flag("sign of a term is not 0", self.zeros, self.others):
            self.zeros += 24
            sign = 0
        else:
            sign = 1 - 2 * source.bits("sign of a term", 1)
            self.others += 24
        if self.zeros + self.others > 2048:
            self.zeros, self.others = self.zeros // 2 + 1, self.others // 2 + 1
            source.note("counts of terms halved")
        return sign


def read_terms(source: Source, layers: Sequence[Layer], sums: NDArray[np.float64]) -> None:
    """Add all terms to the sums."""
    layers = [layer for layer in layers if layer.fell is None and min(layer.rows, layer.columns) >= SMALLEST]
    count = source.uint("terms", 1, MOST_TERMS)
    source.check(1 <= count <= MOST_TERMS, "no terms, or too many")
    source.check(len(layers) > 0, "terms, but no layer that could have some")
    code = None
    for _ in range(count):
        layer = layers[source.symbol("layer of a term", Equal(len(layers)))]
        code = read_code(source, code)
        source.spend(64 + (layer.rows + layer.columns) // 2)
        of_rows, of_columns = Zeros(), Zeros()
        rows = np.array([of_rows.read(source) for _ in range(layer.rows)], np.float64)
        columns = np.array([of_columns.read(source) for _ in range(layer.columns)], np.float64)
        r, c = int(np.count_nonzero(rows)), int(np.count_nonzero(columns))
        source.spend(r * min(layer.columns, 8 * c) // 32)
        source.note("a term of a layer with tables" if layer.tables else "a term of a layer without tables")
        sums[layer.ranked] += magnitude_of(code) * np.outer(rows, columns)
