"""TernGrad as its authors' code has it: clipping at 2.5 σ, then −s, 0 or s with the probability |g|/s."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import Layout, MalformedMessage, TernGrad
from surp_fl.types import Floats
from tests.schemes import body_of, decode_body, through

ARRAYS = {"w": np.array([[3.0, -4.0], [0.0, 1.0]], np.float32), "b": np.array([0.25], np.float32)}
LAYOUT = Layout.of(ARRAYS)
VECTOR = LAYOUT.flatten(ARRAYS)


def authors(gradient: Floats, uniform: Floats, clip: float) -> Floats:
    """`clip_gradients_by_stddev` and `stochastical_binarize_gradients` of the authors' TensorFlow code, in NumPy."""
    deviation = np.sqrt(np.mean(np.square(gradient - gradient.mean())))
    clipped = np.clip(gradient, -clip * deviation, clip * deviation)
    scaler = np.abs(clipped).max()
    return np.where(uniform * scaler < np.abs(clipped), np.sign(clipped) * scaler, 0)


def test_it_is_what_the_authors_code_gives_for_the_same_random_numbers() -> None:
    """Of arrays whose mean is 0."""
    rng = np.random.default_rng(0)
    arrays = {name: (part := rng.standard_t(3, size=size)) - part.mean() for name, size in (("a", 3000), ("b", 500))}
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays)
    uniform = np.random.default_rng(8).random(3500)
    expected = [authors(part.astype(float), u, 2.5) for part, u in
                zip(np.split(vector, [3000]), np.split(uniform, [3000]), strict=True)]  # fmt: skip
    np.testing.assert_allclose(through(TernGrad(), vector, layout, seed=8), np.concatenate(expected), rtol=1e-6)


@pytest.mark.compiled
def test_it_is_right_on_average_without_clipping() -> None:
    scheme = TernGrad(clip=float("inf"))
    sent = np.array([through(scheme, VECTOR, LAYOUT, seed) for seed in range(4000)])
    assert set(sent[:, 0].tolist()) == {0.0, 4.0}
    assert set(sent[:, 1].tolist()) == {-4.0}
    assert set(sent[:, 4].tolist()) == {0.25}
    np.testing.assert_allclose(sent.mean(0), VECTOR, atol=4 * 2 / np.sqrt(4000))


@pytest.mark.compiled
def test_large_coordinates_are_clipped_at_their_arrays_deviation() -> None:
    """99 ones and a 10: σ² = 199/100, and the largest is 2.5·1.41 = 3.53."""
    vector = np.append(np.ones(99), 10).astype(np.float32)
    sent = np.array([through(TernGrad(), vector, seed=seed) for seed in range(2000)])
    largest = 2.5 * np.sqrt(1.99)
    assert set(np.unique(sent)) == {np.float32(0), np.float32(largest)}
    assert (sent[:, 99] == np.float32(largest)).all()
    np.testing.assert_allclose(sent[:, :99].mean(), 1, atol=4 * np.sqrt(largest / 99 / 2000))


@pytest.mark.parametrize("vector", [np.full(7, 0.1), np.array([-3.0]), np.full(10, 1e-45), np.array([1e-45, 3e38])])
def test_equal_ones_and_extremes_are_not_clipped_to_nothing(vector: Floats) -> None:
    exact = vector.astype(np.float32)
    sent = through(TernGrad(), exact)
    assert sent[-1] == exact[-1]


def test_levels_take_about_a_bit_each() -> None:
    vector = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    layout = Layout.of({"w": vector})
    body = body_of(TernGrad(), vector, layout)
    share = np.count_nonzero(through(TernGrad(), vector, layout)) / 20_000
    entropy = share - share * np.log2(share) - (1 - share) * np.log2(1 - share)  # a sign, and whether there is one
    assert len(body) < 1.02 * 20_000 / 8 * entropy + 4 < 20_000 / 5


BODY = body_of(TernGrad(clip=float("inf")), VECTOR, LAYOUT)


def with_scales(*scales: float) -> bytes:
    return np.array(scales, "<f4").tobytes() + BODY[8:]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (BODY[:7], "2 scales take 8"),
        (BODY[:-1], "do not hold 5 levels"),
        (BODY + b"\0", "after the end"),
        (with_scales(0, 0.25), "without a scale"),
        (with_scales(-4, 0.25), "negative or not finite"),
        (with_scales(4, np.inf), "negative or not finite"),
        (body_of(TernGrad(), 0 * VECTOR, LAYOUT)[:8] + BODY[8:], "without a scale"),
        (BODY[:8] + body_of(TernGrad(), 0 * VECTOR, LAYOUT)[8:], "without levels"),
    ],
)
def test_bodies_that_no_encoder_writes_are_malformed(body: bytes, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode_body(TernGrad(), body, LAYOUT)


def test_bytes_for_a_model_of_nothing_are_malformed() -> None:
    with pytest.raises(MalformedMessage, match="bytes for no levels"):
        decode_body(TernGrad(), b"\0", Layout.of({"n": np.array([1])}))


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan")])
def test_a_clip_that_makes_no_sense_is_refused(clip: float) -> None:
    with pytest.raises(ValueError, match="expected standard deviations"):
        TernGrad(clip)
