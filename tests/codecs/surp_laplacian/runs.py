"""Runs of Algorithm 1, compiled and literal, and the vectors that they are given."""

from __future__ import annotations

import math

import numpy as np

from surp_fl.codecs.surp_laplacian.refinement import PairRefinement, refine, signed_sums_of_all
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from surp_fl.entropy.minifloat import decode_minifloat
from tests.reference import ReferencePairs, reference_pairs
from tests.vectors import Vector


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


def lopsided(vector: Vector, side: str) -> Vector:
    """Weights of which one side is missing, or a thousandth of the other: what error feedback may leave."""
    changes = {"as it is": 1.0, "all positive": -1.0, "few negative": 1e-3, "no negative": 0.0}
    return np.where(vector < 0, vector * np.float32(changes[side]), vector).astype(np.float32)


SIDES = ("as it is", "all positive", "few negative", "no negative")


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
