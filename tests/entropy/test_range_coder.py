"""The range coder: what goes in comes out, in hardly more bytes than it must, and a cut message tells no lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.entropy.range_coder import (
    decode_bits,
    decode_count,
    encode,
    encode_bits,
    encode_count,
    ended,
    finish,
    new_decoder,
    new_encoder,
    peek,
    take,
)

Symbol = tuple[int, int, int]  # start, size, total


@st.composite
def symbols(draw: st.DrawFn, max_size: int = 60) -> list[Symbol]:
    found = []
    for _ in range(draw(st.integers(0, max_size))):
        total = draw(st.integers(1, 2 ** draw(st.integers(0, 30))))
        start = draw(st.integers(0, total - 1))
        found.append((start, draw(st.integers(1, total - start)), total))
    return found


def written(given: list[Symbol]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    state, out = new_encoder(), np.zeros(8 * len(given) + 16, np.uint8)
    for start, size, total in given:
        encode(state, out, start, size, total)
    return out[: finish(state, out)]


def read(data: np.ndarray[tuple[int], np.dtype[np.uint8]], expected: list[Symbol]) -> int:
    """How many symbols the bytes tell; all of them must be the right ones."""
    state = new_decoder(data)
    for number, (start, size, total) in enumerate(expected):
        point = peek(state, total)
        below, above = point < start, point >= start + size  # the message points at another symbol
        first, last = (0, start) if below else (start + size, total) if above else (start, start + size)
        take(state, data, first, last - first, total)
        if ended(state):
            return number
        assert start <= point < start + size
    return len(expected)


@given(symbols())
def test_symbols_come_back(given: list[Symbol]) -> None:
    assert read(written(given), given) == len(given)


@given(symbols(), st.data())
def test_a_cut_message_tells_fewer_symbols_and_no_wrong_ones(given: list[Symbol], data: st.DataObject) -> None:
    message = written(given)
    told = [read(message[:length].copy(), given) for length in range(len(message) + 1)]
    assert told == sorted(told)


@pytest.mark.parametrize(("count", "excess"), [(400, 0.01), (40_000, 0.002)])  # about 200 bytes and 20 kB
@pytest.mark.parametrize("seed", range(5))
def test_messages_are_hardly_longer_than_ideal(count: int, excess: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    given: list[Symbol] = []
    bits = 0.0
    for _ in range(count):
        total = int(rng.integers(2, 1 << 24))
        cut = int(rng.integers(1, total))
        start, size = (0, cut) if rng.random() < cut / total else (cut, total - cut)
        given.append((start, size, total))
        bits -= math.log2(size / total)
    scale = 4 * count / bits  # a symbol has fewer than 4 bits: lengthen until the size is reached
    while scale > 1:
        given += given[: len(given) // 2]
        scale /= 1.5
    bits = -sum(math.log2(size / total) for _, size, total in given)
    assert len(written(given)) <= math.ceil(bits / 8 * (1 + excess)) + (1 if count < 1000 else 0)


def test_room_is_respected_and_the_full_length_told() -> None:
    state, small = new_encoder(), np.zeros(3, np.uint8)
    other, large = new_encoder(), np.zeros(100, np.uint8)
    for value in range(40):
        for coder, out in ((state, small), (other, large)):
            encode_bits(coder, out, value, 8)
    length = finish(state, small)
    assert length == finish(other, large)
    assert length in (40, 41)
    np.testing.assert_array_equal(small, large[:3])


@given(st.lists(st.integers(0, 2**24 - 1), max_size=40))
def test_counts_and_bits_come_back(values: list[int]) -> None:
    state, out = new_encoder(), np.zeros(400, np.uint8)
    for value in values:
        encode_count(state, out, value)
        encode_bits(state, out, value, 24)
    data = out[: finish(state, out)]
    decoder = new_decoder(data)
    for value in values:
        assert decode_count(decoder, data) == value
        assert decode_bits(decoder, data, 24) == value
    assert not ended(decoder)


def test_carries_run_through_any_number_of_bytes() -> None:
    almost = [(2**30 - 1, 1, 2**30)] * 30
    for last in ((0, 1, 3), (2, 1, 3)):
        assert read(written([*almost, last]), [*almost, last]) == 31
