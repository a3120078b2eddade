"""A part of `python -m tests.fuzz.messages`."""

import pytest

from tests.fuzz.messages import fuzz

pytestmark = pytest.mark.slow


def test_twenty_thousand_damaged_and_invented_messages_raise_malformed_message_or_decode() -> None:
    seen = fuzz(20_000, seed=1)
    assert seen["malformed"] > 10_000
    assert seen["decoded"] > 1_000
