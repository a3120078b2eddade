from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import MalformedMessage
from surp_fl.frame import HEADER_BYTES, pack, scheme_id_of, unpack

bodies = st.binary(max_size=300)
fingerprints = st.integers(0, 2**32 - 1)


@given(st.integers(0, 31), bodies, fingerprints)
def test_a_body_comes_out_as_it_went_in(scheme_id: int, body: bytes, fingerprint: int) -> None:
    message = pack(scheme_id, body, fingerprint)
    assert len(message) == len(body) + HEADER_BYTES
    assert scheme_id_of(message) == scheme_id
    assert unpack(message, fingerprint) == body


def test_the_frame_costs_at_most_eight_bytes() -> None:
    assert HEADER_BYTES <= 8


def test_every_single_flipped_bit_is_caught() -> None:
    message = pack(1, bytes(range(256)) * 8, 7)
    for bit in range(8 * len(message)):
        damaged = bytearray(message)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MalformedMessage):
            unpack(bytes(damaged), 7)


def test_every_cut_and_every_extension_is_caught() -> None:
    message = pack(1, b"refined" * 20, 7)
    for length in range(len(message)):
        with pytest.raises(MalformedMessage):
            unpack(message[:length], 7)
    for tail in (b"\0", b"\0" * 40, b"x", message):
        with pytest.raises(MalformedMessage):
            unpack(message + tail, 7)


def test_a_message_for_another_model_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="other names or shapes"):
        unpack(pack(1, b"body", 7), 8)


def test_another_version_is_named() -> None:
    message = pack(1, b"body", 7)
    with pytest.raises(MalformedMessage, match="version 5; this library reads version 1"):
        unpack(bytes([5 << 5 | 1]) + message[1:], 7)


def test_a_scheme_id_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        pack(32, b"", 0)
