"""SBC as its authors write it: of each array the largest coordinates of one sign, and one mean for them."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import SBC, Layout, MalformedMessage
from surp_fl.entropy.bitio import BitWriter
from surp_fl.entropy.minifloat import encode_minifloat
from surp_fl.types import Floats, Vector
from tests.schemes import body_of, decode_body, through

HAND = np.array([0.5, -4.0, 0.0, 3.0, -0.25, 1.0, 2.0, -1.5], np.float32)
ARRAYS = {"w": HAND, "b": np.array([0.0, -1.0, 0.0, 0.0], np.float32)}
LAYOUT = Layout.of(ARRAYS)
VECTOR = LAYOUT.flatten(ARRAYS)
ONE = Layout.of({"w": HAND})


def algorithm_2(part: Vector, p: float) -> Floats:
    """The paper's listing, for arrays that have enough coordinates of each sign."""
    k = round(p * part.size)
    positive, negative = np.sort(part)[::-1][:k], np.sort(-part)[::-1][:k]  # val+ ← top_p%(ΔW), val− ← top_p%(−ΔW)
    if positive.mean() >= negative.mean():
        return np.where(part >= positive.min(), float(positive.mean()), 0.0)
    return np.where(-part >= negative.min(), -float(negative.mean()), 0.0)


def test_the_sign_with_the_larger_mean_is_kept_by_hand() -> None:
    """One of eight: 3 or −4. Two: (3 + 2)/2 or −(4 + 1.5)/2. Three: (3 + 2 + 1)/3 or −(4 + 1.5 + 0.25)/3."""
    for k, expected in (
        (1, [0, -4, 0, 0, 0, 0, 0, 0]),
        (2, [0, -2.75, 0, 0, 0, 0, 0, -2.75]),
        (3, [0, 0, 0, 2, 0, 2, 2, 0]),
    ):
        np.testing.assert_array_equal(through(SBC(sparsity=1 - k / 8), HAND, ONE), expected)


def test_it_is_the_papers_algorithm_2_of_each_array() -> None:
    rng = np.random.default_rng(0)
    arrays = {f"w{i}": rng.standard_t(3, size=size).astype(np.float32) for i, size in enumerate((400, 2000, 600))}
    layout = Layout.of(arrays)
    sent = through(SBC(sparsity=0.99), layout.flatten(arrays), layout)
    expected = np.concatenate([algorithm_2(array, 0.01) for array in arrays.values()])
    np.testing.assert_allclose(sent, expected, rtol=2**-8)  # magnitudes have 8 bits of mantissa
    assert np.count_nonzero(sent) == 4 + 20 + 6


def test_of_fewer_coordinates_than_wanted_all_are_sent_with_their_mean() -> None:
    """Four of eight, and two of four of which one is not 0: 0.5 + 3 + 1 + 2 against 4 + 0.25 + 1.5."""
    sent = through(SBC(sparsity=0.5), VECTOR, LAYOUT)
    mean = np.float32(1.625)
    np.testing.assert_array_equal(sent, [mean, 0, 0, mean, 0, mean, mean, 0, 0, -1, 0, 0])


def test_the_vector_may_be_one_part() -> None:
    sent = through(SBC(sparsity=1 - 2 / 12, per_array=False), VECTOR, LAYOUT)
    np.testing.assert_array_equal(sent, [0, -2.75, 0, 0, 0, 0, 0, -2.75, 0, 0, 0, 0])


def test_a_budget_that_holds_no_coordinate_of_any_array_is_for_the_whole_vector() -> None:
    arrays = {f"w{i}": np.full(3, i, np.float32) for i in range(100)}
    layout = Layout.of(arrays)
    found = np.flatnonzero(through(SBC(budget=16), layout.flatten(arrays), layout))
    assert found.size
    assert found.min() >= 300 - found.size - 2  # the largest, and of three equal ones the first


def body(*fields: tuple[int, int], varints: tuple[int, ...] = (1, 0), per_array: int = 1) -> bytes:
    bits = BitWriter()
    bits.write_one(per_array, 1)
    for varint in varints:
        bits.write_varint(varint)
    for value, width in fields:
        bits.write_one(value, width)
    return bits.to_bytes()


FOUR = encode_minifloat(4.0)


def test_the_body_is_that_of_the_specification() -> None:
    """One of eight: Rice parameter 2, so that index 1 is 0 01. The other array has no coordinates at p = 1/8."""
    assert body_of(SBC(budget=20), 10 * VECTOR[:0], Layout.of({"n": np.array([1])})) == b"\0"
    assert decode_body(SBC(40), body((1, 1), (FOUR, 16), (0b001, 3)), LAYOUT).tolist() == [0, -4] + [0] * 10
    assert body_of(SBC(sparsity=1 - 1 / 8), HAND, ONE) == body((1, 1), (FOUR, 16), (1, 3), varints=(1,), per_array=0)


@pytest.mark.parametrize(
    ("made", "layout", "says"),
    [
        (b"", LAYOUT, "ends at bit 1"),
        (body(varints=(9, 0)), LAYOUT, "9 indices in a part of 8"),
        (body(varints=(0, 0)), LAYOUT, "none of them has a coordinate"),
        (body(varints=(1,)), ONE, "there are not two"),
        (body(varints=(8, 4)), LAYOUT, "12 gaps; there are"),
        (body((1, 1), (0, 16), (1, 3)), LAYOUT, "a magnitude that no encoder writes"),
        (body((1, 1), (65535, 16), (1, 3)), LAYOUT, "a magnitude that no encoder writes"),
        (body((1, 1), (1, 16), (1, 3)), LAYOUT, "a magnitude that no encoder writes"),
        (body((1, 1), (FOUR, 16), (0b11000, 5)), LAYOUT, "index 8 in a model of 8"),
        (body((1, 1), (FOUR, 16), (1, 3)) + b"\0", LAYOUT, "bits left over"),
    ],
)
def test_bodies_that_no_encoder_writes_are_malformed(made: bytes, layout: Layout, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode_body(SBC(40), made, layout)


def test_every_magnitude_has_one_code() -> None:
    """Also the smallest ones, of which float32 has fewer than there are codes."""
    layout = Layout.of({"w": np.zeros(1, np.float32)})
    seen = set()
    for code in [*range(0, 20_000), *range(49_000, 65_536, 7)]:
        try:
            seen.add(
                value := decode_body(SBC(40), body((0, 1), (code, 16), (0, 1), varints=(1,), per_array=0), layout)[0]
            )
        except MalformedMessage:
            continue
        again = body_of(SBC(sparsity=0), np.array([value], np.float32), layout)
        assert again == body((0, 1), (code, 16), (0, 1), varints=(1,), per_array=0)
    assert len(seen) > 1000


@pytest.mark.parametrize("options", [{}, {"budget": 100, "sparsity": 0.5}, {"budget": 15}, {"sparsity": 1.0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"give one of the two|needs 16|such as"):
        SBC(**options)  # type: ignore[arg-type]
