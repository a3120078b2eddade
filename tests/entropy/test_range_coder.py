"""The range coder: symbols come back, in hardly more bytes than ideal, and none is wrong in a truncated message."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.entropy.integers import decode_bits, decode_uint, encode_bits, encode_uint
from surp_fl.entropy.range_coder import decode_target, decode_update, encode, exhausted, flush, new_decoder, new_encoder

Symbol = tuple[int, int, int]  # start, size, total


@st.composite
def symbols(draw: st.DrawFn, max_size: int = 60) -> list[Symbol]:
    found = []
    for _ in range(draw(st.integers(0, max_size))):
        total_freq = draw(st.integers(1, 2 ** draw(st.integers(0, 30))))
        cum_freq = draw(st.integers(0, total_freq - 1))
        found.append((cum_freq, draw(st.integers(1, total_freq - cum_freq)), total_freq))
    return found


def message_of(given: list[Symbol]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    state, out = new_encoder(), np.zeros(8 * len(given) + 16, np.uint8)
    for cum_freq, freq, total_freq in given:
        encode(state, out, cum_freq, freq, total_freq)
    return out[: flush(state, out)]


def read(data: np.ndarray[tuple[int], np.dtype[np.uint8]], expected: list[Symbol]) -> int:
    """How many symbols the bytes determine; all of them must be the right ones."""
    state = new_decoder(data)
    for number, (cum_freq, freq, total_freq) in enumerate(expected):
        point = decode_target(state, total_freq)
        below, above = point < cum_freq, point >= cum_freq + freq  # the message points at another symbol
        first, last = (
            (0, cum_freq) if below else (cum_freq + freq, total_freq) if above else (cum_freq, cum_freq + freq)
        )
        decode_update(state, data, first, last - first, total_freq)
        if exhausted(state):
            return number
        assert cum_freq <= point < cum_freq + freq
    return len(expected)


@given(symbols())
def test_symbols_come_back(given: list[Symbol]) -> None:
    assert read(message_of(given), given) == len(given)


@given(symbols(), st.data())
def test_a_truncated_message_gives_fewer_symbols_and_no_wrong_ones(given: list[Symbol], data: st.DataObject) -> None:
    message = message_of(given)
    read_counts = [read(message[:length].copy(), given) for length in range(len(message) + 1)]
    assert read_counts == sorted(read_counts)


@pytest.mark.parametrize(("count", "excess"), [(400, 0.01), (40_000, 0.002)])  # about 200 bytes and 20 kB
@pytest.mark.parametrize("seed", range(5))
def test_messages_are_hardly_longer_than_ideal(count: int, excess: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    given: list[Symbol] = []
    bits = 0.0
    for _ in range(count):
        total_freq = int(rng.integers(2, 1 << 24))
        cut = int(rng.integers(1, total_freq))
        cum_freq, freq = (0, cut) if rng.random() < cut / total_freq else (cut, total_freq - cut)
        given.append((cum_freq, freq, total_freq))
        bits -= math.log2(freq / total_freq)
    scale = 4 * count / bits  # a symbol has fewer than 4 bits: lengthen until the size is reached
    while scale > 1:
        given += given[: len(given) // 2]
        scale /= 1.5
    bits = -sum(math.log2(freq / total_freq) for _, freq, total_freq in given)
    assert len(message_of(given)) <= math.ceil(bits / 8 * (1 + excess)) + (1 if count < 1000 else 0)


def test_the_capacity_is_respected_and_the_full_length_given() -> None:
    state, small = new_encoder(), np.zeros(3, np.uint8)
    other, large = new_encoder(), np.zeros(100, np.uint8)
    for value in range(40):
        for coder, out in ((state, small), (other, large)):
            encode_bits(coder, out, value, 8)
    length = flush(state, small)
    assert length == flush(other, large)
    assert length in (40, 41)
    np.testing.assert_array_equal(small, large[:3])


@given(st.lists(st.integers(0, 2**24 - 1), max_size=40))
def test_integers_and_bits_come_back(values: list[int]) -> None:
    state, out = new_encoder(), np.zeros(400, np.uint8)
    for value in values:
        encode_uint(state, out, value)
        encode_bits(state, out, value, 24)
    data = out[: flush(state, out)]
    decoder = new_decoder(data)
    for value in values:
        assert decode_uint(decoder, data) == value
        assert decode_bits(decoder, data, 24) == value
    assert not exhausted(decoder)


def test_carries_run_through_any_number_of_bytes() -> None:
    almost = [(2**30 - 1, 1, 2**30)] * 30
    for last in ((0, 1, 3), (2, 1, 3)):
        assert read(message_of([*almost, last]), [*almost, last]) == 31
