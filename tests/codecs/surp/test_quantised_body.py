"""The writing end for whole vectors: messages of the same format, at any rate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl import Layout
from surp_fl.codecs.surp.decoder import read
from surp_fl.codecs.surp.encoder import write_body
from surp_fl.codecs.surp.quantised_body import write_quantised
from surp_fl.codecs.surp.scalar_quantiser import Magnitudes, at_slope, levels_for
from surp_fl.frame import HEADER_BYTES
from surp_fl.updates import as_vector
from tests.vectors import AWKWARD, Vector, layout_for, vectors


def model() -> tuple[Layout, Vector]:
    """Weights as training leaves them: near the initial uniform ones in a large layer, heavier tails in small ones."""
    rng = np.random.default_rng(3)
    arrays = {
        "conv": rng.normal(0, 0.2, (20, 1, 5, 5)),
        "hidden": rng.uniform(-0.035, 0.035, (150, 200)) + 0.02 * rng.standard_t(3, (150, 200)),
        "last": rng.laplace(0, 0.1, (10, 150)),
    }
    layout = Layout.of(arrays)
    return layout, layout.flatten(arrays)


def decoded(body: bytes, layout: Layout) -> Vector:
    return as_vector(read(body, layout, None), layout.size)


def error(vector: Vector, body: bytes, layout: Layout) -> float:
    wide = vector.astype(np.float64)
    return float(np.linalg.norm(wide - decoded(body, layout)) / np.linalg.norm(wide))


@given(vectors(), st.integers(HEADER_BYTES + 12, 4000), st.lists(st.integers(0, 5000), max_size=2).map(sorted))
@settings(max_examples=40, deadline=None)
def test_any_vector_fits_any_budget_and_every_prefix_is_a_message(
    vector: Vector, budget: int, points: list[int]
) -> None:
    layout = layout_for(vector)
    body = write_quantised(vector, layout, budget, points)
    assert len(body) <= budget - HEADER_BYTES
    for end in (len(body), len(body) // 2, 1):
        assert np.isfinite(decoded(body[:end], layout)).all()


@pytest.mark.compiled
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_vectors_are_coded_with_hardly_any_error_where_the_bytes_suffice(name: str) -> None:
    vector = AWKWARD[name]
    layout = layout_for(vector)
    left = vector.astype(np.float64) - decoded(write_quantised(vector, layout, 16 + 8 * vector.size), layout)
    assert np.linalg.norm(left) <= 0.02 * np.linalg.norm(vector.astype(np.float64))


@pytest.mark.compiled
@pytest.mark.parametrize("bits", [0.05, 0.3, 1.0, 2.0, 4.0, 6.0])
def test_the_error_is_smaller_than_that_of_groups_for_updates(bits: float) -> None:
    layout, vector = model()
    budget = int(bits * layout.size / 8)
    body = write_quantised(vector, layout, budget)
    assert len(body) >= 0.98 * (budget - HEADER_BYTES)
    others = [write_body(vector, layout, None, budget, progressive=each) for each in (False, True)]
    least = min(error(vector, each, layout) for each in others)
    assert error(vector, body, layout) < (0.95 if bits > 1 else 1.0) * least


@pytest.mark.compiled
def test_at_high_rates_a_bit_a_coordinate_halves_the_error() -> None:
    layout, vector = model()
    errors = [
        error(vector, write_quantised(vector, layout, bits * layout.size // 8), layout) for bits in (2, 3, 4, 5, 6)
    ]
    assert all(after < 0.6 * before for before, after in pairwise(errors))
    assert errors[-1] < 1.8 * 2.0**-6  # a normal source's least error; a scalar quantiser's is 1.19 times that
    most = write_quantised(vector, layout, 16 * layout.size // 8)
    assert error(vector, most, layout) < 5e-4


@pytest.mark.compiled
def test_a_truncated_message_is_as_good_at_its_points_as_one_made_for_them() -> None:
    layout, vector = model()
    budget, point = 20_000, 4000
    body = write_quantised(vector, layout, budget, [point])[: point - HEADER_BYTES]
    made = error(vector, write_quantised(vector, layout, point), layout)
    plain = error(vector, write_quantised(vector, layout, budget)[: point - HEADER_BYTES], layout)
    assert error(vector, body, layout) < 1.01 * made
    assert plain > 1.1 * made


def test_infinity_is_refused() -> None:
    layout, vector = model()
    vector[5] = np.inf
    with pytest.raises(ValueError, match="NaN or infinity"):
        write_quantised(vector, layout, 1000)


def test_levels_weigh_error_against_bits() -> None:
    """No designed level, and no thresholds at another slope, has a lower error plus slope times bits."""
    layout, vector = model()
    ends = layout.ends.tolist()
    layers = [Magnitudes.of(vector[end - spec.size : end]) for spec, end in zip(layout.floats, ends, strict=True)]
    designs = {slope: levels_for(layers, slope) for slope in (1e-5, 1e-4, 1e-3)}
    for slope, best in designs.items():
        cost = best.error + slope * best.expected_bits
        others = [*designs.values(), at_slope(best, layers, 3 * slope), at_slope(best, layers, slope / 3)]
        assert all(each.error + slope * each.expected_bits >= cost * (1 + 1e-3 * np.sign(-cost)) for each in others)
    bits = [at_slope(designs[1e-4], layers, slope).expected_bits for slope in np.geomspace(1e-5, 1e-3, 9)]
    assert all(after <= before for before, after in pairwise(bits))
