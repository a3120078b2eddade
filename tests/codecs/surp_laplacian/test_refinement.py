"""The compiled pairs of Algorithm 1 against a literal transcription; what the paper proves of them; that they end."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.codecs.surp_laplacian import _loops as loops
from surp_fl.codecs.surp_laplacian.refinement import (
    BOTH,
    NEGATIVE,
    POSITIVE,
    PairRefinement,
    bits_of,
    picks_of,
    refine,
    signed_sums,
    signed_sums_of_all,
)
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from surp_fl.entropy.minifloat import decode_minifloat
from tests.reference import ReferencePairs, pair_bits, reference_pairs
from tests.vectors import AWKWARD, Vector, vectors


def schedule_of(vector: Vector, beta: float | None = None) -> Schedule:
    return Schedule.of(len(vector), beta, sides=2)


def refined(vector: Vector, schedule: Schedule, limits: Limits, index_bits: int = 12, seed: int = 0) -> PairRefinement:
    ends, scales = np.array([len(vector)]), np.ones(1)
    return refine(vector, ends, scales, schedule, limits, index_bits, np.random.default_rng(seed))


def literal(vector: Vector, schedule: Schedule, limits: Limits, index_bits: int = 12, seed: int = 0) -> ReferencePairs:
    return reference_pairs(
        vector.astype(np.float64), schedule.log_ratio, schedule.expected, np.random.default_rng(seed),
        budget_bits=math.inf if limits.bits < 0 else limits.bits,
        max_steps=math.inf if limits.steps < 0 else limits.steps,
        max_distinct=math.inf if limits.distinct < 0 else limits.distinct,
        index_bits=index_bits,
    )  # fmt: skip


def assert_same(vector: Vector, limits: Limits, index_bits: int, seed: int, beta: float | None = None) -> None:
    schedule = schedule_of(vector, beta)
    ours = refined(vector, schedule, limits, index_bits, seed)
    plain = literal(vector, schedule, limits, index_bits, seed)
    assert ours.indices.tolist() == plain.indices
    assert ours.refresh_at.tolist() == plain.refresh_at
    assert [decode_minifloat(int(code)) for code in ours.refresh_code] == plain.means
    assert ours.refresh_sides.tolist() == plain.sides
    assert ours.steps == len(plain.thresholds)
    reconstruction = signed_sums_of_all(ours, schedule, len(vector))
    np.testing.assert_allclose(reconstruction, plain.residuals[0] - plain.residuals[-1], rtol=1e-9, atol=1e-30)


def lopsided(vector: Vector, side: str) -> Vector:
    """Weights of which one side is missing, or a thousandth of the other: what error feedback may leave."""
    changes = {"as it is": 1.0, "all positive": -1.0, "few negative": 1e-3, "no negative": 0.0}
    return np.where(vector < 0, vector * np.float32(changes[side]), vector).astype(np.float32)


SIDES = ("as it is", "all positive", "few negative", "no negative")


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


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", AWKWARD)
def test_a_refinement_without_limits_ends(name: str, side: str) -> None:
    vector = lopsided(AWKWARD[name], side)
    refinement = refined(vector, schedule_of(vector), Limits())
    indices, sums = signed_sums(refinement, schedule_of(vector))
    assert (np.abs(sums) <= np.abs(vector[indices]).astype(np.float64) * (1 + 1e-9)).all()


@given(vectors(max_size=400), st.sampled_from(SIDES), st.integers(0, 150), st.integers(0, 2**32))
def test_every_step_keeps_signs_and_takes_its_thresholds_from_the_norm(
    vector: Vector, side: str, steps: int, seed: int
) -> None:
    """Remark 2, ‖u‖ ≥ ‖v‖ after every step; the decrement of Theorem 2's proof, 2τ/n, to rounding."""
    vector = lopsided(vector, side)
    plain = literal(vector, schedule_of(vector), Limits(steps=steps), seed=seed)
    assert_same(vector, Limits(steps=steps), 12, seed)
    first, norm = plain.residuals[0], math.fsum(np.abs(plain.residuals[0]))
    sides_of = np.repeat(plain.sides, np.diff([*plain.refresh_at, len(plain.thresholds)]))
    steps_made = zip(pairwise(plain.residuals), plain.thresholds, sides_of, strict=True)
    for (before, after), threshold, sides in steps_made:
        v = first - after
        assert (np.abs(v) <= np.abs(first) * (1 + 1e-12)).all()
        assert (v * first >= 0).all()
        taken = math.fsum(np.abs(before)) - math.fsum(np.abs(after))
        assert taken == pytest.approx(threshold * (2 if sides == BOTH else 1), rel=1e-6, abs=1e-12 * norm)


def test_the_rate_follows_the_mean_so_that_an_estimate_tells_nothing_new() -> None:
    """λ ← λ·n/(n − 2·ln(n/2β)) is ParamEst's 1/mean(|u|) after every step of both sides, the first one being exact."""
    vector = np.random.default_rng(0).laplace(size=20_000).astype(np.float32)
    vector *= np.float32(1.0) / np.abs(vector).mean(dtype=np.float64)  # whose mean 16 bits hold: 1
    schedule = schedule_of(vector)
    plain = literal(vector, schedule, Limits(steps=60))
    until = plain.refresh_at[1]
    assert until > 3
    means = [np.abs(residual).mean() for residual in plain.residuals]
    rates = [threshold / schedule.log_ratio for threshold in plain.thresholds]
    np.testing.assert_allclose(rates[:until], means[:until], rtol=1e-6)


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
    assert np.abs(signed_sums(refinement, schedule_of(vector))[1]).sum() > 0.3 * np.abs(vector).sum()


@given(vectors(max_size=500), st.integers(0, 2**32))
def test_every_refresh_is_followed_by_a_step(vector: Vector, seed: int) -> None:
    refinement = refined(vector, schedule_of(vector), Limits(steps=200), seed=seed)
    assert (np.diff(refinement.refresh_at) > 0).all()
    assert len(refinement.refresh_at) <= refinement.steps
    assert picks_of(refinement.refresh_at, refinement.refresh_sides, refinement.steps) == len(refinement.indices)


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
            np.maximum(part, 0), np.maximum(-part, 0), np.array([n]), np.ones(1), schedule.log_ratio, schedule.shrink,
            schedule.shrink_of_one, 17, -1, 5000, -1, schedule.expected, np.random.default_rng(0),
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
    assert 0 < schedule.shrink < schedule.shrink_of_one < 1
    assert 1 <= schedule.expected <= n
    if n >= 3:
        assert schedule.log_ratio == pytest.approx(math.log(n / (2 * math.log(n))), rel=1e-8)


@pytest.mark.parametrize("beta", [0.0, -1.0, 500.0, 2000.0])
def test_a_beta_without_a_threshold_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=r"gives ln\(n/2β\).* between 0 and 500"):
        Schedule.of(1000, beta, sides=2)
