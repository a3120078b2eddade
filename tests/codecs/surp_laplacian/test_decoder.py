"""What the decoder of Algorithm 1 makes of messages that are written bit by bit, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import Layout, MalformedMessage
from surp_fl.codecs.surp_laplacian.decoder import READER
from surp_fl.codecs.surp_paper.schedule import Schedule
from surp_fl.entropy.bitio import BitWriter
from surp_fl.entropy.minifloat import decode_minifloat
from surp_fl.frame import pack
from tests.vectors import Vector

LAYOUT = Layout.of({"w": np.zeros(1 << 12, np.float32)})


def body(
    sides: int, indices: list[int], code: int = 33_000, steps: int = 1, refreshes: tuple[tuple[int, int, int], ...] = ()
) -> bytes:
    """Steps in a model of 4,096 coordinates; a refresh is a step, a code and sides."""
    bits = BitWriter()
    codes, all_sides = [code, *(each[1] for each in refreshes)], [sides, *(each[2] for each in refreshes)]
    for value in (0, steps, len(refreshes)):
        bits.write_one(value, 8)
    bits.write(np.array(codes), 16)
    bits.write(np.array(all_sides), 2)
    bits.write(np.array([each[0] for each in refreshes], np.int64), (steps - 1).bit_length())
    bits.write(np.array(indices, np.int64), 12)
    return bits.to_bytes()


def decoded(content: bytes, layout: Layout = LAYOUT) -> Vector:
    return READER.decode(pack(READER.scheme_id, content, layout.fingerprint), layout)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (body(0, []), "neither side"),
        (body(3, [7, 7]), "positive and negative"),
        (body(3, [7]), "values of 12 bits end at bit"),
        (body(1, [7, 8]), "left over"),
        (body(1, [7], code=0), "an estimate of zero"),
        (body(1, [7, 8], steps=2, refreshes=((1, 33_500, 1),)), "estimate above the one before"),
        (body(1, [7], refreshes=((0, 33_500, 1),)), "estimate above the one before"),
        (body(1, [7, 8], steps=2, refreshes=((1, 100, 1), (1, 99, 1))), "not in ascending order"),
        (body(1, [7, 8], steps=2, refreshes=((0, 100, 1), (0, 99, 1))), "not in ascending order"),
        (body(1, [7, 8], steps=2, refreshes=((0, 9, 1), (1, 8, 1), (1, 7, 1))), "3 refreshes in 2 steps"),
        (body(2, [7, 7], steps=2, refreshes=((1, 100, 1),)), "positive and negative"),
    ],
)
def test_what_no_encoder_writes_is_malformed(content: bytes, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decoded(content)


def test_a_step_may_refine_one_side_or_both() -> None:
    for sides, indices, signs in ((1, [7], {7: 1}), (2, [7], {7: -1}), (3, [7, 8], {7: 1, 8: -1})):
        vector = decoded(body(sides, indices))
        assert {int(index): int(np.sign(vector[index])) for index in np.flatnonzero(vector)} == signs


def test_a_second_estimate_may_follow_the_first_at_once_and_1_over_lambda_falls_with_the_mean_then() -> None:
    log_ratio, n = Schedule.of(1 << 12, sides=2).log_ratio, 1 << 12
    mean, average = decode_minifloat(32_000), decode_minifloat(33_000)
    vector = decoded(body(3, [7, 8], code=33_000, steps=2, refreshes=((0, 32_000, 1),)))
    first = log_ratio * mean
    second = first * (n - log_ratio * (mean / average)) / n
    assert vector[[7, 8]] == pytest.approx([first, second], rel=1e-7)
    assert second / first == pytest.approx((n * average - first) / (n * average), rel=1e-12)  # as Σ|u| falls


def test_an_index_beyond_the_model_is_malformed() -> None:
    smaller = Layout.of({"w": np.zeros(4000, np.float32)})
    with pytest.raises(MalformedMessage, match="index 4050 in a model of 4000"):
        decoded(body(3, [7, 4050]), smaller)
