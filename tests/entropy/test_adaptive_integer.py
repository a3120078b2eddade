"""Integers whose distribution is learned: exact both ways, cheap where values repeat, and safe to read from garbage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder

VALUES = st.lists(st.one_of(st.integers(0, 20), st.integers(0, 2**33 - 1)), max_size=60)


def encoded(values: list[int], depth: int) -> bytes:
    encoder, model = RangeEncoder(8 * len(values) + 16), AdaptiveInteger(depth)
    for value in values:
        model.encode(encoder, value)
    return encoder.finish()


@given(VALUES, st.integers(0, 12))
def test_integers_come_back(values: list[int], depth: int) -> None:
    decoder, model = RangeDecoder(encoded(values, depth)), AdaptiveInteger(depth)
    assert [model.decode(decoder) for _ in values] == values
    assert not values or not decoder.exhausted()


def test_values_that_repeat_take_about_their_entropy() -> None:
    rng = np.random.default_rng(0)
    known = rng.integers(0, 1 << 20, 8)
    values = known[rng.integers(0, 8, 20_000)].tolist()
    assert len(encoded(values, 12)) < 20_000 * 12.4 / 8  # 3 bits, and of 20 the 8 lowest, which are not modelled
    assert len(encoded([value >> 8 for value in values], 12)) < 20_000 * 3.1 / 8


def test_counts_are_halved_so_that_a_change_of_the_distribution_is_followed() -> None:
    values = [3] * 50_000 + [4] * 5_000
    assert len(encoded(values, 4)) < 700


@pytest.mark.parametrize("depth", [0, 3, 10])
def test_garbage_gives_integers_of_the_range(depth: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        decoder, model = RangeDecoder(rng.bytes(40)), AdaptiveInteger(depth)
        for _ in range(60):
            assert 0 <= model.decode(decoder) < 1 << 33
