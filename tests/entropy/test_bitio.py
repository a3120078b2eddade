from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits, width_of

fields = st.lists(
    st.integers(0, 40).flatmap(lambda w: st.tuples(st.just(w), st.lists(st.integers(0, 2**w - 1), max_size=8)))
)


@given(fields, st.lists(st.integers(0, 2**35 - 1), max_size=5))
def test_values_come_back_in_order(written: list[tuple[int, list[int]]], counts: list[int]) -> None:
    bits = BitWriter()
    for width, values in written:
        bits.write(np.array(values, np.int64), width)
    for count in counts:
        bits.write_varint(count)
    reader = BitReader(bits.to_bytes())
    for width, values in written:
        assert reader.read(len(values), width).tolist() == values
    assert [reader.read_varint() for _ in counts] == counts
    reader.finish()


def test_bits_are_laid_most_significant_first() -> None:
    bits = BitWriter()
    bits.write(np.array([0b101, 0b011]), 3)
    bits.write_varint(300)
    assert bits.to_bytes() == bytes([0b10101110, 0b10110000, 0b00001000])


@pytest.mark.parametrize(("count", "width"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (431_080, 19)])
def test_width_is_the_ceiling_of_the_logarithm(count: int, width: int) -> None:
    assert width_of(count) == width


def test_reading_past_the_end_fails_before_memory_is_taken() -> None:
    with pytest.raises(MalformedBits, match="there are 16"):
        BitReader(b"ab").read(2**60, 40)


@pytest.mark.parametrize("body", [b"\x80\x00", b"\xff\xff\xff\xff\xff\x01", b"\x80"])
def test_counts_have_one_form(body: bytes) -> None:
    with pytest.raises(MalformedBits):
        BitReader(body).read_varint()


@pytest.mark.parametrize("tail", [b"\x01", b"\x00"])
def test_junk_after_the_last_field_is_refused(tail: bytes) -> None:
    reader = BitReader(b"\xff" + tail)
    reader.read(1, 8)
    with pytest.raises(MalformedBits, match="left over"):
        reader.finish()
