"""Replies to messages of earlier rounds are known by the message that they name; no other reply is taken for one."""

from __future__ import annotations

import pytest
from flwr.app import Message, RecordDict

from surp_fl.flower.versions import address
from surp_fl.strategies import node_registry
from surp_fl.strategies.node_registry import NodeRegistry
from surp_fl.testing import as_server


def sent(name: str) -> Message:
    message = Message(RecordDict(), 1, "train")
    address(message, name)
    return message


def answered(*rounds: str) -> list[bool]:
    """Whether the reply to each round's message is late once all are begun; two of the same name may be."""
    registry = NodeRegistry(0)
    with as_server():
        messages = [sent(name) for name in rounds]
        for message in messages:
            registry.begin_round({}, [message])
        return [registry.is_late(Message(RecordDict(), reply_to=message)) for message in messages]


def test_replies_to_earlier_rounds_are_late() -> None:
    assert answered("a", "b", "c") == [True, True, False]


def test_a_grid_that_names_messages_alike_in_each_round_has_no_late_replies() -> None:
    assert answered("a", "b", "a") == [False, True, False]


def test_a_reply_to_a_message_that_the_strategy_did_not_send_is_not_late() -> None:
    registry = NodeRegistry(0)
    with as_server():
        registry.begin_round({}, [sent("a")])
        registry.begin_round({}, [sent("b")])
        assert not registry.is_late(Message(RecordDict(), reply_to=sent("of another strategy")))


def test_no_more_messages_than_a_limit_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_registry, "_MOST_EARLIER", 3)
    assert answered("a", "b", "c", "d", "e") == [False, True, True, True, False]
