"""Short forms of the federations in which everything goes wrong, what the checker finds, and what the library lacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message
from flwr.serverapp.strategy import FedAvg

from surp_fl import STC, CompressUpdates, SuRP
from surp_fl.flower import client_state
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.strategies import DecodeUpdates, decode_updates
from surp_fl.strategies.directives import put_directives
from surp_fl.strategies.replies import parse_replies
from surp_fl.testing import InProcessGrid, as_server
from tests.chaos.federation import Federation
from tests.chaos.ledger import Broken
from tests.chaos.models import trained
from tests.chaos.settings import SETTINGS
from tests.chaos.troubles import BETWEEN, OF_MESSAGES, OF_THE_SERVER, Troubles
from tests.flower_app import app_with, initial


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Federations silence Flower's logger; afterwards it is as it was."""
    log = logging.getLogger("flwr")
    before = log.level
    yield
    log.setLevel(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed", "rounds"),
    [
        ("surp", 11, 30),
        ("surp, steps ahead", 12, 40),
        ("surp, batch normalization", 13, 15),
        ("surp, downlink", 14, 30),
        ("surp, downlink, initial", 15, 20),
        ("surp, lossless, initial", 16, 15),
        ("dgc", 17, 60),
        ("stc", 18, 60),
    ],
)
def test_what_is_applied_is_what_clients_believe_they_said_whatever_goes_wrong(
    name: str, seed: int, rounds: int
) -> None:
    federation = Federation(SETTINGS[name], rounds, seed)
    federation.run()
    assert federation.server_round == rounds
    assert sum(federation.troubles.happened.values()) - federation.troubles.happened["nothing"] > rounds // 2


def test_a_seed_gives_the_same_troubles_and_the_same_model() -> None:
    one, other = (Federation(SETTINGS["stc"], 12, 3) for _ in range(2))
    one.run()
    other.run()
    assert one.troubles.happened == other.troubles.happened
    np.testing.assert_array_equal(trained(one.model), trained(other.model))


def test_every_trouble_is_drawn() -> None:
    troubles = Troubles(0)
    for _ in range(1000):
        troubles.begin_round([1, 2], first=False)
        troubles.of_message(1)
        troubles.between(1)
        troubles.of_the_server()
    assert set(OF_MESSAGES) | set(BETWEEN) | set(OF_THE_SERVER) == set(troubles.happened)


def forgets_what_was_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_state, "add_to", lambda *arguments: None)


def applies_a_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(replies: list[Message], registry: Any, weight_key: str | None) -> Any:
        parsed, errors = parse_replies(replies, registry, weight_key)
        senders = [reply.metadata.src_node_id for reply in replies]
        return parsed + [each for each in parsed if senders.count(each.node) > 1], errors

    monkeypatch.setattr(decode_updates, "parse_replies", both)


def confirms_what_it_did_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    def confirm(message: Message, session: Any, *arguments: Any) -> None:
        session.registry.applied[message.metadata.dst_node_id] = session.round - 1
        put_directives(message, session, *arguments)

    monkeypatch.setattr(decode_updates, "put_directives", confirm)


@pytest.mark.parametrize(
    ("defect", "trouble", "finds"),
    [
        (forgets_what_was_not_applied, "reply lost", r"wanted = sent \+ residual does not hold"),
        (applies_a_duplicate, "twice", "the model is not the one before plus what clients"),
        (confirms_what_it_did_not_apply, "reply lost", r"wanted = sent \+ residual does not hold"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_the_checker_finds_a_defect(defect: Any, trouble: str, finds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calm = Federation(SETTINGS["stc"], 15, 1, frozenset({trouble}))
    calm.run()
    defect(monkeypatch)
    with pytest.raises(Broken, match=rf"(?s)seed 1, round \d+, after.*{trouble}.*{finds}"):
        Federation(SETTINGS["stc"], 15, 1, frozenset({trouble})).run()


class Late(InProcessGrid):
    """Gives the reply of node 1 to the second message again in place of that to the third."""

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
        replies = super().send_and_receive(messages)
        self.turn = getattr(self, "turn", 0) + bool(replies)
        if self.turn == 2 and replies:  # evaluations ask nobody
            self.late = [reply for reply in replies if reply.metadata.src_node_id == 1]
        return [each for each in replies if each.metadata.src_node_id != 1] + self.late if self.turn == 3 else replies


def failures_with_a_late_reply(scheme: Any) -> list[int | None]:
    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0))
    with as_server():
        grid = Late(app_with([CompressUpdates(scheme)]), 2)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=3)
    return [each.failures for each in strategy.traffic]


@pytest.mark.parametrize("scheme", [STC(budget=100), SuRP(budget=100)], ids=lambda each: type(each).__name__)
def test_a_late_reply_is_no_answer_to_a_later_round(scheme: Any) -> None:
    assert failures_with_a_late_reply(scheme) == [0, 0, 1]


def test_a_failure_in_the_middle_of_saving_leaves_the_state_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls = client_state.store_arrays, []

    def fails_once(context: Any, name: str, arrays: Any) -> None:
        if context.node_id == 1:
            calls.append(name)
            if calls.count("surp-fl:sent") == 2:
                calls.append("surp-fl:sent")
                raise MemoryError("no memory left for the message")
        store(context, name, arrays)

    monkeypatch.setattr(client_state, "store_arrays", fails_once)
    seen: list[Any] = []
    strategy = DecodeUpdates(FedAvg(fraction_evaluate=0.0))

    def look(server_round: int, record: ArrayRecord) -> None:
        if server_round:
            seen.append(arrays_of(grid.contexts[1].state.array_records["surp-fl"])["residual"])

    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(STC(budget=100))]), 2)
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=2, evaluate_fn=look)
    assert [each.failures for each in strategy.traffic] == [0, 1]
    np.testing.assert_array_equal(seen[1], seen[0])


class Stops(Exception):  # noqa: N818
    """A server is killed."""


@pytest.mark.parametrize("kept", ["model alone", "session", "process"])
def test_what_clients_owe_outlives_a_server_whose_session_is_known_again(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what docs/resuming.md saves; the clients learn nothing after that, and send what they owe, or nothing."""
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "resuming.md"
    names: dict[str, Any] = {}
    exec(page.read_text().split("```python\n")[1].split("```")[0], names)
    first: DecodeUpdates = names["strategy"]
    learning = [True]

    def save(server_round: int, record: ArrayRecord) -> None:
        names["save"](server_round, record)
        if server_round == 3:
            raise Stops

    def learn_at_first(arrays: Any, node: int, server_round: int) -> Any:
        if learning[0]:
            arrays["weight"] += np.random.default_rng([node, server_round]).normal(size=(30, 20)).astype(np.float32)
        return arrays

    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(SuRP(budget=100))], learn_at_first), 2)
        with pytest.raises(Stops):
            first.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=9, evaluate_fn=save)
        learning[0], model = False, arrays_of(names["last_model"]())
        if kept == "process":
            first.end()
        second = names["strategy"] = DecodeUpdates(FedAvg(fraction_evaluate=0.0))
        if kept == "session":
            names["resume"]()
        result = second.start(grid=grid, initial_arrays=names["last_model"](), num_rounds=1)
    moved = arrays_of(result.arrays)["weight"] - model["weight"]
    assert np.any(moved != 0) == (kept != "model alone")
