"""Messages that are truncated on their way: valid at every length, and the longer, the better."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl import Dense, Layout, MalformedMessage, SuRP, truncate
from surp_fl.codecs.surp.decoder import read
from surp_fl.codecs.surp.encoder import write_body
from surp_fl.updates import as_vector
from tests.vectors import AWKWARD, Vector, layout_for, vectors

RNG = np.random.default_rng(0)


def error_of(vector: Vector, message: bytes, layout: Layout) -> float:
    decoded = SuRP(budget=218).codec.decode(message, layout)
    return float(np.square(vector.astype(float) - decoded).sum())


@pytest.mark.compiled
@settings(max_examples=40)
@given(vector=vectors(max_size=800), progressive=st.booleans())
def test_every_length_is_a_message_and_more_is_never_worse(vector: Vector, progressive: bool) -> None:
    layout = layout_for(vector)
    message = SuRP(budget=400, progressive=progressive).codec.encode(vector, layout, rng=RNG)
    errors = [error_of(vector, truncate(message, length), layout) for length in range(5, len(message) + 1)]
    limit = 1e-6 * float(np.square(vector.astype(float)).sum())  # of float32's rounding
    assert all(after <= before + limit for before, after in pairwise(errors))


def test_a_cut_message_has_the_length_asked_for() -> None:
    vector = AWKWARD["heavy tail"]
    message = SuRP(budget=1000).codec.encode(vector, layout_for(vector), rng=RNG)
    assert len(message) > 990
    for length in (5, 100, 989, 990):
        assert len(truncate(message, length)) == length
    assert truncate(message, 5000) == message


def test_cutting_twice_is_cutting_once() -> None:
    vector = AWKWARD["heavy tail"]
    message = SuRP(budget=1000).codec.encode(vector, layout_for(vector), rng=RNG)
    assert truncate(truncate(message, 500), 100) == truncate(message, 100)


def test_a_damaged_message_is_still_damaged_when_cut() -> None:
    vector = AWKWARD["heavy tail"]
    layout = layout_for(vector)
    message = bytearray(SuRP(budget=1000).codec.encode(vector, layout, rng=RNG))
    for where in (2, 50, 900):
        damaged = bytearray(message)
        damaged[where] ^= 1
        with pytest.raises(MalformedMessage):
            SuRP(budget=1000).codec.decode(truncate(bytes(damaged), 200), layout)


def test_a_progressive_message_cut_is_about_as_good_as_one_made_for_the_length() -> None:
    """At most 5 % of the bytes are lost at truncation points, 20 % between, where both tell groups of coordinates."""
    rng = np.random.default_rng(1)
    arrays = {"small": rng.standard_t(4, size=(10, 50)), "large": 0.5 * rng.standard_t(4, size=(200, 100))}
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays)
    message = SuRP(budget=2000, progressive=True).codec.encode(vector, layout, rng=RNG)
    for length, kept in ((100, 0.95), (218, 0.8), (500, 0.95), (1000, 0.8), (2000, 0.95)):
        made = as_vector(
            read(write_body(vector, layout, None, round(kept * length), progressive=False), layout, None), layout.size
        )
        assert error_of(vector, truncate(message, length), layout) <= float(
            np.square(vector.astype(float) - made).sum()
        )


def test_schemes_that_cannot_be_cut_say_so() -> None:
    vector = AWKWARD["heavy tail"]
    message = Dense().codec.encode(vector, layout_for(vector), rng=RNG)
    with pytest.raises(ValueError, match="'dense' message cannot be cut"):
        truncate(message, 100)


def test_nothing_but_a_frame_is_no_message() -> None:
    vector = AWKWARD["heavy tail"]
    message = SuRP(budget=100).codec.encode(vector, layout_for(vector), rng=RNG)
    with pytest.raises(ValueError, match="keep at least 5"):
        truncate(message, 4)
