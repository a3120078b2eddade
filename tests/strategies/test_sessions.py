"""What a client keeps belongs to one run of one model, and a client that exploded once is not lost for ever."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, RecordDict
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import CompressUpdates, ErrorFeedback, NoMemory, SuRP, TopK
from surp_fl.flower.client_state import ServerDirectives, load, load_local_version, save, save_local_version
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.protocol import APPLIED, BUDGET, MODEL, NAME, ROUND, ROUNDS, SENT, SESSION
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.layout import Layout
from surp_fl.memory import MAX_RESIDUAL_RATIO, fault_of, norm_of
from surp_fl.strategies import DecodeUpdates, sessions
from surp_fl.strategies.sessions import SavedSession
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Arrays, app_with, fedavg, initial, learn, run


def renamed(arrays: Arrays) -> Arrays:
    return {f"other.{name}": array for name, array in arrays.items()}


def nothing(arrays: Arrays, node: int, server_round: int) -> Arrays:
    return arrays


class Phases:
    """Clients that learn, and then do not, over one set of states."""

    def __init__(self, strategy: DecodeUpdates) -> None:
        self.strategy = strategy
        self.learning: Any = learn
        self.grid: InProcessGrid | None = None

    def start(self, model: Arrays, strategy: DecodeUpdates | None = None) -> Arrays:
        app = app_with([CompressUpdates(SuRP(budget=100))], lambda *arguments: self.learning(*arguments))
        with as_server():
            grid = InProcessGrid(app, 3)
            if self.grid is not None:
                grid.contexts.update(self.grid.contexts)
            self.grid = grid
            result = (strategy or self.strategy).start(grid=grid, initial_arrays=record_of(model), num_rounds=3)
        return arrays_of(result.arrays)


def other_initial() -> Arrays:
    return {name: array + 1 if array.dtype.kind == "f" else array for name, array in initial().items()}


@pytest.mark.parametrize("made", [other_initial, lambda: renamed(initial())], ids=["other weights", "other names"])
@pytest.mark.parametrize("same_object", [True, False])
def test_a_start_with_another_model_discards_the_residuals_of_the_one_before(
    made: Any, same_object: bool, caplog: pytest.LogCaptureFixture
) -> None:
    phases = Phases(DecodeUpdates(fedavg(fraction_evaluate=0.0)))
    phases.start(initial())
    phases.learning = nothing
    another = None if same_object else DecodeUpdates(fedavg(fraction_evaluate=0.0))
    with caplog.at_level(logging.WARNING, "flwr"):
        logging.getLogger("flwr").propagate = True
        after = phases.start(made(), another)
    for name, array in made().items():
        np.testing.assert_array_equal(after[name], array)
    assert "memory is of another" in caplog.text


@pytest.mark.parametrize("same_object", [True, False])
def test_a_start_that_continues_the_model_of_the_one_before_keeps_residuals(
    same_object: bool, caplog: pytest.LogCaptureFixture
) -> None:
    phases = Phases(DecodeUpdates(fedavg(fraction_evaluate=0.0)))
    after = phases.start(initial())
    phases.learning = nothing
    another = None if same_object else DecodeUpdates(fedavg(fraction_evaluate=0.0))
    with caplog.at_level(logging.INFO, "flwr"):
        logging.getLogger("flwr").propagate = True
        later = phases.start(after, another)
    assert "memory is of another" not in caplog.text
    assert "is added back to the residual" not in caplog.text
    assert any(not np.array_equal(later[name], array) for name, array in after.items() if array.dtype.kind == "f")


def exploding(size: float) -> Any:
    def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
        if node == 1 and server_round == 2:
            return {
                name: array + array.dtype.type(size) if array.dtype.kind == "f" else array
                for name, array in arrays.items()
            }
        return learn(arrays, node, server_round)

    return learning


@pytest.mark.parametrize("size", [1e9, 1e19, 1e38])
def test_a_client_that_exploded_once_is_used_again(size: float, caplog: pytest.LogCaptureFixture) -> None:
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0))
    with caplog.at_level(logging.WARNING, "flwr"):
        logging.getLogger("flwr").propagate = True
        found = run(app_with([CompressUpdates(SuRP(budget=100))], exploding(size)), strategy, rounds=6)
    assert [traffic.failures for traffic in strategy.traffic] == [0, 1, 0, 0, 0, 0]
    assert "this client's training exploded before" in caplog.text
    for context in found.grid.contexts.values():
        assert norm_of(arrays_of(context.state.array_records[NAME])["residual"]) < 10
    assert all(np.abs(array).max() < 100 for array in found.models[-1].values() if array.dtype.kind == "f")


@given(st.floats(0, float(np.finfo(np.float32).max), width=32), st.integers(1, 100))
def test_norms_of_finite_vectors_are_finite(value: float, size: int) -> None:
    vector = np.full(size, value, np.float32)
    assert norm_of(vector) == pytest.approx(float(vector[0]) * np.sqrt(size), rel=1e-12)


def test_a_memory_is_at_fault_where_it_is_not_finite_or_out_of_all_proportion() -> None:
    residual = {"residual": np.full(4, 0.5 * MAX_RESIDUAL_RATIO, np.float32)}  # of norm MAX_RESIDUAL_RATIO
    assert fault_of(residual, 1.0) is None
    assert fault_of(residual, 0.99) is not None
    assert fault_of(residual, 0.0) is None  # a model of zeros with a zero update is no measure
    assert fault_of({"residual": np.array([np.nan], np.float32)}, 1.0) is not None
    assert fault_of({"velocity": np.array([np.inf], np.float32)}, 0.0) is not None
    assert fault_of({}, 1.0) is None


def test_a_round_without_memory_in_between_keeps_the_residual() -> None:
    """`CompressUpdates` may be given a scheme by round; one that remembers nothing leaves the others' memory alone."""
    schemes = [TopK(budget=100), TopK(budget=100, memory=NoMemory()), TopK(budget=100, memory=ErrorFeedback())]
    residual: list[Any] = []
    mod = CompressUpdates(lambda server_round: schemes[server_round - 1])

    def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
        return learn(arrays, node, server_round) if server_round == 1 else arrays

    def watching(message: Any, context: Any, call_next: Any) -> Any:
        reply = mod(message, context, call_next)
        if message.metadata.message_type == "train":
            residual.append(arrays_of(context.state.array_records[NAME])["residual"])
        return reply

    with as_server():
        grid = InProcessGrid(app_with([watching], learning), 1)
        inner = FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
        DecodeUpdates(inner).start(grid=grid, initial_arrays=record_of(initial()), num_rounds=3)
    np.testing.assert_array_equal(residual[1], residual[0])
    assert norm_of(residual[2]) < norm_of(residual[1])


# What is read off the context, and written there.

LAYOUT = Layout.of(initial())
RESIDUAL = np.arange(LAYOUT.size, dtype=np.float32)
MODEL_SENT = -RESIDUAL
SAID = (np.array([3, 600]), np.array([0.5, -2.0], np.float32))


def directives(
    turn: int = 2, session: int | None = 9, applied: int | None = 1, held: tuple[int, ...] = (1,)
) -> ServerDirectives:
    return ServerDirectives(turn, session, turn, held, applied, None)


def after_one_round(session: int | None = 9, residual: bool = True, model: Any = MODEL_SENT) -> Context:
    context = Context(1, 1, {}, RecordDict(), {})
    save(context, {"residual": RESIDUAL} if residual else {}, SAID, model, LAYOUT, directives(1, session))
    return context


def test_what_the_server_tells_is_read_off_all_configs_and_odd_entries_count_as_missing() -> None:
    ours: Any = {SESSION: 5, ROUND: 3, ROUNDS: [2, 1], APPLIED: 2}
    both = RecordDict({"config": ConfigRecord({"server-round": 7}), NAME: ConfigRecord(ours)})
    assert ServerDirectives.of(both) == ServerDirectives(7, 5, 3, (2, 1), 2, None)
    assert ServerDirectives.of(RecordDict({NAME: ConfigRecord(ours)})) == ServerDirectives(3, 5, 3, (2, 1), 2, None)
    assert ServerDirectives.of(RecordDict({NAME: ConfigRecord({SESSION: 5})})) == ServerDirectives(
        0, None, 0, (), None, None
    )
    odd = ConfigRecord({"server-round": True, ROUND: 4, SESSION: "five", APPLIED: 1.0})
    assert ServerDirectives.of(RecordDict({NAME: odd})) == ServerDirectives(4, None, 4, (), None, None)


@pytest.mark.parametrize("budget", [True, 1.5, "many", [100]])
def test_a_budget_that_is_no_whole_number_is_refused(budget: Any) -> None:
    configs: Any = {"a": ConfigRecord({BUDGET: budget}), "b": ConfigRecord({BUDGET: 100})}
    with pytest.raises(ValueError, match=r"has surp-fl:budget = .*; expected a whole number of bytes"):
        ServerDirectives.of(RecordDict(configs))


@pytest.mark.parametrize(("applied", "again"), [(0, True), (1, False), (2, False), (None, False)])
def test_a_message_is_added_back_to_the_residual_only_if_it_is_known_not_to_be_applied(
    applied: int | None, again: bool, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("flwr").propagate = True
    with caplog.at_level(logging.WARNING, "flwr"):
        kept = load(after_one_round(), LAYOUT, directives(applied=applied))
    residual = RESIDUAL.copy()
    residual[SAID[0]] += SAID[1] if again else 0
    np.testing.assert_array_equal(kept.memory["residual"], residual)
    assert ("Flower did not save the later one" in caplog.text) == (applied == 2)


def test_nothing_is_added_back_to_a_memory_without_a_residual() -> None:
    context = after_one_round()
    context.state[NAME] = record_of({"velocity": RESIDUAL})
    np.testing.assert_array_equal(load(context, LAYOUT, directives(applied=0)).memory["velocity"], RESIDUAL)


def test_the_model_before_is_used_where_the_server_has_it_too_in_the_same_run() -> None:
    for here in (directives(), directives(held=(3, 1))):
        model = load(after_one_round(), LAYOUT, here).model
        assert model is not None
        np.testing.assert_array_equal(model, MODEL_SENT)
    for elsewhere in (directives(held=()), directives(held=(2,)), directives(session=8), directives(session=None)):
        assert load(after_one_round(), LAYOUT, elsewhere).model is None


@pytest.mark.parametrize(("saved", "now", "kept"), [(9, 9, True), (9, 8, False), (9, None, False), (None, None, True)])
def test_a_memory_is_kept_within_one_run(saved: int | None, now: int | None, kept: bool) -> None:
    assert set(load(after_one_round(saved), LAYOUT, directives(session=now)).memory) == (
        {"residual"} if kept else set()
    )


def test_only_what_may_be_of_use_later_is_written() -> None:
    state = after_one_round().state
    assert set(state) == {NAME, SESSION, SENT, MODEL}
    stored = {SESSION: 9, "round": 1, "first": 1, "messages": 1, "fingerprint": LAYOUT.fingerprint}
    assert dict(state.config_records[SESSION]) == stored
    sent = arrays_of(state.array_records[SENT])
    assert [(name, array.dtype.name, array.tolist()) for name, array in sent.items()] == [
        ("indices", "int32", [3, 600]),
        ("values", "float32", [0.5, -2.0]),
    ]
    assert set(after_one_round(model=None).state) == {NAME, SESSION, SENT}
    assert set(after_one_round(residual=False).state) == {SESSION, MODEL}
    assert set(after_one_round(session=None).state) == {NAME, SESSION}


def test_what_is_of_no_more_use_is_removed() -> None:
    context = after_one_round()
    save(context, {}, SAID, None, LAYOUT, directives(2))
    assert set(context.state) == {SESSION}


@pytest.mark.parametrize(
    ("base", "is_the_model"), [(None, True), (digest_of(initial()), True), (b"another.", False)], ids=str
)
def test_the_local_version_stays_stored_as_the_reference_model_when_it_is_replaced(
    base: Any, is_the_model: bool
) -> None:
    first, second = initial(), other_initial()
    context = Context(1, 1, {}, RecordDict(), {})
    assert load_local_version(context) is None
    save_local_version(context, first, None, None)
    save(context, {}, SAID, LAYOUT.flatten(first), LAYOUT, directives(1), digest_of(first))
    assert MODEL not in context.state
    save_local_version(context, second, load_local_version(context), base)
    held = load_local_version(context)
    assert held is not None
    np.testing.assert_array_equal(held["weight"], second["weight"])
    assert (MODEL in context.state) == is_the_model
    if is_the_model:
        np.testing.assert_array_equal(context.state.array_records[MODEL]["model"].numpy(), LAYOUT.flatten(first))
        save_local_version(context, first, second, digest_of(first))  # no reference model
        np.testing.assert_array_equal(context.state.array_records[MODEL]["model"].numpy(), LAYOUT.flatten(first))


def test_a_second_start_from_the_same_model_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    phases = Phases(DecodeUpdates(fedavg(fraction_evaluate=0.0)))
    after = phases.start(initial())
    phases.learning = nothing
    phases.start(after, DecodeUpdates(fedavg(fraction_evaluate=0.0)))
    with caplog.at_level(logging.WARNING, "flwr"):
        logging.getLogger("flwr").propagate = True
        again = phases.start(after, DecodeUpdates(fedavg(fraction_evaluate=0.0)))
    assert "memory is of another run" in caplog.text
    for name, array in after.items():
        np.testing.assert_array_equal(again[name], array)


def test_ends_are_remembered_in_bounded_number_and_taken_up_once() -> None:
    for number in range(100):
        sessions.save_session(b"%d" % number, sessions.SavedSession(number, 1))
    assert sessions.resume(b"35") is None
    sessions.save_session(b"37", sessions.SavedSession(7, 2))  # of late again
    for number in range(100, 163):
        sessions.save_session(b"%d" % number, sessions.SavedSession(number, 1))
    assert sessions.resume(b"99") is None
    assert sessions.resume(b"37") == sessions.SavedSession(7, 2)
    assert sessions.resume(b"162") == sessions.SavedSession(162, 1)
    assert sessions.resume(b"162") is None


def test_a_saved_session_is_read_as_it_was() -> None:
    session = SavedSession(7, 3, {1 << 63: 2, 5: 0})
    assert SavedSession.from_bytes(session.to_bytes()) == session


@pytest.mark.parametrize(
    "saved", [b"", b"{}", b"[1, 2]", b"[1, 2, [[3]]]", b'["1", 2, []]', b"[1, 2, [[3, true]]]", b"[" * 9999]
)
def test_what_is_no_saved_session_is_refused_with_what_was_expected(saved: bytes) -> None:
    with pytest.raises(ValueError, match=r"no saved session: .*; give what saved_session"):
        DecodeUpdates(fedavg()).resume_session(saved, record_of(initial()))
