"""EDEN does what its paper says: levels of Lloyd and Max, errors as derived, estimates that are right on average."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import EDEN, Layout, MalformedMessage
from surp_fl.codecs.eden.scheme import MAGNITUDES
from surp_fl.codecs.rotation import blocks_of, hadamard
from surp_fl.frame import HEADER_BYTES, pack
from tests.vectors import Vector

HEAVY = np.random.default_rng(0).standard_t(3, 20_000).astype(np.float32)
ROTATED = sum(block.size for block in blocks_of(HEAVY.size))
OVERHEAD = HEADER_BYTES + 9 + 2 * len(list(blocks_of(HEAVY.size)))  # bytes


def through(scheme: EDEN, vector: Vector, seed: int = 0) -> Vector:
    layout = Layout.of({"w": vector})
    return scheme.codec.decode(scheme.codec.encode(vector, layout, rng=np.random.default_rng(seed)), layout)


def share_of_error(decoded: Vector, vector: Vector) -> float:
    return float(np.square(decoded - vector, dtype=np.float64).sum() / np.square(vector, dtype=np.float64).sum())


@pytest.mark.parametrize("bits", MAGNITUDES)
def test_each_level_is_the_mean_of_the_normal_coordinates_that_are_nearest_to_it(bits: int) -> None:
    levels = np.array(MAGNITUDES[bits]) / 4096
    assert len(levels) == 2 ** (bits - 1)
    cells = [0.0, *((levels[1:] + levels[:-1]) / 2), math.inf]
    for level, (low, high) in zip(levels, pairwise(cells), strict=True):
        mass = (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2
        mean = (math.exp(-low * low / 2) - math.exp(-high * high / 2)) / math.sqrt(2 * math.pi) / mass
        assert level == pytest.approx(mean, abs=3e-4)  # the unit is 2.4e-4


def test_levels_of_two_bits_are_those_that_max_published() -> None:
    assert np.array(MAGNITUDES[2]) / 4096 == pytest.approx([0.4528, 1.510], abs=6e-4)  # he gives four digits


def test_one_coordinate_is_exact_by_hand() -> None:
    """Its rotation is ±1 of its norm, the level 0.798, and the scale makes up for the level: 2.5 is in 16 bits."""
    np.testing.assert_allclose(through(EDEN(28), np.array([-2.5], np.float32)), [-2.5], rtol=2**-8)
    assert MAGNITUDES[1][0] / 4096 == pytest.approx(math.sqrt(2 / math.pi), abs=1.3e-4)


@pytest.mark.parametrize(
    ("bits", "error"), [(1, math.pi / 2 - 1), (2, 1 / (1 - 0.1175) - 1), (3, 1 / (1 - 0.03454) - 1)]
)
def test_the_error_is_that_of_the_paper(bits: int, error: float) -> None:
    """A quantiser of distortion D, scaled until it is unbiased, has an error of 1/(1 − D) − 1; D is Max's."""
    budget = OVERHEAD + ROTATED * bits // 8
    assert share_of_error(through(EDEN(budget), HEAVY), HEAVY) == pytest.approx(error, rel=0.03)


@pytest.mark.parametrize("share", [1 / 4, 1 / 40])
def test_below_a_bit_the_error_is_that_of_the_coordinates_that_are_not_told(share: float) -> None:
    budget = OVERHEAD + int(share * ROTATED / 8)
    errors = [share_of_error(through(EDEN(budget), HEAVY, seed), HEAVY) for seed in range(20)]
    assert np.mean(errors) == pytest.approx(math.pi / 2 / share - 1, rel=0.04)


@pytest.mark.compiled
@pytest.mark.parametrize("budget", [40, 100])
def test_estimates_are_right_on_average(budget: int) -> None:
    vector = np.random.default_rng(3).normal(size=256).astype(np.float32)
    sent = np.mean([through(EDEN(budget), vector, seed) for seed in range(4000)], axis=0)
    once = share_of_error(through(EDEN(budget), vector), vector)
    assert share_of_error(sent, vector) < 2 * once / 4000


def test_a_budget_that_holds_no_more_than_the_header_says_nothing() -> None:
    layout = Layout.of({"w": HEAVY})
    for budget, size in ((16, HEADER_BYTES), (OVERHEAD, HEADER_BYTES), (OVERHEAD + 1, OVERHEAD + 1)):
        message = EDEN(budget).codec.encode(HEAVY, layout, rng=np.random.default_rng(0))
        assert len(message) == size
        decoded = EDEN(budget).codec.decode(message, layout)
        assert decoded.any() == (size > HEADER_BYTES)


@given(st.integers(1, 3000), st.integers(28, 2000))
def test_the_budget_is_used_up_to_six_bits_a_coordinate(n: int, budget: int) -> None:
    vector = np.ones(n, np.float32)
    message = EDEN(budget).codec.encode(vector, Layout.of({"w": vector}), rng=np.random.default_rng(n))
    blocks = list(blocks_of(n))
    most = HEADER_BYTES + 9 + 2 * len(blocks) + -(-6 * sum(block.size for block in blocks) // 8)
    assert min(budget, most) - 1 <= len(message) <= min(budget, most)


@given(st.integers(0, 100_000))
def test_few_blocks_cover_the_vector_and_few_zeros_fill_the_last(n: int) -> None:
    blocks = list(blocks_of(n))
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks)][: len(blocks)]
    assert (blocks[-1].stop if blocks else 0) == n
    assert len(blocks) <= 5
    assert 0 <= sum(block.size for block in blocks) - n <= n // 16
    assert all(block.size.bit_count() == 1 for block in blocks)


@pytest.mark.parametrize("levels", [0, 1, 5, 7, 13])
def test_the_transform_is_sylvesters_matrix_and_exact_for_integers(levels: int) -> None:
    size = 1 << levels
    numbers = np.random.default_rng(levels).integers(-16_000, 16_000, size).astype(np.float64)
    row = size // 3
    signs = np.array([-1 if (row & column).bit_count() % 2 else 1 for column in range(size)])
    transformed = hadamard(numbers.copy())
    assert transformed[row] == int((signs * numbers).sum())
    np.testing.assert_array_equal(hadamard(transformed), size * numbers)


def test_a_rotation_that_no_encoder_writes_is_refused() -> None:
    layout = Layout.of({"w": np.ones(64, np.float32)})
    for header, complaint in (((7, 0), "expected up to 6"), ((6, 1), "expected up to 6"), ((6, 0), "there are")):
        body = bytes(4) + bytes([header[0]]) + header[1].to_bytes(4, "big") + bytes(2)
        with pytest.raises(MalformedMessage, match=complaint):
            EDEN(28).codec.decode(pack(6, body, layout.fingerprint), layout)


def test_a_bit_a_coordinate_is_a_ratio_of_32() -> None:
    layout = Layout.of({"w": HEAVY})
    message = EDEN(ratio=32).codec.encode(HEAVY, layout, rng=np.random.default_rng(0))
    assert len(message) == HEAVY.size // 8
