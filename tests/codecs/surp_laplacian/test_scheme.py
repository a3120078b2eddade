"""Messages of Algorithm 1: what they hold, and where they end."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import LaplacianSuRP, Layout, PaperSuRP
from surp_fl.codecs.reader import BitBreakdown
from surp_fl.codecs.surp_laplacian.decoder import READER
from surp_fl.codecs.surp_laplacian.refinement import bits_of
from surp_fl.codecs.surp_paper.scales import Scale, l1
from surp_fl.codecs.surp_paper.schedule import Schedule
from surp_fl.entropy.bitio import BitReader
from surp_fl.frame import HEADER_BYTES
from tests.reference import reference_pairs
from tests.vectors import Vector, vectors

LAYOUT = Layout.of({"w": np.zeros(1 << 12, np.float32)})


def encode(scheme: LaplacianSuRP | PaperSuRP, vector: Vector, seed: int = 0) -> tuple[Layout, bytes]:
    layout = Layout.of({"w": vector})
    return layout, scheme.codec.encode(vector, layout, rng=np.random.default_rng(seed))


@given(vectors(max_size=600), st.integers(1, 100), st.integers(0, 2**32))
def test_a_message_decodes_to_what_the_literal_algorithm_reconstructs(vector: Vector, steps: int, seed: int) -> None:
    layout, message = encode(LaplacianSuRP(steps=steps), vector, seed)
    schedule = Schedule.of(len(vector), sides=2)
    plain = reference_pairs(
        vector.astype(np.float64), schedule.log_ratio, schedule.expected, np.random.default_rng(seed), max_steps=steps
    )
    wanted = (plain.residuals[0] - plain.residuals[-1]).astype(np.float32)
    np.testing.assert_allclose(READER.decode(message, layout), wanted, rtol=1e-6, atol=2e-45)


@given(vectors(max_size=2000), st.integers(1, 200), st.sampled_from([None, l1]), st.sampled_from([None, 1.25]))
def test_steps_refreshes_and_bytes_are_as_counted(
    vector: Vector, steps: int, scale: Scale | None, beta: float | None
) -> None:
    if beta is not None and len(vector) < 3:
        return
    layout, message = encode(LaplacianSuRP(steps=steps, scale=scale, beta=beta), vector)
    bits = BitReader(message[HEADER_BYTES:])
    assert bits.read_one(8) == (1 if scale is not None else 0) + (2 if beta is not None else 0)
    if beta is not None:
        bits.read_one(32)
    told = bits.read_varint()
    assert told <= steps
    parts = READER.bit_breakdown(message, layout)
    if told == 0:
        assert sum(parts) == 0
        return
    refreshes, index_bits = bits.read_varint(), max(1, (len(vector) - 1).bit_length())
    picks, remainder = divmod(int(parts.indices), index_bits)
    assert remainder == 0
    assert told <= picks <= 2 * told
    fixed = 8 + 32 * (beta is not None) + 16 * (scale is not None)
    assert 8 * len(message) - 8 * HEADER_BYTES - fixed - bits_of(told, refreshes, picks, index_bits) in range(8)
    assert parts.signs == 2 * (refreshes + 1)


def test_two_indices_and_no_signs_are_what_a_step_costs() -> None:
    vector = np.zeros(1 << 12, np.float32)
    vector[[5, 700, 3000]] = 1, -2, 3
    message = LaplacianSuRP(steps=1).codec.encode(vector, LAYOUT, rng=np.random.default_rng(0))
    assert READER.bit_breakdown(message, LAYOUT) == BitBreakdown(24, 2, 16)
    indices, values = READER.decode_sparse(message, LAYOUT)
    assert set(indices) < {5, 700, 3000}
    assert values.min() < 0 < values.max()


@pytest.mark.parametrize("budget", [24, 50, 100, 218, 500, 2050, 20_000])
def test_a_budget_is_used_to_within_one_step(budget: int) -> None:
    _, message = encode(LaplacianSuRP(budget=budget), np.random.default_rng(0).laplace(size=431_080).astype(np.float32))
    assert budget - 10 <= len(message) <= budget  # a step and a refresh in front of it are up to 71 bits


@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.5, 1e-3, 1.0])
@pytest.mark.parametrize("n", [50, 1000])
def test_what_is_left_goes_to_zero_with_the_bytes_whatever_one_side_has(n: int, factor: float) -> None:
    vector = np.random.default_rng(n).laplace(size=n).astype(np.float32)
    vector[vector < 0] *= np.float32(factor)
    left = []
    for budget in (n // 2, 2 * n, 8 * n):
        layout, message = encode(LaplacianSuRP(budget=budget), vector)
        left.append(np.abs(vector - READER.decode(message, layout)).sum() / np.abs(vector).sum())
    assert left == sorted(left, reverse=True)
    assert left[1] < 0.1
    assert left[2] < 1e-3


@pytest.mark.parametrize("sparsity", [0.9999, 0.999, 0.99, 0.9])
def test_a_sparsity_is_reached_to_within_the_second_coordinate_of_a_step(sparsity: float) -> None:
    layout, message = encode(
        LaplacianSuRP(sparsity=sparsity), np.random.default_rng(0).laplace(size=10_000).astype(np.float32)
    )
    wanted = round((1 - sparsity) * 10_000)
    assert np.count_nonzero(READER.decode(message, layout)) in (wanted, wanted + 1)


def test_a_message_of_many_steps_decodes_to_a_vector_as_one_of_few_does_to_pairs() -> None:
    vector = np.random.default_rng(0).laplace(size=40_000).astype(np.float32)
    layout, message = encode(LaplacianSuRP(steps=20_000), vector)
    assert not isinstance(READER.decode_compact(message, layout), tuple)
    decoded = READER.decode(message, layout)
    assert (np.abs(decoded) <= np.abs(vector)).all()
    assert (decoded * vector >= 0).all()
    assert np.abs(vector - decoded).sum() < 0.5 * np.abs(vector).sum()


@pytest.mark.parametrize("options", [{}, {"budget": 19}, {"steps": 0}, {"sparsity": 1.0}, {"steps": 1, "beta": -1.0}])
def test_options_without_meaning_are_refused_as_by_paper_surp(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"LaplacianSuRP needs to know|needs up to 20|expected") as ours:
        LaplacianSuRP(**options)  # type: ignore[arg-type]
    said = re.escape(str(ours.value).replace("LaplacianSuRP", "PaperSuRP"))
    with pytest.raises(ValueError, match=said.replace("19", "15").replace("20", "16")):
        PaperSuRP(**options | ({"budget": 15} if "budget" in options else {}))  # type: ignore[arg-type]


def test_a_budget_that_cannot_hold_the_scales_is_refused() -> None:
    arrays = {f"layer{i}": np.ones(3, np.float32) for i in range(100)}
    layout = Layout.of(arrays)
    with pytest.raises(ValueError, match="needs 212: raise the budget, or use scale=None"):
        LaplacianSuRP(budget=100, scale=l1).codec.encode(layout.flatten(arrays), layout, rng=np.random.default_rng(0))
