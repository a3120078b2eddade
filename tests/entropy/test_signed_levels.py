"""The coder of levels: what it codes comes back, in about the bits of their entropy; what is damaged is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.entropy.signed_levels import SignedLevels
from surp_fl.types import Levels


def encoded(levels: Levels, max_level: int) -> bytes:
    encoder = RangeEncoder(64 + 8 * levels.size)
    SignedLevels(max_level).encode(encoder, levels)
    return encoder.finish()


def decoded(message: bytes, size: int, max_level: int) -> tuple[bool, Levels]:
    levels = np.zeros(size, np.int16)
    return bool(SignedLevels(max_level).decode(RangeDecoder(message), levels)), levels


@given(
    levels=st.sampled_from([1, 3, 127, 32_767]).flatmap(
        lambda most: hnp.arrays(np.int16, st.integers(1, 300), elements=st.sampled_from([0, 0, 1, -1, most, -most]))
    )
)
def test_levels_come_back(levels: Levels) -> None:
    most = max(1, int(np.abs(levels).max()))
    valid, found = decoded(encoded(levels, most), levels.size, most)
    assert valid
    np.testing.assert_array_equal(found, levels)


@pytest.mark.parametrize(("scale", "most"), [(0.05, 1), (0.7, 7), (20.0, 127)])
def test_independent_levels_take_about_the_bits_of_their_entropy(scale: float, most: int) -> None:
    levels = np.rint(np.random.default_rng(0).laplace(scale=scale, size=20_000)).clip(-most, most).astype(np.int16)
    if most == 1:
        levels = np.random.default_rng(0).choice(np.array([-1, 0, 1], np.int16), size=20_000, p=[0.1, 0.8, 0.1])
    shares = np.unique(levels, return_counts=True)[1] / levels.size
    entropy = -float((shares * np.log2(shares)).sum()) * levels.size / 8
    assert entropy < len(encoded(levels, most)) < 1.03 * entropy


def test_levels_whose_scale_differs_from_run_to_run_take_fewer() -> None:
    rng = np.random.default_rng(0)
    levels = np.rint(rng.laplace(size=20_000) * np.repeat([0.5, 20.0] * 10, 1000)).clip(-127, 127).astype(np.int16)
    shares = np.unique(levels, return_counts=True)[1] / levels.size
    assert len(encoded(levels, 127)) < 0.95 * -float((shares * np.log2(shares)).sum()) * levels.size / 8


def test_zeros_take_next_to_nothing() -> None:
    assert len(encoded(np.zeros(1_000_000, np.int16), 127)) < 8


def test_every_cut_message_and_every_other_size_is_refused() -> None:
    levels = np.array([0, 3, 0, 0, -1, 2, 0, 0], np.int16)
    message = encoded(levels, 3)
    assert decoded(message, 8, 3)[0]
    assert not any(decoded(message[:end], 8, 3)[0] for end in range(len(message)))
    assert not decoded(message, 7, 3)[0]


def test_a_level_beyond_the_largest_is_refused() -> None:
    levels = np.array([5, 4], np.int16)
    message = encoded(levels, 5)
    assert decoded(message, 2, 5)[0]
    assert not decoded(message, 2, 4)[0]
