"""What levels are expected to leave, by a sample: near what they leave, however much of a vector is told otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import Layout
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.trellis.level_fit import LevelFit
from surp_fl.codecs.surp.trellis.reader import layers_of
from surp_fl.codecs.surp.trellis.sampled_errors import SampledErrors
from surp_fl.codecs.surp.trellis.step_search import places_of
from surp_fl.types import Vector

pytestmark = pytest.mark.compiled
CAPACITY = 12_000


def layer_with_few_large_columns() -> tuple[Layout, Vector]:
    """400 × 500, of which 1 column in 50 has a hundred times the norm of the others."""
    rng = np.random.default_rng(7)
    layer = rng.laplace(size=(400, 500)) * np.where(np.arange(500) % 50 == 3, 10, 0.1)
    arrays = {"w": layer.astype(np.float32)}
    layout = Layout.of(arrays)
    return layout, layout.flatten(arrays)


def levels_of(layout: Layout, vector: Vector) -> SampledErrors:
    levels = LevelFit.of(vector, Context.of(layout, None).side, CAPACITY).sampled_errors()
    assert levels is not None
    return levels


def test_a_sample_has_its_share_of_what_few_columns_hold() -> None:
    layout, vector = layer_with_few_large_columns()
    (places,) = places_of(vector, layers_of(Context.of(layout, None).side))
    sampled = vector.reshape(400, 500)[np.ix_(places.rows, places.columns)]
    assert sampled.size < vector.size / 4
    assert (places.columns % 50 == 3).mean() == pytest.approx(1 / 50, rel=0.4)
    mean = float(np.square(vector.astype(float)).mean())
    assert float(np.square(sampled.astype(float)).mean()) == pytest.approx(mean, rel=0.4)


@pytest.mark.parametrize("less", [0.0, 0.3, 0.7])
def test_the_error_expected_is_near_that_of_a_body(less: float) -> None:
    """Also when most of the bits tell something else at once, as terms may."""
    layout, vector = layer_with_few_large_columns()
    levels, side = levels_of(layout, vector), Context.of(layout, None).side
    levels.beside(vector, 0.0)
    expected = levels.beside(vector, less * 8 * CAPACITY)
    body = LevelFit.of(vector, side, round((1 - less) * CAPACITY)).body()
    assert expected == pytest.approx(body.error, rel=0.03)


def test_errors_of_one_vector_after_another_differ_as_those_of_bodies_do() -> None:
    layout, vector = layer_with_few_large_columns()
    levels, side = levels_of(layout, vector), Context.of(layout, None).side
    expected, got = [], []
    for scale in (1.0, 0.9, 0.3, 0.31):
        each = vector * np.where(np.abs(vector) > 5, np.float32(scale), np.float32(1))
        expected.append(levels.beside(each, 0.0))
        got.append(LevelFit.of(each, side, CAPACITY).body().error)
    np.testing.assert_allclose(np.diff(np.log(expected)), np.diff(np.log(got)), atol=0.03)


def test_nothing_is_left_of_zeros() -> None:
    layout, vector = layer_with_few_large_columns()
    assert levels_of(layout, vector).beside(0 * vector, 0.0) == 0
    assert LevelFit.of(0 * vector, Context.of(layout, None).side, CAPACITY).sampled_errors() is None
