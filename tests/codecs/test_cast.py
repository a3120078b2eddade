"""Casts round to the nearest number of their dtype, as NumPy and hand-worked numbers have it."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import Cast, Layout, MalformedMessage
from surp_fl.codecs.coded_levels import write_levels
from tests.schemes import body_of, decode_body, through

HAND = np.array([1 + 2**-11, 1 + 3 * 2**-11, -65519, 1e30, 2**-25, 2**-24, -np.pi], np.float32)
ARRAYS = {"w": np.array([[1.0, -2.0], [0.0, 0.75]], np.float32), "b": np.array([-127.0, 63.4], np.float32)}
LAYOUT = Layout.of(ARRAYS)
INT8 = Cast("int8")


def test_fp16_rounds_to_nearest_and_stays_finite() -> None:
    """Ties go to even; what is beyond the largest number becomes that one, and half of the smallest becomes 0."""
    np.testing.assert_array_equal(through(Cast("fp16"), HAND), [1, 1 + 2**-9, -65504, 65504, 0, 2**-24, -3.140625])
    vector = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    np.testing.assert_array_equal(through(Cast("fp16"), vector), vector.astype(np.float16).astype(np.float32))


def test_bf16_rounds_to_nearest_and_stays_finite() -> None:
    vector = np.array([1 + 2**-8, 1 + 3 * 2**-8, -np.pi, np.finfo(np.float32).max], np.float32)
    np.testing.assert_array_equal(
        through(Cast("bf16"), vector), np.array([1, 1 + 2**-6, -3.140625, (2 - 2**-7) * 2.0**127], np.float32)
    )


def test_bf16_rounds_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    vector = np.random.default_rng(0).standard_cauchy(1000).astype(np.float32)
    rounded = torch.from_numpy(vector).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(through(Cast("bf16"), vector), rounded)


def test_int8_has_127_levels_of_each_arrays_largest_magnitude() -> None:
    """In units of 2/127: 63.5 goes to the even 64, and 47.6 to 48. In units of 1: 63.4 goes to 63."""
    sent = through(INT8, LAYOUT.flatten(ARRAYS), LAYOUT)
    np.testing.assert_array_equal(sent, np.array([64 * 2 / 127, -2, 0, 48 * 2 / 127, -127, 63], np.float32))


def test_casts_take_fewer_bits_than_their_dtypes_have() -> None:
    vector = np.random.default_rng(0).laplace(size=10_000).astype(np.float32)
    layout = Layout.of({"w": vector})
    for dtype, bits in (("fp16", 14.2), ("bf16", 11.2), ("int8", 6)):
        assert 8 * len(body_of(Cast(dtype), vector, layout)) < bits * 10_000


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_every_number_of_16_bits_comes_back(dtype: str) -> None:
    codes = np.arange(1 << 16, dtype=np.uint16)
    vector = codes.view(np.float16).astype(np.float32) if dtype == "fp16" else (codes.astype("u4") << 16).view("f4")
    finite = vector[np.isfinite(vector)]
    for part in (finite, finite[np.abs(finite) < 1e-4], finite[:1]):
        np.testing.assert_array_equal(through(Cast(dtype), part), part)


FP16_BODY = body_of(Cast("fp16"), LAYOUT.flatten(ARRAYS), LAYOUT)
INT8_BODY = body_of(INT8, LAYOUT.flatten(ARRAYS), LAYOUT)


LEVELS_FROM_TWO = write_levels(np.array([3, 0, 0, 2, -3, 0], np.int16), 0x57F0)


def int8_with(scales: list[float], levels: bytes = INT8_BODY[9:]) -> bytes:
    return INT8_BODY[:1] + np.array(scales, "<f4").tobytes() + levels


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "none of the dtypes"),
        (b"\3" + INT8_BODY[1:], "none of the dtypes"),
        (INT8_BODY[:8], "2 scales take 8"),
        (INT8_BODY[:-1], "do not hold 6 levels"),
        (INT8_BODY + b"\0", "after the end"),
        (int8_with([-2, 127]), "negative or not finite"),
        (int8_with([0, 127]), "without a scale"),
        (int8_with([2, 127], body_of(INT8, np.zeros(6, np.float32), LAYOUT)[9:]), "not that of its scale"),
        (FP16_BODY[:2], "a largest code of 240 and 1 bytes"),
        (b"\0\xff\x7f" + FP16_BODY[3:], "a largest code of 32767"),
        (b"\0\0\0" + FP16_BODY[3:], "a largest code of 0"),
        (FP16_BODY[:-1], "do not hold 6 levels"),
        (FP16_BODY + b"\0", "after the end"),
        (b"\0\xf0\x57" + LEVELS_FROM_TWO, "that no coordinate has"),
        (b"\0\x00\x7c" + FP16_BODY[3:], "NaN or infinity"),
    ],
)
def test_bodies_that_no_encoder_writes_are_malformed(body: bytes, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode_body(Cast("fp16"), body, LAYOUT)


def test_int8_levels_that_do_not_reach_the_scale_are_malformed() -> None:
    layout = Layout.of({"w": np.ones(1, np.float32)})
    levels = body_of(INT8, np.ones(1, np.float32), layout)[5:]
    for changed in range(256):
        body = b"\2" + np.array([1], "<f4").tobytes() + bytes([changed]) + levels[1:]
        try:
            assert abs(decode_body(INT8, body, layout)[0]) == 1
        except MalformedMessage:
            continue


def test_another_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of fp16, bf16, int8"):
        Cast("float16")
