"""Lags of signs: how they are found, coded, and used."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.codecs.surp.trellis.lag_search import lags_of
from surp_fl.codecs.surp.trellis.sign_lags import FARTHEST, MOST_LAGS, MOST_WEIGHT, NO_LAGS, LagModels, SignLags
from surp_fl.codecs.surp.trellis.sign_odds import EIGHTHS
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Vector


@st.composite
def sets(draw: st.DrawFn) -> SignLags:
    lags = sorted(draw(st.sets(st.integers(1, FARTHEST), max_size=MOST_LAGS)))
    weight = st.integers(-MOST_WEIGHT, MOST_WEIGHT).filter(bool)
    weights = draw(st.lists(weight, min_size=len(lags), max_size=len(lags)))
    return SignLags(np.array(lags, np.int64), np.array(weights, np.int64))


@given(st.lists(sets(), max_size=6))
def test_lags_come_back(layers: list[SignLags]) -> None:
    layers = [each for layer in layers for each in (layer, NO_LAGS, layer)]
    encoder, models = RangeEncoder(1000), LagModels()
    for layer in layers:
        models.encode(encoder, layer)
    decoder, models = RangeDecoder(encoder.finish()), LagModels()
    for layer in layers:
        assert models.decode(decoder).same(layer)
    assert not decoder.exhausted()


def test_lags_of_the_layer_before_take_a_few_bits() -> None:
    layer = SignLags(np.arange(1, 9, dtype=np.int64), np.arange(1, 9, dtype=np.int64))
    sizes = []
    for count in (1, 21):
        encoder, models = RangeEncoder(1000), LagModels()
        for _ in range(count):
            models.encode(encoder, layer)
        sizes.append(encoder.length())
    assert sizes[0] <= 16
    assert sizes[1] - sizes[0] <= 5


@pytest.mark.parametrize("lags", [[5, 5], [6, 5], [1, 9, 8]])
def test_lags_that_do_not_ascend_are_malformed(lags: list[int]) -> None:
    encoder, models = RangeEncoder(100), LagModels()
    models.encode(encoder, SignLags(np.array(lags), np.ones(len(lags), np.int64)))
    with pytest.raises(MalformedBits, match="do not ascend"):
        LagModels().decode(RangeDecoder(encoder.finish()))


def alike(rows: int, columns: int, lag: int, share: float) -> tuple[np.ndarray, Vector]:
    """Levels of 1 whose signs are those a lag before, but for a share that is drawn anew."""
    rng = np.random.default_rng(1)
    signs = rng.choice(np.array([-1, 1], np.float32), (rows, columns))
    for column in range(lag, columns):
        kept = rng.random(rows) > share
        signs[kept, column] = signs[kept, column - lag]
    return np.ones(rows * columns, np.int32), signs.ravel()


@pytest.mark.parametrize("lag", [1, 7, 49])
def test_the_lag_of_signs_that_are_alike_is_found(lag: int) -> None:
    """Of two signs, 85 in 100 are the same: odds of 5.7, or 20 eighths of an octave."""
    found = lags_of(*alike(40, 150, lag, 0.3), 150, NO_LAGS)
    assert found is not None
    assert lag in found.lags
    assert abs(int(found.weights[found.lags == lag][0]) - 20) <= 5


@pytest.mark.parametrize(("rows", "columns"), [(1, 3000), (3000, 1), (50, 60)])
def test_signs_that_are_not_alike_have_no_lags(rows: int, columns: int) -> None:
    levels, signs = alike(rows, columns, 1, 1.0)
    found = lags_of(levels, signs, columns, NO_LAGS)
    assert found is None or not found.lags.size


def test_of_few_signs_nothing_is_said() -> None:
    levels, signs = alike(2, 15, 1, 0.0)
    assert lags_of(levels, signs, 15, NO_LAGS) is None


def test_a_wide_layer_takes_no_more_memory_than_a_few_vectors() -> None:
    levels, signs = alike(2, 1_000_000, 1, 0.5)
    tracemalloc.start()
    found = lags_of(levels, signs, 1_000_000, NO_LAGS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None
    assert found.lags[0] == 1
    assert peak < 2 * signs.nbytes + 16_000_000


def test_the_lags_before_are_taken_where_they_are_as_good() -> None:
    levels, signs = alike(10, 60, 3, 0.3)
    found = lags_of(levels, signs, 60, NO_LAGS)
    assert found is not None
    assert lags_of(levels, signs, 60, found) is found
    other = SignLags(found.lags, -found.weights)
    chosen = lags_of(levels, signs, 60, other)
    assert chosen is not None
    assert chosen.same(found)


def test_eighths_of_an_octave_are_rounded() -> None:
    np.testing.assert_array_equal(EIGHTHS, np.rint(4096 * 2 ** (np.arange(8) / 8)))
