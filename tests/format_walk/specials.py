"""Cases of what random messages seldom have: large layers, sums of weights at their limits, credit used up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random

import numpy as np

from tests.format_walk.body import Setting
from tests.format_walk.cases import Case, chosen
from tests.format_walk.frame import Shape
from tests.format_walk.taste import AS_EXPECTED, Taste

Special = Callable[[Random], tuple[Setting, Taste]]


def ones(*shapes: Shape) -> Setting:
    """A model whose tables know nothing."""
    n = sum(math.prod(shape) for shape in shapes)
    model = np.ones(n, np.float32)
    before = model.copy()
    before[: n // 40] = 2
    return Setting(shapes, model, before)


def equal_rows(rng: Random) -> tuple[Setting, Taste]:
    """So many rows of the largest weight that none is sent as one symbol at once."""
    return ones((16_500, 5)), Taste(context=rng.choice((1, 2)), groups=4, picks=3)


def coded_cells(rng: Random) -> tuple[Setting, Taste]:
    """Weights that exceed their limit where cells come again."""
    return ones((400, 60), (7,)), Taste(context=rng.choice((1, 2)), groups=2, picks=9000, overlap=1, fill=1)


def long_row(rng: Random) -> tuple[Setting, Taste]:
    """More signs in a row, and more columns, than one count and one run have."""
    return ones((1, 17_500)), Taste(trellis=True, mean=64, always={"level is not 0": 1, "level is longer": 0})


def long_levels(rng: Random) -> tuple[Setting, Taste]:
    """Levels of up to 24 bits."""
    return ones((6, 7), (40,)), Taste(trellis=True, mean=100, always={"level is longer": 1}, anything=0.3)


def wrong_lags(rng: Random) -> tuple[Setting, Taste]:
    """Lags of which one is not larger than the one before."""
    return ones((6, 7), (7, 8), (9, 9)), Taste(trellis=True, wrong="lag", always={"lags": 1, "same lags": 0})


def wrong_overlap(rng: Random) -> tuple[Setting, Taste]:
    """More picks than there are free cells."""
    return ones((5, 5), (9,)), Taste(groups=9, picks=34, overlap=0, wrong="overlap")


def large_splits(rng: Random) -> tuple[Setting, Taste]:
    """Frequencies of a split are much work."""
    return ones((rng.randint(60_000, 70_000),)), Taste(groups=1, picks=60_000, fill=1)


def wide_tables(rng: Random) -> tuple[Setting, Taste]:
    """Tables of a wide layer are much work for picks where they are expected."""
    setting = ones((5, 14_000))
    assert setting.model is not None
    setting.model[100::14_000] = 100
    return setting, Taste(context=1, groups=4000, picks=1, always=AS_EXPECTED, same=1, overlap=1)


def many_layers(rng: Random) -> tuple[Setting, Taste]:
    """Layers are much work, and splits among them."""
    return ones(*[()] * 2000), Taste(groups=4000, picks=1, always={"sign": 0}, same=1, overlap=1)


def empty_terms(rng: Random) -> tuple[Setting, Taste]:
    """Terms whose signs are all 0 are much work."""
    always = {"sign of a term is not 0": 0.0}
    return ones((4, 16_380)), Taste(terms=200, always=always, same=1, trellis=rng.random() < 0.5)


def wide_products(rng: Random) -> tuple[Setting, Taste]:
    """Products of factors are much work."""
    always = {"row has levels": 1, "level is not 0": 1, "level is longer": 0, "negative": 0}
    return ones((40, 60_000)), Taste(trellis=True, rank=30, always=always, mean=64)


def rows_of_zeros(rng: Random) -> tuple[Setting, Taste]:
    """Flags of rows are much work."""
    return ones((150_000, 1)), Taste(trellis=True, mean=30, always={"row has levels": 0})


def columns_of_zeros(rng: Random) -> tuple[Setting, Taste]:
    """Runs of columns are much work, more so with lags."""
    lags = rng.randrange(2)
    always = {"row has levels": 1, "lags": lags, "level is not 0": 0}
    return ones((9 - 2 * lags, 17_000)), Taste(trellis=True, always=always, mean=40)


SPECIALS: tuple[Special, ...] = (equal_rows, coded_cells, long_row, long_levels, wrong_lags, wrong_overlap, wide_tables)
SLOW: tuple[Special, ...] = (large_splits, many_layers, empty_terms, wide_products, rows_of_zeros, columns_of_zeros)


def special_cases(rng: Random, specials: Sequence[Special] = SPECIALS) -> Iterator[Case]:
    """The cases of each of them once."""
    for special in specials:
        yield from chosen(*special(rng), rng)
