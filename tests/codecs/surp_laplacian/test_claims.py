"""What the paper says of Algorithm 1, after every step of it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.codecs.surp_laplacian._estimates import BOTH
from surp_fl.codecs.surp_paper.schedule import Limits
from tests.codecs.surp_laplacian.runs import SIDES, assert_same, literal, lopsided, schedule_of
from tests.vectors import Vector, vectors


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
    vector *= np.float32(0.9999999 / np.abs(vector).mean(dtype=np.float64))  # whose mean 16 bits hold: 1
    schedule = schedule_of(vector)
    plain = literal(vector, schedule, Limits(steps=60))
    until = plain.refresh_at[1]
    assert until > 3
    means = [np.abs(residual).mean() for residual in plain.residuals]
    rates = [threshold / schedule.log_ratio for threshold in plain.thresholds]
    np.testing.assert_allclose(rates[:until], means[:until], rtol=1e-6)
