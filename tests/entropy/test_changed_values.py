"""The loops of a merged change: what is cut or lies outside of the vector is noticed, without sections around it."""

from __future__ import annotations

import numpy as np

from surp_fl.entropy.changed_values import ChangedValues
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Integers

GAPS = np.array([0, 3, 0, 0, 70, 5], np.int64)
STEPS = np.array([4, 4, 9, 4, 1 << 20, 4], np.int64)
CORRECTIONS = np.array([0, 1, 0, 0, 7, 2], np.int64)
PLACES = np.cumsum(GAPS + 1) - 1


def encoded() -> bytes:
    encoder = RangeEncoder(256)
    ChangedValues().encode(encoder, GAPS, STEPS, CORRECTIONS)
    return encoder.finish()


def decode(message: bytes, size: int) -> tuple[bool, list[Integers]]:
    found = [np.empty(len(GAPS), np.int64) for _ in range(3)]
    return bool(ChangedValues().decode(RangeDecoder(message), size, *found)), found


def test_changes_come_back_where_the_last_one_is_the_vectors_last_value() -> None:
    valid, found = decode(encoded(), int(PLACES[-1]) + 1)
    assert valid
    assert [each.tolist() for each in found] == [PLACES.tolist(), STEPS.tolist(), CORRECTIONS.tolist()]


def test_a_place_behind_the_vector_is_refused() -> None:
    assert not decode(encoded(), int(PLACES[-1]))[0]


def test_every_cut_message_is_refused() -> None:
    message = encoded()
    assert not any(decode(message[:end], 1000)[0] for end in range(len(message)))
