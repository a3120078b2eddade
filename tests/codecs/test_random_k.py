"""Random-k sends a random part of the vector as it is, or is right on average; no index is in the message."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from surp_fl import Layout, MalformedMessage, NoMemory, RandomK
from surp_fl.codecs.random_subset import random_subset
from tests.schemes import body_of, decode_body, through

HAND = np.array([0.5, -4.0, 0.0, 3.0, -0.25, 1.0, 2.0, -1.5], np.float32)
LAYOUT = Layout.of({"w": HAND})
SCHEME = RandomK(sparsity=5 / 8)


def body(seed: int, width: int, values: list[float]) -> bytes:
    return struct.pack("<IB", seed, width) + np.array(values, "<f4").tobytes()


def splitmix64(seed: int, place: int) -> int:
    """The random word of a place, in Python's integers."""
    full = (1 << 64) - 1
    z = (seed + (place + 1) * 0x9E3779B97F4A7C15) & full
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & full
    z = (z ^ z >> 27) * 0x94D049BB133111EB & full
    return z ^ z >> 31


@pytest.mark.parametrize(("count", "n"), [(3, 8), (8, 8), (5, 1000), (1, 1), (70, 3000)])
def test_the_subset_is_that_of_the_specification(count: int, n: int) -> None:
    half = ((n - 1).bit_length() + 1) // 2
    expected = []
    for number in range(count):
        while True:
            left, right = number >> half, number & ((1 << half) - 1)
            for each in range(4):
                left, right = right, left ^ splitmix64(9, right + (each << 32)) & ((1 << half) - 1)
            number = left << half | right
            if number < n:
                break
        expected.append((number + splitmix64(9, 4 << 32)) % n)
    assert random_subset(9, count, n).tolist() == sorted(expected)


@pytest.mark.compiled
@pytest.mark.parametrize(("count", "n"), [(1, 3), (3, 7), (20, 65)])
def test_every_coordinate_is_drawn_as_often(count: int, n: int) -> None:
    counts = np.zeros(n)
    for seed in range(5000):
        drawn = random_subset(seed, count, n)
        assert (np.diff(drawn) > 0).all()
        counts[drawn] += 1
    expected = 5000 * count / n
    assert np.abs(counts - expected).max() < 4.5 * np.sqrt(expected * (1 - count / n))


def test_subsets_of_many_blocks_have_each_coordinate_once() -> None:
    drawn = random_subset(5, 40_000, 50_001)
    assert (np.diff(drawn) > 0).all()
    assert drawn[0] >= 0
    assert drawn[-1] <= 50_000
    np.testing.assert_array_equal(random_subset(5, 50_001, 50_001), np.arange(50_001))


def test_values_are_sent_as_they_are_and_the_others_not() -> None:
    seed = int(np.random.default_rng(4).integers(1 << 32))
    drawn = random_subset(seed, 3, 8)
    assert body_of(SCHEME, HAND, LAYOUT, seed=4) == body(seed, 32, HAND[drawn].tolist())
    expected = np.zeros(8, np.float32)
    expected[drawn] = HAND[drawn]
    np.testing.assert_array_equal(through(SCHEME, HAND, LAYOUT, seed=4), expected)


@pytest.mark.compiled
def test_without_memory_it_is_right_on_average() -> None:
    """Three of eight, times 8/3."""
    scheme = RandomK(sparsity=5 / 8, memory=NoMemory())
    sent = np.array([through(scheme, HAND, LAYOUT, seed) for seed in range(3000)])
    assert set(np.abs(sent[:, 3])) == {np.float32(0), np.float32(8)}
    np.testing.assert_allclose(sent.mean(0), HAND, atol=4 * 4 * np.sqrt((8 / 3 - 1) / 3000))


def test_a_budget_is_filled_with_values() -> None:
    """100 bytes: 4 of frame, 4 of seed, 1 of width, and 22 values of 4 bytes or 45 of 2."""
    vector = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    for scheme, count in ((RandomK(budget=100), 22), (RandomK(budget=100, value_bits=16), 45)):
        assert np.count_nonzero(through(scheme, vector)) == count


def test_what_is_never_sent_is_owed() -> None:
    """With error feedback, each coordinate's whole sum arrives in the end."""
    owed, arrived = np.zeros(8, np.float32), np.zeros(8, np.float32)
    for number in range(60):
        wanted = SCHEME.memory.recall(HAND, {"residual": owed})
        sent = through(SCHEME, wanted, LAYOUT, seed=number)
        owed, arrived = wanted - sent, arrived + sent
        np.testing.assert_allclose(arrived + owed, (number + 1) * HAND, rtol=1e-5)
    assert np.abs(owed).max() < 30 * np.abs(HAND).max()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (b"", "a seed and a width take 5"),
        (body(0, 8, [1.0]), "this version knows"),
        (body(0, 32, []), "values for 1 to 8"),
        (body(0, 32, [1.0]) + b"\0", "values for 1 to 8"),
        (body(0, 32, [1.0] * 9), "values for 1 to 8"),
        (body(0, 32, [float("nan")]), "NaN or infinity"),
        (struct.pack("<IBH", 0, 16, 0x7F80), "NaN or infinity"),
    ],
)
def test_bodies_that_no_encoder_writes_are_malformed(made: bytes, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode_body(SCHEME, made, LAYOUT)


@pytest.mark.parametrize("options", [{}, {"budget": 100, "sparsity": 0.5}, {"budget": 15}, {"sparsity": 1.0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"give one of the two|needs 16|such as"):
        RandomK(**options)  # type: ignore[arg-type]
