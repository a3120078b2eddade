"""A message to a client may not ask for more work than a server ever does."""

from __future__ import annotations

import pytest
from flwr.app import ConfigRecord, RecordDict

from surp_fl import MalformedMessage
from surp_fl.flower.protocol import ARRAYS_NAME, BASES, DELTAS, MAX_DELTAS, NAME, VERSION
from surp_fl.flower.received_model import receive_model


def told(bases: object, deltas: object) -> RecordDict:
    entries = {VERSION: b"v", ARRAYS_NAME: "arrays", BASES: bases, DELTAS: deltas}
    return RecordDict({NAME: ConfigRecord({key: value for key, value in entries.items() if value is not None})})  # type: ignore[misc]


def test_more_deltas_than_a_server_sends_are_refused_before_one_is_applied() -> None:
    with pytest.raises(MalformedMessage, match="129 deltas; a client applies 128 at most"):
        receive_model(told([b"base"] * (MAX_DELTAS + 1), [b"delta"] * (MAX_DELTAS + 1)), None)


def test_deltas_that_are_no_list_are_refused_as_what_they_are() -> None:
    with pytest.raises(MalformedMessage, match="0 deltas, and messages of no list"):
        receive_model(told(None, 5), None)
