"""The range coder: symbols come back, in hardly more bytes than ideal, and none is wrong in a truncated message."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.entropy.integers import decode_bits, decode_uint, encode_bits, encode_uint
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder

Symbol = tuple[int, int, int]  # start, size, total


@st.composite
def symbols(draw: st.DrawFn, max_size: int = 60) -> list[Symbol]:
    found = []
    for _ in range(draw(st.integers(0, max_size))):
        total_freq = draw(st.integers(1, 2 ** draw(st.integers(0, 30))))
        cum_freq = draw(st.integers(0, total_freq - 1))
        found.append((cum_freq, draw(st.integers(1, total_freq - cum_freq)), total_freq))
    return found


def message_of(given: list[Symbol]) -> bytes:
    encoder = RangeEncoder(8 * len(given) + 16)
    for cum_freq, freq, total_freq in given:
        encoder.encode(cum_freq, freq, total_freq)
    return encoder.finish()


def read(data: bytes, expected: list[Symbol]) -> int:
    """How many symbols the bytes determine; all of them must be the right ones."""
    decoder = RangeDecoder(data)
    for number, (cum_freq, freq, total_freq) in enumerate(expected):
        point = decoder.decode_target(total_freq)
        below, above = point < cum_freq, point >= cum_freq + freq  # the message points at another symbol
        first, last = (
            (0, cum_freq) if below else (cum_freq + freq, total_freq) if above else (cum_freq, cum_freq + freq)
        )
        decoder.decode_update(first, last - first, total_freq)
        if decoder.exhausted():
            return number
        assert cum_freq <= point < cum_freq + freq
    return len(expected)


@given(symbols())
def test_symbols_come_back(given: list[Symbol]) -> None:
    assert read(message_of(given), given) == len(given)


@given(symbols(), st.data())
def test_a_truncated_message_gives_fewer_symbols_and_no_wrong_ones(given: list[Symbol], data: st.DataObject) -> None:
    message = message_of(given)
    read_counts = [read(message[:length], given) for length in range(len(message) + 1)]
    assert read_counts == sorted(read_counts)


@given(st.lists(st.tuples(st.integers(1, 4096), st.integers(1, 4096), st.booleans()), max_size=60))
def test_a_flag_is_what_its_target_and_update_say_in_every_truncated_message(
    given: list[tuple[int, int, bool]],
) -> None:
    message = message_of([(zeros if flag else 0, ones if flag else zeros, zeros + ones) for zeros, ones, flag in given])
    for length in range(len(message) + 1):
        one, two = RangeDecoder(message[:length]), RangeDecoder(message[:length])
        for zeros, ones, flag in given:
            found, expected = one.decode_flag(zeros, zeros + ones), two.decode_target(zeros + ones) >= zeros
            two.decode_update(zeros if expected else 0, ones if expected else zeros, zeros + ones)
            assert one.exhausted() == two.exhausted()
            if one.exhausted():
                break
            assert found == expected == flag
            assert one.bits_read() == two.bits_read()


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
    small, large = RangeEncoder(3), RangeEncoder(100)
    for value in range(40):
        for encoder in (small, large):
            encode_bits(encoder, value, 8)
    assert small.length() == large.length()
    assert small.length() in (40, 41)
    assert small.finish() == large.finish()[:3]


@given(symbols(), symbols())
def test_a_copy_goes_on_by_itself(first: list[Symbol], second: list[Symbol]) -> None:
    encoder = RangeEncoder(8 * len(first + second) + 16)
    for symbol in first:
        encoder.encode(*symbol)
    copy = encoder.copy()
    for symbol in second:
        copy.encode(*symbol)
    assert encoder.finish() == message_of(first)
    assert copy.finish() == message_of(first + second)


@given(st.lists(st.integers(0, 2**24 - 1), max_size=40))
def test_integers_and_bits_come_back(values: list[int]) -> None:
    encoder = RangeEncoder(400)
    for value in values:
        encode_uint(encoder, value)
        encode_bits(encoder, value, 24)
    decoder = RangeDecoder(encoder.finish())
    for value in values:
        assert decode_uint(decoder) == value
        assert decode_bits(decoder, 24) == value
    assert not decoder.exhausted()


def test_carries_run_through_any_number_of_bytes() -> None:
    almost = [(2**30 - 1, 1, 2**30)] * 30
    for last in ((0, 1, 3), (2, 1, 3)):
        assert read(message_of([*almost, last]), [*almost, last]) == 31
