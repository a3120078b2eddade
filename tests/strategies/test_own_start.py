"""Strategies with a `start` of their own: their loops run, and their rounds go through the wrapper."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg, Result, Strategy

from surp_fl import CompressUpdates, SuRP
from surp_fl.flower.protocol import NAME, SESSION
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.strategies import DecodeUpdates
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import Run, app_with, initial, needs_scalars, run

ALL: dict[str, Any] = {"min_train_nodes": 3, "min_evaluate_nodes": 3, "min_available_nodes": 3}
APP = app_with([CompressUpdates(SuRP(budget=100))])


class Checkpointing(FedAvg):
    """As in Flower's example advanced-pytorch: a loop of its own, a schedule, a file of results, the best model."""

    path: Path
    best = -1.0

    def set_save_path(self, path: Path) -> None:
        self.path = path

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Any:
        config["rate"] = 0.1 / server_round
        return super().configure_train(server_round, arrays, config, grid)

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        self.best, self.during = -1.0, type(self)
        result, arrays, rows = Result(), initial_arrays, []
        config = train_config or ConfigRecord()
        self.summary()
        if evaluate_fn:
            evaluate_fn(0, arrays)
        for server_round in range(1, num_rounds + 1):
            replies = grid.send_and_receive(self.configure_train(server_round, arrays, config, grid), timeout=timeout)
            found, metrics = self.aggregate_train(server_round, replies)
            assert found is not None
            assert metrics is not None
            result.arrays = arrays = found
            result.train_metrics_clientapp[server_round] = metrics
            rows.append(dict(metrics))
            asked = self.configure_evaluate(server_round, arrays, evaluate_config or ConfigRecord(), grid)
            evaluated = self.aggregate_evaluate(server_round, grid.send_and_receive(asked, timeout=timeout))
            assert evaluated is not None
            result.evaluate_metrics_clientapp[server_round] = evaluated
            self._keep_the_best(float(evaluated["norm"]), arrays)  # type: ignore[arg-type]
            if evaluate_fn:
                evaluate_fn(server_round, arrays)
            (self.path / "results.json").write_text(json.dumps(rows))
        return result

    def _keep_the_best(self, figure: float, arrays: ArrayRecord) -> None:
        if figure > self.best:
            self.best = figure
            np.save(self.path / "best.npy", arrays["weight"].numpy())


def same(one: Run, other: Run) -> bool:
    return all(
        np.array_equal(mine[name], theirs[name])
        for mine, theirs in zip(one.models, other.models, strict=True)
        for name in mine
    )


def test_a_loop_of_the_strategys_own_gives_the_models_that_flowers_loop_gives(tmp_path: Path) -> None:
    strategy = DecodeUpdates(Checkpointing(**ALL))
    strategy.set_save_path(tmp_path)
    found, plain = run(APP, strategy), run(APP, DecodeUpdates(FedAvg(**ALL)))
    assert same(found, plain)
    assert found.result.train_metrics_clientapp[3]["loss"] == plain.result.train_metrics_clientapp[3]["loss"]
    assert [len(stats.payload_bytes_up) for stats in strategy.traffic] == [3, 3, 3]
    best = max(found.models[1:], key=lambda model: float(np.linalg.norm(model["weight"])))
    np.testing.assert_array_equal(np.load(tmp_path / "best.npy"), best["weight"])
    assert len(json.loads((tmp_path / "results.json").read_text())) == 3


class Announcing(FedAvg):
    """Adds something before and after Flower's loop."""

    def start(self, *args: Any, **options: Any) -> Result:
        self.before = True
        result = super().start(*args, **options)
        self.after = True
        return result


def test_super_start_in_a_start_of_its_own_runs_flowers_loop_through_the_wrapper() -> None:
    strategy = DecodeUpdates(Announcing(**ALL))
    found = run(APP, strategy)
    assert same(found, run(APP, DecodeUpdates(FedAvg(**ALL))))
    assert strategy.before
    assert strategy.after


def test_a_start_of_its_own_runs_with_a_compressed_downlink() -> None:
    options = {"downlink": SuRP(budget=200)}
    strategy = DecodeUpdates(Announcing(**ALL), **options)  # type: ignore[arg-type]
    assert same(run(APP, strategy), run(APP, DecodeUpdates(FedAvg(**ALL), **options)))  # type: ignore[arg-type]
    assert min(strategy.traffic[-1].payload_bytes_down) < strategy.traffic[-1].model_bytes / 4


class Introspective(FedAvg):
    """Looks at itself, and copies itself, while it runs."""

    def start(self, *args: Any, **options: Any) -> Result:
        assert isinstance(self, Introspective)
        assert type(self).__name__ == "Introspective"
        self.twins = [copy.deepcopy(self), pickle.loads(pickle.dumps(self))]
        self.names = set(vars(self))
        return super().start(*args, **options)


def test_while_it_runs_it_can_be_copied_and_pickled_and_has_no_new_attributes() -> None:
    inner = Introspective(**ALL)
    before = set(vars(inner))
    run(APP, DecodeUpdates(inner), rounds=1)
    assert [type(twin) for twin in inner.twins] == [Introspective] * 2
    assert inner.names == before | {"twins"}
    assert type(inner) is Introspective


class Failing(FedAvg):
    def start(self, *args: Any, **options: Any) -> Result:
        super().start(*args, **options)
        raise OSError("disk full")


def test_after_a_start_that_fails_the_strategy_is_what_it_was() -> None:
    strategy = DecodeUpdates(Failing(**ALL))
    with pytest.raises(OSError, match="disk full") as caught:
        run(APP, strategy, rounds=1)
    assert not hasattr(caught.value, "__notes__")
    assert type(strategy.strategy) is Failing
    with pytest.raises(RuntimeError, match="another strategy around it"):
        strategy.configure_train(1, record_of(initial()), ConfigRecord(), InProcessGrid(APP, 3))


class Bare(FedAvg):
    """Has parameters of its own, evaluates first, and gives something else than a Result."""

    def start(self, rounds: int, model: ArrayRecord, grid: Grid) -> list[ArrayRecord]:  # type: ignore[override]
        found = [model]
        for server_round in range(rounds + 1):
            asked = self.configure_evaluate(server_round, found[-1], ConfigRecord(), grid)
            assert self.aggregate_evaluate(server_round, grid.send_and_receive(asked))
            if server_round < rounds:
                sent = self.configure_train(server_round + 1, found[-1], ConfigRecord(), grid)
                arrays, _ = self.aggregate_train(server_round + 1, grid.send_and_receive(sent))
                assert arrays is not None
                found.append(arrays)
        return found


def residual_norms(grid: InProcessGrid) -> list[float]:
    states = (context.state.array_records[NAME] for context in grid.contexts.values())
    return [float(np.linalg.norm(arrays_of(state)["residual"])) for state in states]


def sessions(grid: InProcessGrid) -> set[Any]:
    return {context.state.config_records[SESSION][SESSION] for context in grid.contexts.values()}


def test_a_run_from_the_model_with_which_a_start_of_its_own_ended_continues_its_session() -> None:
    with as_server():
        grid = InProcessGrid(APP, 3)
        found: Any = DecodeUpdates(Bare(**ALL)).start(2, record_of(initial()), grid)
        first = sessions(grid)
        continued: Any = DecodeUpdates(Bare(**ALL)).start(1, found[-1], grid)
        assert sessions(grid) == first
        DecodeUpdates(Bare(**ALL)).start(1, found[1], grid)  # an earlier one: residuals do not belong to it
        assert sessions(grid) != first
        assert len(continued) == 2
        whole = InProcessGrid(APP, 3)
        at_once: Any = DecodeUpdates(Bare(**ALL)).start(3, record_of(initial()), whole)
    for name, array in arrays_of(found[-1]).items():
        np.testing.assert_array_equal(array, arrays_of(at_once[2])[name])


def test_a_start_with_a_best_model_as_its_result_does_not_continue_the_session_there() -> None:
    class Best(Bare):
        def start(self, rounds: int, model: ArrayRecord, grid: Grid) -> Result:  # type: ignore[override]
            return Result(arrays=super().start(rounds, model, grid)[1])

    with as_server():
        grid = InProcessGrid(APP, 3)
        result = DecodeUpdates(Best(**ALL)).start(2, record_of(initial()), grid)
        first = sessions(grid)
        DecodeUpdates(FedAvg(**ALL)).start(grid, result.arrays, num_rounds=1)
        assert not sessions(grid) & first


# What cannot work says why, and what it says helps.


class Bypassing(FedAvg):
    """Calls the class's methods instead of its own."""

    def start(self, grid: Grid, initial_arrays: ArrayRecord, *args: Any, **options: Any) -> Result:
        sent = list(super().configure_train(1, initial_arrays, ConfigRecord(), grid))
        super().aggregate_train(1, grid.send_and_receive(sent))
        return Result(initial_arrays)


class Advised(FedAvg):
    """The same, as the note advises."""

    def start(self, grid: Grid, initial_arrays: ArrayRecord, *args: Any, **options: Any) -> Result:
        sent = list(self.configure_train(1, initial_arrays, ConfigRecord(), grid))
        arrays, _ = self.aggregate_train(1, grid.send_and_receive(sent))
        return Result(arrays or initial_arrays)


def test_a_start_that_bypasses_the_wrapper_is_told_so_and_works_as_the_note_advises() -> None:
    with pytest.raises(InconsistentMessageReplies) as caught:
        run(APP, DecodeUpdates(Bypassing(**ALL)))
    (note,) = caught.value.__notes__
    assert "Bypassing.start() had not called self.configure_train and self.aggregate_train" in note
    assert "call self's" in note
    assert not np.array_equal(
        arrays_of(run(APP, DecodeUpdates(Advised(**ALL))).result.arrays)["bias"], initial()["bias"]
    )


def test_a_start_that_ends_without_a_round_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    class Idle(FedAvg):
        def start(self, *args: Any, **options: Any) -> Result:
            return Result()

    logging.getLogger("flwr").propagate = True
    with caplog.at_level(logging.WARNING, "flwr"):
        run(APP, DecodeUpdates(Idle(**ALL)))
    assert "Idle.start() had not called self.configure_train and self.aggregate_train" in caplog.text


@needs_scalars
def test_a_start_deeper_inside_does_not_run_as_in_flower_and_a_warning_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def private(inner: Strategy) -> Strategy:
        return DifferentialPrivacyServerSideFixedClipping(inner, 0.0, 1e6, 3)

    logging.getLogger("flwr").propagate = True
    with caplog.at_level(logging.WARNING, "flwr"):
        strategy = DecodeUpdates(private(Announcing(**ALL)))
    assert "Announcing has a start() of its own, which does not run, as in Flower" in caplog.text
    assert same(run(APP, strategy), run(APP, DecodeUpdates(private(FedAvg(**ALL)))))
    assert not hasattr(strategy, "before")

    class AroundIt(DifferentialPrivacyServerSideFixedClipping):
        """As the warning advises: the loop is the outer strategy's."""

        def start(self, *args: Any, **options: Any) -> Result:
            self.before = True
            return super().start(*args, **options)

    advised = DecodeUpdates(AroundIt(FedAvg(**ALL), 0.0, 1e6, 3))
    assert same(run(APP, advised), run(APP, DecodeUpdates(private(FedAvg(**ALL)))))
    assert advised.before


def test_a_loop_in_a_subclass_of_the_wrapper_is_refused_and_works_where_the_error_puts_it() -> None:
    class Looping(DecodeUpdates):
        def start(self, grid: Grid, initial_arrays: ArrayRecord, *args: Any, **options: Any) -> Result:
            grid.send_and_receive(self.configure_train(1, initial_arrays, ConfigRecord(), grid))
            return Result(initial_arrays)

    class Calling(DecodeUpdates):
        def start(self, *args: Any, **options: Any) -> Result:
            return super().start(*args, **options)

    with pytest.raises(RuntimeError, match=r"Looping was called outside of .*start\(\).*move the loop into"):
        run(APP, Looping(FedAvg(**ALL)))
    assert len(run(APP, DecodeUpdates(Advised(**ALL))).result.arrays) == len(initial())
    assert len(run(APP, Calling(FedAvg(**ALL))).result.arrays) == len(initial())
