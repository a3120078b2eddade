"""Tied weights: one tensor under two names is coded once, for as long as it is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from flwr.serverapp.strategy import FedAvgM, FedMedian
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import CompressUpdates, Layout, SuRP, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.client_state import ServerDirectives, load, save
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import arrays_of
from surp_fl.strategies import DecodeUpdates
from surp_fl.updates import as_vector, indices_of
from tests.flower_app import Arrays, Run, app_with, fedavg, run


def tied() -> Arrays:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(30, 20)).astype(np.float32)
    return {"embed": embedding, "hidden": rng.normal(size=(20, 20)).astype(np.float32), "head": embedding.copy()}


def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
    rng = np.random.default_rng([node, server_round])
    steps = {name: rng.standard_t(2, size=array.shape).astype(np.float32) * 0.01 for name, array in arrays.items()}
    steps["head"] = steps["embed"]
    return {name: array + steps[name] for name, array in arrays.items()}


def apart(arrays: Arrays, node: int, server_round: int) -> Arrays:
    """Clients of odd numbers train a model whose head was but copied."""
    after = learning(arrays, node, server_round)
    return after if node % 2 == 0 else after | {"head": after["head"] * np.float32(1.01)}


def ran(learn: Any, inner: Any = fedavg, scheme: Scheme | None = None, **options: Any) -> Run:
    scheme = scheme or SuRP(budget=100)
    return run(app_with([CompressUpdates(scheme)], learn), DecodeUpdates(inner(), **options), rounds=8, start=tied)


@pytest.mark.parametrize("downlink", [None, SuRP(budget=300)], ids=["up", "both ways"])
@pytest.mark.parametrize("inner", [fedavg, FedAvgM, FedMedian])
def test_tied_weights_stay_tied_and_have_one_residual(inner: Any, downlink: Scheme | None) -> None:
    found = ran(learning, inner, downlink=downlink)
    for model in found.models:
        np.testing.assert_array_equal(model["embed"], model["head"])
    assert not np.array_equal(found.models[-1]["embed"], found.models[0]["embed"])
    for context in found.grid.contexts.values():
        assert arrays_of(context.state.array_records[NAME])["residual"].size == 30 * 20 + 20 * 20


@pytest.mark.parametrize("downlink", [None, TopK(budget=9000)], ids=["up", "both ways"])
@pytest.mark.parametrize("alone", [None, False], ids=["pairs", "models"])
def test_arrays_that_were_equal_by_chance_go_their_own_ways(alone: bool | None, downlink: Scheme | None) -> None:
    found = ran(apart, scheme=TopK(budget=9000), mean_alone=alone, downlink=downlink)
    dense = run(app_with([], apart), fedavg(), rounds=8, start=tied)
    for name, array in dense.models[-1].items():
        np.testing.assert_allclose(found.models[-1][name], array, atol=2e-5)
    assert not np.array_equal(found.models[-1]["embed"], found.models[-1]["head"])


def test_arrays_that_part_take_no_second_whole_model_down() -> None:
    strategy = DecodeUpdates(fedavg(), downlink=TopK(budget=1500))
    found = run(app_with([CompressUpdates(TopK(budget=9000))], apart), strategy, rounds=8, start=tied)
    whole = sum(array.nbytes for array in tied().values())
    assert not np.array_equal(found.models[-1]["embed"], found.models[-1]["head"])
    assert [max(traffic.payload_bytes_down) >= whole for traffic in strategy.traffic] == [True] + 7 * [False]


def test_a_clients_state_outlives_arrays_that_become_equal_or_differ_again() -> None:
    """As biases of a ResNet may, which have the same gradients: messages move them alike, or one of them alone."""
    rng = np.random.default_rng(1)
    one, other = tied(), tied() | {"head": rng.normal(size=(30, 20)).astype(np.float32)}
    for before, after in ((one, other), (other, one), (one, one), (other, other)):
        held, layout = Layout.of(before), Layout.of(after)
        assert (held.size == layout.size) == (before is after)
        residual, model = (rng.normal(size=held.size).astype(np.float32) for _ in range(2))
        sent = np.array([3, 999]), np.array([1, 2], np.float32)
        context = Context(1, 1, {}, RecordDict(), {})
        directives = ServerDirectives(1, session=7, session_round=1, retained_rounds=(1,), applied=0, budget=None)
        save(context, {"residual": residual.copy()}, sent, model, held, directives)
        found = load(context, layout, replace(directives, session_round=2))

        def converted(vector: np.ndarray, held: Layout = held, layout: Layout = layout) -> np.ndarray:
            return layout.flatten_floats(held.floats_of(vector))

        assert found.model is not None
        np.testing.assert_array_equal(found.memory["residual"], converted(residual + as_vector(sent, held.size)))
        np.testing.assert_array_equal(found.model, converted(model))


@pytest.mark.parametrize(
    "arrays",
    [
        {"a": np.zeros(100, np.float32), "b": np.zeros(100, np.float32)},
        {"a": np.ones(100, np.float32), "b": np.ones(100, np.float32)},
        {"a": np.arange(15, dtype=np.float32), "b": np.arange(15, dtype=np.float32)},
        {"a": np.arange(100, dtype=np.float32), "b": np.arange(100, dtype=np.float32).reshape(10, 10)},
        {"a": np.arange(100, dtype=np.float32), "b": np.arange(100, dtype=np.float64)},
        {"a": np.arange(100), "b": np.arange(100)},
        {"a": np.arange(100, dtype=np.float32), "b": np.append(np.arange(99, dtype=np.float32), np.float32(7))},
    ],
)
def test_what_is_equal_by_chance_is_not_taken_for_a_copy(arrays: Arrays) -> None:
    assert Layout.of(arrays).copies == ()


def test_every_copy_is_of_the_first_array() -> None:
    array = np.arange(20, dtype=np.float32)
    layout = Layout.of({"a": array, "b": array, "x": array + 1, "c": array})
    assert layout.copies == (("b", "a"), ("c", "a"))
    assert layout.size == 40
    assert layout.untied.size == 80
    assert Layout.of({"a": array, "b": array}, tied=False).copies == ()
    vector = np.arange(40, dtype=np.float32)
    arrays = layout.unflatten(vector)
    assert list(arrays) == ["a", "b", "x", "c"]
    np.testing.assert_array_equal(arrays["c"], vector[:20])
    arrays["c"][0] = 9
    assert arrays["a"][0] == 0


@given(st.data())
def test_coordinates_of_a_tied_layout_spread_to_all_copies(data: st.DataObject) -> None:
    array = np.arange(20, dtype=np.float32)
    other = -array
    model = {"a": array, "x": other, "b": array, "c": array, "y": other, "z": array[:7]}
    layout = Layout.of(model)
    chosen = sorted(data.draw(st.sets(st.integers(0, layout.size - 1))))
    indices, values = np.array(chosen, np.int64), np.arange(1, 1 + len(chosen), dtype=np.float32)
    update = np.zeros(layout.size, np.float32)
    update[indices] = values
    spread = layout.spread((indices, values))
    assert (np.diff(indices_of(spread)) > 0).all()
    untied = as_vector(spread, layout.untied.size)
    np.testing.assert_array_equal(layout.spread(update), untied)
    for name, part in layout.floats_of(update).items():
        np.testing.assert_array_equal(layout.untied.floats_of(untied)[name], part)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_of_another_layout_keep_their_values_to_the_bit(dtype: Any) -> None:
    """A residual is float32 whatever the model is: it is not rounded to float16 where tied arrays part."""
    model = {"wide": np.ones(3), **{name: array.astype(dtype) for name, array in tied().items()}}
    layout = Layout.of(model)
    assert layout.copies == (("head", "embed"),)
    residual = (1e-9 * np.random.default_rng(0).normal(size=layout.size)).astype(np.float32)
    spread: Any = layout.spread(residual)
    assert spread.tobytes() == np.concatenate([residual, residual[3:603]]).tobytes()
    assert layout.tied(spread).tobytes() == residual.tobytes()


def test_clients_of_a_model_of_mixed_dtypes_train_on_where_tied_arrays_part() -> None:
    strategy = DecodeUpdates(fedavg(fraction_evaluate=0.0))
    mixed = {"wide": np.ones(3), **tied()}
    run(app_with([CompressUpdates(SuRP(budget=100))], apart), strategy, rounds=3, start=lambda: mixed)
    assert [traffic.failures for traffic in strategy.traffic] == [0] * 3
