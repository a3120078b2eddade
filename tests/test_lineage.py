"""What a client keeps belongs to one run of one model, and a client that exploded once is not lost for ever."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st
from surp_fl.strategies import DecodeUpdates

from simulations.engine import InProcessGrid, as_server
from surp_fl import CompressUpdates, ErrorFeedback, NoMemory, SuRP, TopK
from surp_fl.memory import MOST_OWED, fault_of, norm_of
from surp_fl.record import NAME, arrays_of, record_of
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
def test_a_start_with_another_model_is_not_moved_by_what_clients_owed_to_the_one_before(
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


def test_a_start_that_goes_on_with_the_model_of_the_one_before_keeps_what_is_owed() -> None:
    phases = Phases(DecodeUpdates(fedavg(fraction_evaluate=0.0)))
    after = phases.start(initial())
    phases.learning = nothing
    later = phases.start(after)
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
    owed = {"residual": np.full(4, 0.5 * MOST_OWED, np.float32)}  # of norm MOST_OWED
    assert fault_of(owed, 1.0) is None
    assert fault_of(owed, 0.99) is not None
    assert fault_of(owed, 0.0) is None  # a model of zeros that learned nothing tells nothing
    assert fault_of({"residual": np.array([np.nan], np.float32)}, 1.0) is not None
    assert fault_of({"velocity": np.array([np.inf], np.float32)}, 0.0) is not None
    assert fault_of({}, 1.0) is None


def test_a_round_without_memory_in_between_keeps_what_is_owed() -> None:
    """`CompressUpdates` may be given a scheme by round; one that remembers nothing leaves the others' memory alone."""
    schemes = [TopK(budget=100), TopK(budget=100, memory=NoMemory()), TopK(budget=100, memory=ErrorFeedback())]
    owed: list[Any] = []
    mod = CompressUpdates(lambda server_round: schemes[server_round - 1])

    def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
        return learn(arrays, node, server_round) if server_round == 1 else arrays

    def watching(message: Any, context: Any, call_next: Any) -> Any:
        reply = mod(message, context, call_next)
        if message.metadata.message_type == "train":
            owed.append(arrays_of(context.state.array_records[NAME])["residual"])
        return reply

    with as_server():
        grid = InProcessGrid(app_with([watching], learning), 1)
        inner = FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
        DecodeUpdates(inner).start(grid=grid, initial_arrays=record_of(initial()), num_rounds=3)
    np.testing.assert_array_equal(owed[1], owed[0])
    assert norm_of(owed[2]) < norm_of(owed[1])
