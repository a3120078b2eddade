"""Targets: the readers of a range coder's symbols. What they decode is encoded anew, and has to come back."""

from __future__ import annotations

import struct

import numpy as np

from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.changed_values import ChangedValues
from surp_fl.entropy.integers import decode_bits, decode_uint, encode_bits, encode_uint
from surp_fl.entropy.minifloat import (
    MAX_CODE,
    decode_finite,
    decode_minifloat,
    encode_minifloat,
    encode_on_average,
    to_code,
)
from surp_fl.entropy.range_coder import MAX_TOTAL_FREQ, RangeDecoder, RangeEncoder
from surp_fl.entropy.signed_levels import SignedLevels
from tests.fuzz.targets.target import Fields, Target, numbers

_MOST = 512  # symbols of an input: a symbol without information takes no bytes
_LIMIT = 1 << 33  # of an adaptive integer


def range_coder(data: bytes) -> None:
    """Symbols of up to four alphabets in turn, each of intervals of one width; every symbol costs work."""
    fields = Fields(data)
    totals = [1 + fields.number(4) % MAX_TOTAL_FREQ for _ in range(1 + fields.number(1) % 4)]
    width, work, message = 1 + fields.number(2), fields.number(3), fields.rest()
    symbols, decoder = _symbols_of(message, totals, width, work)
    encoder = RangeEncoder(len(message) + 8)
    encoder.grant(0)
    for start, frequency, total in symbols:
        encoder.spend(work)
        encoder.encode(start, frequency, total)
    assert not encoder.overdrawn, "the encoder's account has less credit than the decoder's"
    if not symbols:
        return
    length = encoder.length()
    encoded = encoder.finish()
    assert len(encoded) == length <= len(message), "the encoder takes more bytes than some bytes with the same symbols"
    again, follower = _symbols_of(encoded, totals, width, work, len(symbols))
    assert again == symbols, "other symbols come back"
    assert follower.fully_consumed(), "the encoder's last byte tells nothing"
    assert decoder.exhausted() or len(symbols) == _MOST


def _symbols_of(
    message: bytes, totals: list[int], width: int, work: int, most: int = _MOST
) -> tuple[list[tuple[int, int, int]], RangeDecoder]:
    decoder, symbols = RangeDecoder(message), list[tuple[int, int, int]]()
    decoder.grant(0)
    while len(symbols) < most:
        total = totals[len(symbols) % len(totals)]
        decoder.spend(work)
        target = decoder.decode_target(total)
        assert 0 <= target < total, "a target beyond the alphabet"
        start = target - target % width
        frequency = min(width, total - start)
        decoder.decode_update(start, frequency, total)
        if decoder.exhausted():
            break
        symbols.append((start, frequency, total))
    return symbols, decoder


def integers(data: bytes) -> None:
    """Numbers of a fixed width and numbers with their length in front, in turn."""
    fields = Fields(data)
    width, message = fields.number(1) % 25, fields.rest()
    decoder, encoder, found = RangeDecoder(message), RangeEncoder(len(message) + 8), list[tuple[int, int]]()
    while len(found) < _MOST:
        pair = decode_bits(decoder, width), decode_uint(decoder)
        if decoder.exhausted() or pair[1] < 0:
            break
        assert pair[0] >> width == pair[1] >> 24 == 0, f"{pair} from {width} and 24 bits"
        encode_bits(encoder, pair[0], width)
        encode_uint(encoder, pair[1])
        found.append(pair)
    again = RangeDecoder(encoder.finish())
    assert [(decode_bits(again, width), decode_uint(again)) for _ in found] == found, "other numbers come back"


def adaptive_integer(data: bytes) -> None:
    """Numbers of one adaptive model."""
    fields = Fields(data)
    depth, message = fields.number(1) % 7, fields.rest()
    decoder, encoder, found = RangeDecoder(message), RangeEncoder(len(message) + 8), list[int]()
    reader, writer, follower = (AdaptiveInteger(depth) for _ in range(3))
    while len(found) < _MOST:
        value = reader.decode(decoder)
        if decoder.exhausted():
            break
        assert 0 <= value < _LIMIT, f"{value} is beyond the model"
        writer.encode(encoder, value)
        found.append(value)
    again = RangeDecoder(encoder.finish())
    assert [follower.decode(again) for _ in found] == found, "other numbers come back"


def signed_levels(data: bytes) -> None:
    """Levels of a vector of up to 256 coordinates."""
    fields = Fields(data)
    most, size, message = 1 + fields.number(2) % 32_767, 1 + fields.number(1), fields.rest()
    levels = np.zeros(size, np.int16)
    if not SignedLevels(most).decode(RangeDecoder(message), levels):
        return
    assert np.abs(levels.astype(np.int64)).max() <= most, "a level beyond the largest"
    encoder, again = RangeEncoder(len(message) + 8), np.zeros(size, np.int16)
    SignedLevels(most).encode(encoder, levels)
    encoded = encoder.finish()
    assert len(encoded) <= len(message), "the encoder takes more bytes than some bytes with the same levels"
    assert SignedLevels(most).decode(RangeDecoder(encoded), again), "what is encoded anew ends too early"
    assert np.array_equal(again, levels), "other levels come back"


def changed_values(data: bytes) -> None:
    """Up to 64 changes of a vector of any size."""
    fields = Fields(data)
    size, count, message = fields.number(4), 1 + fields.number(1) % 64, fields.rest()
    found = np.empty((3, count), np.int64)
    if not ChangedValues().decode(RangeDecoder(message), size, *found):
        return
    places, steps, corrections = found
    assert (np.diff(places, prepend=-1, append=size) > 0).all(), "places that no vector has"
    assert not (found[1:] >> 33).any(), "a number beyond the model"
    encoder, again = RangeEncoder(len(message) + 8), np.empty((3, count), np.int64)
    ChangedValues().encode(encoder, np.diff(places, prepend=-1) - 1, steps, corrections)
    assert ChangedValues().decode(RangeDecoder(encoder.finish()), size, *again), "what is encoded anew ends too early"
    assert np.array_equal(again, found), "other changes come back"


def minifloat(data: bytes) -> None:
    """A code, and any float64."""
    code, value = Fields(data).number(2), struct.unpack("<d", data[2:10].ljust(8, b"\0"))[0]
    decoded = decode_minifloat(code)
    assert encode_minifloat(decoded) == to_code(decoded, True) == code, "a code's number has another code"
    assert 0 <= decode_finite(code) <= np.finfo(np.float32).max, "no finite float32"
    nearest, below = encode_minifloat(value), to_code(value, True)
    assert 0 <= below <= nearest <= min(below + 1, MAX_CODE), "the code below is not that below the nearest"
    assert not value >= decode_minifloat(1) or decode_minifloat(below) <= value, "the code below has a number above"
    assert below <= encode_on_average(value, np.random.default_rng(0)) <= below + 1, "a code that is not next to it"


def _coded(*values: int) -> bytes:
    encoder, model = RangeEncoder(256), AdaptiveInteger(3)
    for value in values:
        model.encode(encoder, value)
    return encoder.finish()


def _levels() -> bytes:
    encoder = RangeEncoder(64)
    SignedLevels(9).encode(encoder, np.array([0, 0, 3, -1, 0, 9, 0, 0, 0, -2, 0], np.int16))
    return numbers(2, 8) + numbers(1, 10) + encoder.finish()


def _changes() -> bytes:
    encoder = RangeEncoder(64)
    ChangedValues().encode(encoder, *np.array([[5, 0, 300], [1, 2, 70_000], [0, 3, 0]]))
    return numbers(4, 1000) + numbers(1, 2) + encoder.finish()


TARGETS = (
    Target(
        range_coder, "RangeDecoder", lambda: [numbers(1, 1) + numbers(4, 9, 999) + bytes(5) + bytes(range(99, 130))]
    ),
    Target(integers, "decode_uint", lambda: [bytes([width, *range(60, 99)]) for width in (0, 1, 7, 24)]),
    Target(adaptive_integer, "AdaptiveInteger", lambda: [b"\3" + _coded(5, 5, 0, 1, 70_000, _LIMIT - 1, 5)]),
    Target(signed_levels, "SignedLevels", lambda: [_levels()], 160),
    Target(changed_values, "ChangedValues", lambda: [_changes()], 160),
    Target(minifloat, "decode_minifloat", lambda: [bytes(10), struct.pack("<Hd", 0x8000, 1.0)], 10),
)
