"""The compiled refinement against the paper's algorithm, index by index; and that it always ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.codecs.surp_paper import _loops as loops
from surp_fl.codecs.surp_paper.refinement import Refinement, bits_of, magnitudes, refine
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from surp_fl.entropy.minifloat import decode_minifloat, encode_minifloat, to_code
from tests.reference import bits, in_sixteen_bits, reference_refine
from tests.vectors import AWKWARD, Vector, vectors


def refined(vector: Vector, schedule: Schedule, limits: Limits, index_bits: int, seed: int) -> Refinement:
    ends, scales = np.array([len(vector)]), np.ones(1)
    return refine(vector, ends, scales, schedule, limits, index_bits, np.random.default_rng(seed))


def assert_same_refinement(
    vector: Vector, limits: Limits, index_bits: int, seed: int, beta: float | None = None
) -> None:
    schedule = Schedule.of(len(vector), beta)
    refinement = refined(vector, schedule, limits, index_bits, seed)
    plain = reference_refine(
        np.abs(vector.astype(np.float64)),
        schedule.log_ratio,
        schedule.expected,
        np.random.default_rng(seed),
        budget_bits=math.inf if limits.bits < 0 else limits.bits,
        max_steps=math.inf if limits.steps < 0 else limits.steps,
        max_distinct=math.inf if limits.distinct < 0 else limits.distinct,
        index_bits=index_bits,
    )
    assert refinement.indices.tolist() == plain.indices
    assert refinement.refresh_at.tolist() == plain.refresh_at
    assert [decode_minifloat(int(code)) for code in refinement.refresh_code] == plain.means


@given(vectors(), st.integers(0, 400), st.integers(0, 2**32))
def test_indices_are_those_of_the_plain_algorithm(vector: Vector, steps: int, seed: int) -> None:
    assert_same_refinement(vector, Limits(steps=steps), 12, seed)


@given(vectors(), st.integers(60, 6000), st.integers(0, 2**32), st.sampled_from([None, 1.5, 20.0]))
def test_indices_are_those_of_the_plain_algorithm_within_a_budget(
    vector: Vector, budget: int, seed: int, beta: float | None
) -> None:
    if beta is None or 0 < math.log(len(vector) / beta) < len(vector):
        assert_same_refinement(vector, Limits(bits=budget), 12, seed, beta)


@pytest.mark.parametrize("name", AWKWARD)
def test_indices_are_those_of_the_plain_algorithm_on_awkward_vectors(name: str) -> None:
    assert_same_refinement(AWKWARD[name], Limits(steps=700), 12, 5)


def test_indices_are_those_of_the_plain_algorithm_at_the_size_of_a_model() -> None:
    vector = np.random.default_rng(3).laplace(size=431_080).astype(np.float32)
    vector[::7] *= 5
    assert_same_refinement(vector, Limits(bits=8 * 218), 19, 0)


@pytest.mark.compiled
@pytest.mark.parametrize("name", AWKWARD)
def test_a_refinement_without_limits_ends(name: str) -> None:
    refinement = refined(AWKWARD[name], Schedule.of(len(AWKWARD[name])), Limits(), 12, 0)
    indices, sums = magnitudes(refinement, Schedule.of(len(AWKWARD[name])))
    assert (sums <= np.abs(AWKWARD[name][indices]).astype(np.float64) * (1 + 1e-9)).all()


@given(vectors(max_size=500), st.integers(0, 2**32))
def test_every_refresh_is_followed_by_a_step(vector: Vector, seed: int) -> None:
    refinement = refined(vector, Schedule.of(len(vector)), Limits(steps=200), 12, seed)
    assert (np.diff(refinement.refresh_at) > 0).all()
    assert len(refinement.refresh_at) <= len(refinement.indices)


@given(vectors(max_size=800), st.integers(0, 300))
def test_the_decoder_rebuilds_what_the_encoder_subtracted(vector: Vector, steps: int) -> None:
    schedule = Schedule.of(len(vector))
    refinement = refined(vector, schedule, Limits(steps=steps), 12, 1)
    indices, sums = magnitudes(refinement, schedule)
    assert (np.diff(indices) > 0).all()
    # one-sided distortion: what was refined never exceeds the magnitude
    assert (sums <= np.abs(vector[indices].astype(np.float64)) * (1 + 1e-9)).all()
    assert (sums > 0).all()


@pytest.mark.compiled
def test_candidates_are_selected_uniformly() -> None:
    vector = np.full(50, 1e-3, np.float32)
    vector[[3, 11, 29, 31, 47]] = 100.0
    schedule = Schedule.of(50)
    firsts = [int(refined(vector, schedule, Limits(steps=1), 6, seed).indices[0]) for seed in range(2000)]
    counts = np.bincount(firsts, minlength=50)
    assert set(np.flatnonzero(counts)) == {3, 11, 29, 31, 47}
    assert np.abs(counts[counts > 0] - 400).max() < 100  # 5.6 deviations of a binomial


def test_the_vector_is_read_a_few_times_and_not_once_a_step() -> None:
    rng = np.random.default_rng(0)
    for vector in (rng.laplace(size=100_000), rng.uniform(-1, 1, 100_000), rng.standard_cauchy(100_000)):
        n, schedule = len(vector), Schedule.of(len(vector))
        *_, scans = loops.refine(
            vector.astype(np.float32), np.array([n]), np.ones(1), schedule.log_ratio, schedule.shrink, 17,
            -1, 5000, -1, schedule.expected, np.random.default_rng(0),
        )  # fmt: skip
        assert scans <= 12


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused(broken: float) -> None:
    vector = np.ones(100, np.float32)
    vector[42] = broken
    with pytest.raises(ValueError, match="NaN or infinity"):
        refined(vector, Schedule.of(100), Limits(steps=5), 7, 0)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 1000, 431_080, 2**31])
def test_the_schedule_makes_the_rate_grow_at_every_size(n: int) -> None:
    schedule = Schedule.of(n)
    assert 0 < schedule.shrink < 1
    assert schedule.log_ratio > 0
    assert 1 <= schedule.expected <= n
    if n >= 3:
        assert schedule.log_ratio == pytest.approx(math.log(n / math.log(n)), rel=1e-8)


@pytest.mark.parametrize("beta", [0.0, -1.0, 1000.0, 2000.0])
def test_a_beta_without_a_threshold_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match="beta"):
        Schedule.of(1000, beta)


@given(st.floats(1e-40, 1e40), st.booleans())
def test_means_keep_eight_bits_in_sixteen(value: float, down: bool) -> None:
    code = int(to_code(value, down))
    assert 0 < code < 65536
    assert decode_minifloat(code) == in_sixteen_bits(value, down=down)
    assert decode_minifloat(code) == pytest.approx(value, rel=2**-7 if down else 2**-8)
    assert encode_minifloat(decode_minifloat(code)) == code


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 40))
def test_bits_are_counted_as_the_format_says(steps: int, refreshes: int, signs: int, index_bits: int) -> None:
    assert bits_of(steps, refreshes, signs, index_bits) == bits(steps, refreshes, signs, index_bits)
