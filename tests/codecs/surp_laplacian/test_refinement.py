"""The compiled pairs of Algorithm 1 against a literal transcription of it; and that they always end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.codecs.surp_laplacian import _loops as loops
from surp_fl.codecs.surp_laplacian._estimates import BOTH, NEGATIVE, POSITIVE, shrink_of
from surp_fl.codecs.surp_laplacian.refinement import bits_of, picks_of, signed_sums
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from tests.codecs.surp_laplacian.runs import SIDES, assert_same, lopsided, refined, schedule_of
from tests.reference import pair_bits
from tests.vectors import AWKWARD, Vector, vectors


@given(vectors(max_size=800), st.sampled_from(SIDES), st.integers(0, 300), st.integers(0, 2**32))
def test_pairs_are_those_of_the_literal_algorithm(vector: Vector, side: str, steps: int, seed: int) -> None:
    assert_same(lopsided(vector, side), Limits(steps=steps), 12, seed)


@given(vectors(max_size=800), st.integers(60, 4000), st.integers(0, 2**32), st.sampled_from([None, 1.5, 20.0]))
def test_pairs_are_those_of_the_literal_algorithm_within_a_budget(
    vector: Vector, budget: int, seed: int, beta: float | None
) -> None:
    if beta is None or 0 < math.log(len(vector) / 2 / beta) < len(vector) / 2:
        assert_same(vector, Limits(bits=budget, distinct=150), 12, seed, beta)


@pytest.mark.parametrize("name", AWKWARD)
def test_pairs_are_those_of_the_literal_algorithm_on_awkward_vectors(name: str) -> None:
    assert_same(AWKWARD[name], Limits(steps=300), 12, 5)


def test_pairs_are_those_of_the_literal_algorithm_at_the_size_of_a_model() -> None:
    vector = np.random.default_rng(3).laplace(size=431_080).astype(np.float32)
    vector[::7] *= 5
    assert_same(vector, Limits(bits=8 * 218), 19, 0)


@pytest.mark.compiled
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", AWKWARD)
def test_a_refinement_without_limits_ends(name: str, side: str) -> None:
    vector = lopsided(AWKWARD[name], side)
    refinement = refined(vector, schedule_of(vector), Limits())
    indices, sums = signed_sums(refinement, schedule_of(vector), len(vector))
    assert (np.abs(sums) <= np.abs(vector[indices]).astype(np.float64) * (1 + 1e-9)).all()


def test_a_side_that_is_empty_is_left_out_and_the_other_goes_on() -> None:
    vector = np.random.default_rng(0).exponential(size=5000).astype(np.float32)
    assert set(refined(vector, schedule_of(vector), Limits(steps=50)).refresh_sides) == {POSITIVE}
    assert set(refined(-vector, schedule_of(vector), Limits(steps=50)).refresh_sides) == {NEGATIVE}
    vector[::2] *= -1
    assert set(refined(vector, schedule_of(vector), Limits(steps=50)).refresh_sides) == {BOTH}


def test_weights_that_are_too_small_to_matter_do_not_hold_the_others_up() -> None:
    vector = np.random.default_rng(0).exponential(size=5000).astype(np.float32)
    vector[:50] *= np.float32(-1e-9)
    refinement = refined(vector, schedule_of(vector), Limits(steps=1000))
    assert refinement.indices.min() >= 50
    assert np.abs(signed_sums(refinement, schedule_of(vector), len(vector))[1]).sum() > 0.3 * np.abs(vector).sum()


@given(vectors(max_size=500), st.integers(0, 2**32))
def test_every_refresh_but_a_first_one_that_is_replaced_is_followed_by_a_step(vector: Vector, seed: int) -> None:
    refinement = refined(vector, schedule_of(vector), Limits(steps=200), seed=seed)
    assert (np.diff(refinement.refresh_at[1:]) > 0).all()
    assert len(refinement.refresh_at) <= refinement.steps + 1
    assert picks_of(refinement.refresh_at, refinement.refresh_sides, refinement.steps) == len(refinement.indices)


@pytest.mark.compiled
def test_candidates_of_each_side_are_selected_uniformly() -> None:
    vector = np.full(100, 1e-3, np.float32)
    vector[[3, 11, 29, 31]] = 100.0
    vector[[40, 50, 60, 70, 80]] = -100.0
    schedule = schedule_of(vector)
    pairs = np.array([refined(vector, schedule, Limits(steps=1), 7, seed).indices for seed in range(2000)])
    counts = [np.bincount(side, minlength=100) for side in pairs.T]
    for count, chosen in zip(counts, ([3, 11, 29, 31], [40, 50, 60, 70, 80]), strict=True):
        assert np.flatnonzero(count).tolist() == chosen
        assert np.abs(count[chosen] - 2000 / len(chosen)).max() < 110  # 5.7 deviations of a binomial


def test_the_vector_is_read_a_few_times_and_not_once_a_step() -> None:
    rng = np.random.default_rng(0)
    for vector in (rng.laplace(size=100_000), rng.uniform(-1, 1, 100_000), rng.standard_cauchy(100_000)):
        n, schedule = len(vector), Schedule.of(len(vector), sides=2)
        part = vector.astype(np.float32)
        *_, scans = loops.refine(
            np.maximum(part, 0), np.maximum(-part, 0), np.array([n]), np.ones(1), schedule.log_ratio, 17, -1, 5000, -1,
            schedule.expected, np.random.default_rng(0),
        )  # fmt: skip
        assert scans <= 24


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused(broken: float) -> None:
    vector = np.ones(100, np.float32)
    vector[42] = broken
    with pytest.raises(ValueError, match="NaN or infinity"):
        refined(vector, Schedule.of(100, sides=2), Limits(steps=5))


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 40))
def test_bits_are_counted_as_the_format_says(steps: int, refreshes: int, picks: int, index_bits: int) -> None:
    assert bits_of(steps, refreshes, picks, index_bits) == pair_bits(steps, refreshes, picks, index_bits)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 1000, 431_080, 2**31])
def test_the_schedule_makes_the_rate_grow_at_every_size(n: int) -> None:
    schedule = Schedule.of(n, sides=2)
    assert 0 < schedule.shrink < 1
    assert schedule.shrink == shrink_of(n, schedule.log_ratio, BOTH, 1.0)
    assert shrink_of(n, schedule.log_ratio, POSITIVE, 1.0) > schedule.shrink
    assert 1 <= schedule.expected <= n
    if n >= 3:
        assert schedule.log_ratio == pytest.approx(math.log(n / (2 * math.log(n))), rel=1e-8)


@pytest.mark.parametrize("beta", [0.0, -1.0, 500.0, 2000.0])
def test_a_beta_without_a_threshold_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=r"gives ln\(n/2β\).* between 0 and 500"):
        Schedule.of(1000, beta, sides=2)
