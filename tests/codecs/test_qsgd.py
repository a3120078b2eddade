"""QSGD at any number of bits, coded or not, and FedPAQ, which is QSGD with one norm."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from surp_fl import QSGD, FedPAQ, Layout, MalformedMessage
from tests.schemes import body_of, decode_body, through

HAND = np.array([3.0, -4.0, 0.0, 1.0], np.float32)
LAYOUT = Layout.of({"w": HAND})
WIDE = np.random.default_rng(0).laplace(size=3000).astype(np.float32)


@pytest.mark.parametrize("bits", range(2, 17))
def test_coded_and_not_the_values_are_the_same(bits: int) -> None:
    plain, coded = QSGD(bits=bits, bucket=100), QSGD(bits=bits, bucket=100, coded=True)
    np.testing.assert_array_equal(through(plain, WIDE), through(coded, WIDE))
    layout = Layout.of({"w": WIDE})
    assert len(body_of(plain, WIDE, layout)) == 1 + 1 + 4 * 30 + -(-3000 * bits // 8)
    assert len(body_of(coded, WIDE, layout)) < len(body_of(plain, WIDE, layout)) * (0.95 if bits < 13 else 1.01)


@pytest.mark.compiled
@pytest.mark.parametrize("scheme", [QSGD(bits=1, bucket=2, coded=True), QSGD(levels=1, bucket=2, coded=True)])
def test_one_bit_is_one_level_beside_zero(scheme: QSGD) -> None:
    """The norms are 5 and 1: a 3 becomes 5 three times out of five."""
    sent = np.array([through(scheme, HAND, seed=seed) for seed in range(2000)])
    assert set(sent[:, 0].tolist()) == {0.0, 5.0}
    assert set(sent[:, 1].tolist()) == {0.0, -5.0}
    assert set(sent[:, 3].tolist()) == {1.0}
    np.testing.assert_allclose(sent.mean(0), HAND, atol=4 * 2.5 / np.sqrt(2000))


@pytest.mark.compiled
def test_fedpaq_has_levels_of_the_whole_updates_norm() -> None:
    """The norm is √26, in fifths."""
    sent = np.array([through(FedPAQ(levels=5), HAND, seed=seed) for seed in range(4000)])
    unit = np.sqrt(26) / 5
    assert set(sent[:, 0].tolist()) == {float(np.float32(2 * unit)), float(np.float32(3 * unit))}
    assert set(sent[:, 3].tolist()) == {0.0, float(np.float32(unit))}
    np.testing.assert_allclose(sent.mean(0), HAND, atol=4 * unit / 2 / np.sqrt(4000))


@pytest.mark.parametrize("levels", [1, 5, 100])
def test_the_variance_is_within_the_papers_bound(levels: int) -> None:
    """E‖Q(v) − v‖² ≤ min(n/s², √n/s)·‖v‖², Lemma 3.1 of QSGD."""
    exact = WIDE.astype(float)
    errors = [np.square(through(FedPAQ(levels=levels), WIDE, seed=seed) - exact).sum() for seed in range(20)]
    assert np.mean(errors) <= 1.05 * min(3000 / levels**2, np.sqrt(3000) / levels) * np.square(exact).sum()


def test_fedpaq_of_one_level_sends_about_the_square_root_of_the_coordinates() -> None:
    """Of n equal ones each becomes the norm, √n, with the probability 1/√n; a gap and a sign take about ten bits."""
    vector = np.ones(1 << 16, np.float32)
    layout = Layout.of({"w": vector})
    assert 200 < np.count_nonzero(through(FedPAQ(levels=1), vector, layout)) < 320
    assert len(body_of(FedPAQ(levels=1), vector, layout)) < 420


def body(levels: int, bucket: int, norms: list[float], coded: bytes) -> bytes:
    """Of a number of levels below 128."""
    return bytes([0, levels, bucket]) + struct.pack(f"<{len(norms)}f", *norms) + coded


BODY = body_of(QSGD(levels=5, bucket=2, coded=True), HAND, LAYOUT)
CODED = BODY[11:]
NOTHING = body_of(QSGD(levels=5, bucket=2, coded=True), 0 * HAND, LAYOUT)[11:]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (b"", "ends at bit 8"),
        (b"\1" + BODY[1:], "expected 2 to 16"),
        (b"\x11" + BODY[1:], "expected 2 to 16"),
        (body(0, 2, [5, 1], CODED), "0 levels"),
        (b"\0\x80\x80\x02" + BODY[2:], "32768 levels"),
        (body(5, 0, [5, 1], CODED), "buckets of no coordinates"),
        (body(5, 5, [5], CODED), "buckets of 5 of 4"),
        (body(5, 2, [5], b""), "2 scales take 8"),
        (body(5, 2, [5, -1], CODED), "negative or not finite"),
        (body(5, 2, [5, 0], CODED), "without a scale"),
        (body(5, 2, [5, 1], NOTHING), "without levels"),
        (body(2, 2, [5, 1], CODED), "do not hold 4 levels up to 2"),
        (BODY[:-1], "do not hold 4 levels up to 5"),
        (BODY + b"\0", "after the end"),
    ],
)
def test_bodies_that_no_encoder_writes_are_malformed(made: bytes, says: str) -> None:
    assert body(5, 2, [5, 1], CODED) == BODY
    with pytest.raises(MalformedMessage, match=says):
        decode_body(QSGD(), made, LAYOUT)


@pytest.mark.parametrize(
    ("scheme", "options", "says"),
    [
        (QSGD, {"bits": 1}, "expected 2 to 16"),
        (QSGD, {"bits": 17}, "expected 2 to 16"),
        (QSGD, {"bits": 0, "coded": True}, "expected 1 to 16"),
        (QSGD, {"levels": 5}, "and coded=True"),
        (QSGD, {"levels": 0, "coded": True}, "expected 1 to 32,767"),
        (FedPAQ, {"bits": 17}, "expected 1 to 16"),
        (FedPAQ, {"levels": 0}, "expected 1 to 32,767"),
    ],
)
def test_options_that_make_no_sense_are_refused(scheme: type, options: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        scheme(**options)
