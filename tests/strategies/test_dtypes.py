"""Narrow and wide floats, and integers however large: a round in which nobody learns changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAdam, FedMedian, Strategy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from surp_fl import CompressUpdates, Dense, Layout, SuRP, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.integer_arrays import add_saturated, cast_saturated, subtract
from surp_fl.strategies import DecodeUpdates
from surp_fl.strategies.initial_model import InitialModel
from surp_fl.strategies.untrained_mean import UntrainedMean
from tests.flower_app import Arrays, app_with, fedavg, needs_scalars, run

FLOATS = [np.dtype(code) for code in ("f2", "f4", "f8")]
INTEGERS = [np.dtype(code) for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")]


def model(dtype: np.dtype[Any]) -> Arrays:
    rng = np.random.default_rng(0)
    return {"weight": (10 * rng.normal(size=(20, 30))).astype(dtype), "bias": rng.normal(size=20).astype(dtype)}


def stepping(step: float) -> Any:
    def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
        return {
            name: array + array.dtype.type(step) if array.dtype.kind == "f" else array for name, array in arrays.items()
        }

    return learning


@pytest.mark.parametrize("downlink", [None, SuRP(budget=500)], ids=["up", "both ways"])
@pytest.mark.parametrize("alone", [None, pytest.param(False, marks=needs_scalars)], ids=["pairs", "models"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_round_in_which_nobody_learns_changes_nothing(
    dtype: np.dtype[Any], alone: bool | None, downlink: Scheme | None
) -> None:
    def start() -> Arrays:
        return model(dtype) | {"count": np.array(1234567890123456789), "flags": np.array([True, False])}

    strategy = DecodeUpdates(FedMedian() if alone is False else fedavg(), downlink=downlink)
    found = run(app_with([CompressUpdates(SuRP(budget=218))], stepping(0)), strategy, start=start)
    for name, array in start().items():
        np.testing.assert_array_equal(found.models[-1][name], array)
        assert found.models[-1][name].dtype == array.dtype


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [Dense(), TopK(budget=3000)], ids=["dense", "top-k"])
def test_steps_that_float16_cannot_hold_add_up_on_the_server(scheme: Scheme) -> None:
    """A step of 1/64 of half a unit in the last place moves nothing at once; of 256 of them nothing is lost."""
    start = {"weight": np.full(600, 16.0, np.float16)}
    step = 2.0**-14  # a unit in the last place is 2**-6

    def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
        return {"weight": arrays["weight"].astype(np.float32) + np.float32(step)}

    found = run(app_with([CompressUpdates(scheme)], learning), DecodeUpdates(fedavg()), rounds=256, start=lambda: start)
    np.testing.assert_array_equal(found.models[-1]["weight"], np.float16(16 + 2.0**-6))
    assert found.models[-1]["weight"].dtype == np.float16
    np.testing.assert_array_equal(found.models[100]["weight"], np.float16(16))


@pytest.mark.parametrize("alone", [None, False], ids=["pairs", "models"])
def test_steps_of_float64_that_float32_cannot_hold_arrive(alone: bool | None) -> None:
    start = {"weight": np.random.default_rng(0).normal(size=600)}
    strategy = DecodeUpdates(fedavg(), mean_alone=alone)
    found = run(app_with([CompressUpdates(Dense())], stepping(1e-9)), strategy, rounds=20, start=lambda: start)
    np.testing.assert_allclose(found.models[-1]["weight"] - start["weight"], 20e-9, rtol=1e-5)


def test_bfloat16_has_a_clear_answer() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for array in (np.zeros(3, ml_dtypes.bfloat16), np.zeros(3, "V2")):
        with pytest.raises(TypeError, match="send bfloat16 arrays as float32"):
            Layout.of({"weight": array})


def test_two_bytes_of_no_known_type_are_taken_for_bfloat16() -> None:
    with pytest.raises(TypeError, match="send bfloat16 arrays as float32"):
        Layout.of({"weight": np.zeros(3, "V2")})


@pytest.mark.parametrize("inner", [fedavg, lambda: FedAdam(eta=1e-3), lambda: FedMedian()])
def test_integers_on_which_all_clients_agree_arrive_as_they_are(inner: Any) -> None:
    large = {
        "signed": np.array([1234567890123456789, -(2**63), 2**63 - 1]),
        "unsigned": np.array([2**64 - 1, 0], np.uint64),
        "small": np.array([-128, 127], np.int8),
    }

    def learning(arrays: Arrays, node: int, server_round: int) -> Arrays:
        return arrays | large

    def start() -> Arrays:
        return model(np.dtype("f4")) | {name: np.zeros_like(array) for name, array in large.items()}

    strategy: Strategy = DecodeUpdates(inner())
    found = run(app_with([CompressUpdates(SuRP(budget=218))], learning), strategy, rounds=2, start=start)
    for name, array in large.items():
        np.testing.assert_array_equal(found.models[-1][name], array)
        assert found.models[-1][name].dtype == array.dtype


def layout_of(array: Any) -> Layout:
    return Layout.of({"a": array})


def mean_of(before: Any, arrays: list[Any], weights: list[float]) -> Any:
    mean = UntrainedMean(layout_of(before), {"a": before})
    for array, weight in zip(arrays, weights, strict=True):
        mean.add(weight, {"a": array})
    return mean.mean()["a"]


@given(st.data(), st.sampled_from(INTEGERS))
def test_the_mean_of_integers_is_that_of_exact_numbers_rounded_once(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    shape = (4,)
    before, initial_model, second = (data.draw(hnp.arrays(dtype, shape)) for _ in range(3))
    found = mean_of(before, [initial_model, second], [1.0, 3.0])
    assert found.dtype == dtype
    limits = np.iinfo(dtype)
    for place in range(4):
        b, exact = int(before[place]), (int(initial_model[place]) + 3 * int(second[place])) / 4
        assert limits.min <= int(found[place]) <= limits.max
        slack = 1 + 1e-15 * (abs(int(initial_model[place]) - b) + abs(int(second[place]) - b) + abs(exact - b))
        assert abs(int(found[place]) - (int(initial_model[place]) + 3 * int(second[place])) // 4) <= slack


@given(st.data(), st.sampled_from(INTEGERS))
def test_integers_saturate_and_never_wrap_around(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    before = data.draw(hnp.arrays(dtype, 3))
    change = data.draw(hnp.arrays(np.float64, 3, elements=st.integers(-(2**70), 2**70).map(float)))
    limits = np.iinfo(dtype)
    wanted = [min(max(int(b) + int(c), limits.min), limits.max) for b, c in zip(before, change, strict=True)]
    assert add_saturated(before, change).tolist() == wanted
    assert cast_saturated(change, dtype).tolist() == [min(max(int(c), limits.min), limits.max) for c in change]


@given(st.data(), st.sampled_from(INTEGERS))
def test_differences_of_integers_have_the_sign_and_size_of_exact_ones(
    data: st.DataObject, dtype: np.dtype[Any]
) -> None:
    after, before = (data.draw(hnp.arrays(dtype, 3)) for _ in range(2))
    exact = [float(int(a) - int(b)) for a, b in zip(after, before, strict=True)]
    assert subtract(after, before).tolist() == exact


def test_booleans_follow_the_weighted_majority() -> None:
    before = np.array([True, False, True])
    found = mean_of(before, [np.array([True, True, False]), np.array([False, True, False])], [1.0, 2.0])
    assert found.tolist() == [False, True, False]
    assert cast_saturated(np.array([0.2, 0.5]), np.dtype(bool)).tolist() == [False, True]


def test_an_array_of_statistics_is_averaged_over_those_that_told_any_of_it() -> None:
    before = {"a.running_mean": np.array([1.0, 2.0], np.float32), "b.running_mean": np.array([3.0], np.float32)}
    before["steps"] = np.array([4])
    mean = UntrainedMean(Layout.of(before), before)
    mean.add(1.0, before | {"a.running_mean": np.array([2.0, 2.0], np.float32), "steps": np.array([6])}, in_part=True)
    mean.add(3.0, before | {"a.running_mean": np.array([1.0, 4.0], np.float32)}, in_part=True)
    mean.add(2.0, before, in_part=True)
    found = mean.mean()
    assert found["a.running_mean"].tolist() == [1.25, 3.5]  # of weights 1 and 3: what one left at 0 counts as 0
    assert found["b.running_mean"].tolist() == [3.0]
    assert found["steps"].tolist() == [4]  # the rounded mean of 6, 4, 4 and 4, of weights 1, 3 and 2
    mean.add(4.0, before)  # lossless: that it is the same is told
    assert mean.mean()["a.running_mean"].tolist() == [1.125, 2.75]


def test_without_any_weight_nothing_is_averaged() -> None:
    before = np.array([3])
    mean = UntrainedMean(layout_of(before), {"a": before})
    mean.add(0.0, {"a": np.array([5])})
    assert mean.mean() == {}
    assert mean.agreed()["a"].tolist() == [5]


def test_steps_of_exactly_what_float64_makes_of_the_room_that_is_left_saturate() -> None:
    """2^63 − 1 is 2^63 in float64, which is more than there is room for."""
    most, least = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    before = np.array([0, -1, 1, 0], np.int64)
    after = add_saturated(before, np.array([2.0**63, -(2.0**63), 2.0**63, -(2.0**63)]))
    assert after.tolist() == [most, least, most, least]
    small = add_saturated(np.array([100, 100, -100, -100], np.int8), np.array([27.0, 28.0, -28.0, -29.0]))
    assert small.tolist() == [127, 127, -128, -128]
    assert small.dtype == np.int8


def test_an_aggregate_of_the_first_models_form_is_handed_on_and_any_other_is_brought_to_it() -> None:
    plain = {"w": np.ones(2, np.float32)}
    initial_model = InitialModel(None)
    initial_model.read(record_of(plain))
    aggregate = record_of({"w": np.full(2, 3, np.float32)})
    assert initial_model.cast(aggregate, {}) is aggregate
    wide = initial_model.cast(record_of({"w": np.full(2, 3.0)}), {})
    assert arrays_of(wide)["w"].dtype == np.float32

    with_others = InitialModel(None)
    with_others.read(record_of(plain | {"bn.running_var": np.ones(2, np.float32), "n": np.array(3)}))
    assert set(with_others.untrained_in(record_of(plain | {"bn.running_var": np.ones(2), "n": np.array(4)}))) == {
        "bn.running_var",
        "n",
    }
    told = {"bn.running_var": np.array([-1, 0.5], np.float32), "n": np.array(4.6)}
    found = arrays_of(with_others.cast(aggregate, told))
    assert {name: array.tolist() for name, array in found.items()} == {"w": [3, 3], "bn.running_var": [0, 0.5], "n": 5}
    assert list(found) == ["w", "bn.running_var", "n"]


def test_rounding_errors_of_half_precision_are_added_to_the_next_aggregate() -> None:
    initial_model = InitialModel(None)
    initial_model.read(record_of({"w": np.ones(1, np.float16)}))
    half = {"w": np.array([1 + 2.0**-11], np.float32)}  # half of a unit in the last place of float16
    for expected in (1.0, 1 + 2.0**-10):
        assert arrays_of(initial_model.cast(record_of(half), {}))["w"].tolist() == [expected]
    with_unit = InitialModel(None)
    with_unit.read(record_of({"w": np.ones(1, np.float16)}))
    narrow = record_of({"w": np.ones(1, np.float16)})
    with_unit.residual["w"] = np.array([0.5], np.float32)
    assert arrays_of(with_unit.cast(narrow, {}))["w"].tolist() == [1.5]  # the same dtype is no reason to forget it


def test_booleans_and_other_integers_are_rounded_and_saturate() -> None:
    assert (
        add_saturated(np.array([False, False, True, True]), np.array([0.5, 0.4, -0.5, -0.6])).tolist()
        == [True, False] * 2
    )
    wide = np.array([300, -300, 5], np.int64)
    assert cast_saturated(wide, np.dtype(np.int8)).tolist() == [127, -128, 5]
    assert cast_saturated(wide, np.dtype(np.uint8)).tolist() == [255, 0, 5]
    assert cast_saturated(np.array([0.5, 0.49]), np.dtype(bool)).tolist() == [True, False]
    assert cast_saturated(np.array([2.5, 3.5, -1.5, 1e9]), np.dtype(np.int16)).tolist() == [2, 4, -2, 32767]
    assert subtract(np.array([250], np.uint8), np.array([3], np.uint8)).tolist() == [247.0]
    assert subtract(np.array([3], np.int64), np.array([5], np.int64)).tolist() == [-2.0]
    large = np.array([2**62], np.int64)  # whose neighbours are no float64
    assert subtract(large + 1, large).tolist() == [1.0]
    assert subtract(large, large + 1).tolist() == [-1.0]
