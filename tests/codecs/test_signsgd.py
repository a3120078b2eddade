"""EF-signSGD as its authors write it: ‖v‖₁/d · sign(v), a layer at a time, and the rest in the next round."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import Layout, MalformedMessage, SignSGD
from tests.schemes import body_of, decode_body, through

ARRAYS = {"w": np.array([[0.5, -4.0], [0.0, 3.0]], np.float32), "b": np.array([-0.25, 1.25], np.float32)}
LAYOUT = Layout.of(ARRAYS)
VECTOR = LAYOUT.flatten(ARRAYS)
BODY = bytes([1]) + np.array([1.875, 0.75], "<f4").tobytes() + bytes([0b01001000])


def test_each_array_has_its_own_mean_magnitude() -> None:
    np.testing.assert_array_equal(through(SignSGD(), VECTOR, LAYOUT), [1.875, -1.875, 1.875, 1.875, -0.75, 0.75])
    assert body_of(SignSGD(), VECTOR, LAYOUT) == BODY


def test_all_arrays_may_share_one() -> None:
    np.testing.assert_array_equal(
        through(SignSGD(per_array=False), VECTOR, LAYOUT), 1.5 * np.array([1, -1, 1, 1, -1, 1])
    )


def test_an_array_of_zeros_takes_a_scale_and_no_signs() -> None:
    vector = np.concatenate([np.zeros(4), [2, -2]]).astype(np.float32)
    body = body_of(SignSGD(), vector, LAYOUT)
    assert body == bytes([1]) + np.array([0, 2], "<f4").tobytes() + bytes([0b01000000])
    np.testing.assert_array_equal(decode_body(SignSGD(), body, LAYOUT), vector)


def test_error_feedback_sends_the_rest_in_later_rounds_by_hand() -> None:
    """Round 1: [3, 1] becomes [2, 2], which leaves [1, −1]. Round 2: [1, −1] + [0, 2] = [1, 1], and nothing is left."""
    scheme = SignSGD()
    wanted = scheme.memory.recall(np.array([3, 1], np.float32), {})
    state = scheme.memory.settle(wanted, through(scheme, wanted), {})
    np.testing.assert_array_equal(state["residual"], [1, -1])
    wanted = scheme.memory.recall(np.array([0, 2], np.float32), state)
    np.testing.assert_array_equal(through(scheme, wanted), [1, 1])


def test_the_error_is_what_the_papers_lemma_on_scaled_signs_says() -> None:
    """‖C(v) − v‖² = (1 − φ(v))·‖v‖² with φ(v) = ‖v‖₁² / (d·‖v‖²)."""
    vector = np.random.default_rng(0).laplace(size=1000).astype(np.float32)
    exact = vector.astype(float)
    density = np.abs(exact).sum() ** 2 / (1000 * np.square(exact).sum())
    error = np.square(exact - through(SignSGD(), vector)).sum()
    assert error == pytest.approx((1 - density) * np.square(exact).sum(), rel=1e-6)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "neither one scale"),
        (b"\2" + BODY[1:], "neither one scale"),
        (BODY[:5], "2 scales take 8"),
        (BODY[:-1], "0 bytes for 6 signs"),
        (BODY + b"\0", "2 bytes for 6 signs"),
        (BODY[:-1] + bytes([0b01001001]), "not zeros"),
        (BODY[:1] + np.array([-1, 1], "<f4").tobytes() + BODY[-1:], "negative or not finite"),
        (BODY[:1] + np.array([1, np.nan], "<f4").tobytes() + BODY[-1:], "negative or not finite"),
    ],
)
def test_bodies_that_no_encoder_writes_are_malformed(body: bytes, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode_body(SignSGD(), body, LAYOUT)


def test_a_scale_for_each_of_one_array_is_malformed() -> None:
    layout = Layout.of({"w": np.ones(6, np.float32)})
    with pytest.raises(MalformedMessage, match="not two"):
        decode_body(SignSGD(), bytes([1]) + np.array([1], "<f4").tobytes() + b"\0", layout)
