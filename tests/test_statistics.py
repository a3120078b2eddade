"""Running statistics: which arrays they are, and what becomes of them whatever a message says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from surp_fl.statistics import KINDS, Kind, add_units, in_units, kind_of, kinds_in

BOTH: dict[str, Kind] = {"a.running_mean": "mean", "a.running_var": "variance"}
MEANS = hnp.arrays(np.float32, 5, elements=st.floats(-1e6, 1e6, width=32))
VARIANCES = hnp.arrays(np.float32, 5, elements=st.floats(0, float(np.float32(1e6)), width=32))
ANYTHING = hnp.arrays(np.float32, 5, elements=st.floats(allow_nan=False, allow_infinity=False, width=32))
Vector = NDArray[np.float32]


def pair(mean: Vector, variance: Vector) -> dict[str, NDArray[np.float32]]:
    return {"a.running_mean": mean, "a.running_var": variance}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("layer1.0.bn1.running_mean", "mean"),
        ("bn.running_var", "variance"),
        ("running_var", "variance"),
        ("batch_normalization_3/moving_mean", "mean"),
        ("batch_normalization/moving_variance:0", "variance"),
        ("batch_stats/BatchNorm_0/mean", "mean"),
        ("batch_stats.BatchNorm_0.var", "variance"),
        ("('batch_stats', 'BatchNorm_0', 'var')", "variance"),
        ("head.weight", None),
        ("vae/mean", None),
        ("dense/var", None),
        ("mean", None),
        ("0", None),
        ("", None),
        ("running_mean.weight", None),
    ],
)
def test_statistics_are_known_by_the_names_of_torch_keras_and_flax_alone(name: str, kind: Kind | None) -> None:
    assert kind_of(name) == kind


def test_the_users_word_takes_the_place_of_names() -> None:
    names = ["1", "2", "bn.running_var"]
    assert kinds_in(names, None) == {"bn.running_var": "variance"}
    assert list(kinds_in(names, {"2": "variance", "1": "mean"}).items()) == [("1", "mean"), ("2", "variance")]
    assert kinds_in(names, {}) == {}


@pytest.mark.parametrize("word", [{"7": "mean"}, {"1": "median"}])
def test_a_word_about_no_array_or_of_no_kind_is_an_error(word: dict[str, Kind]) -> None:
    with pytest.raises(ValueError, match=r"expected the name of a float array of the model \(1, 2\)"):
        kinds_in(["1", "2"], word)


@given(MEANS, VARIANCES, ANYTHING, ANYTHING)
def test_no_message_makes_a_variance_negative_or_anything_infinite(
    mean: Vector, variance: Vector, first: Vector, second: Vector
) -> None:
    after = add_units(pair(mean, variance), pair(first, second), BOTH)
    assert (after["a.running_var"] >= 0).all()
    assert all(np.isfinite(array).all() for array in after.values())
    assert all(array.dtype == np.float32 for array in after.values())


@given(MEANS, VARIANCES, MEANS, VARIANCES)
def test_a_change_in_units_leads_to_where_it_was_taken(
    mean: Vector, variance: Vector, later_mean: Vector, later_variance: Vector
) -> None:
    before, later = pair(mean, variance), pair(later_mean, later_variance)
    after = add_units(before, in_units(before, later, BOTH), BOTH)
    deviation = np.sqrt(variance.astype(float) + 1e-5)
    scale = np.abs(mean) + np.abs(later_mean) + deviation
    assert (np.abs(after["a.running_mean"] - later_mean) <= 1e-6 * scale).all()
    assert (np.abs(after["a.running_var"] - later_variance) <= 3e-5 * (later_variance + 1e-5)).all()


@given(MEANS, VARIANCES)
def test_what_did_not_change_stays_to_the_bit(mean: Vector, variance: Vector) -> None:
    before = pair(mean, variance)
    changes = in_units(before, before, BOTH)
    assert not any(change.any() for change in changes.values())
    after = add_units(before, changes, BOTH)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


def test_changes_of_means_are_in_standard_deviations_and_of_variances_in_octaves() -> None:
    before = pair(np.array([1.0, 1.0], np.float32), np.array([4.0, 1.0], np.float32))
    after = pair(np.array([5.0, 1.5], np.float32), np.array([2.0, 8.0], np.float32))
    changes = in_units(before, after, BOTH)
    np.testing.assert_allclose(changes["a.running_mean"], [2.0, 0.5], rtol=1e-4)
    np.testing.assert_allclose(changes["a.running_var"], [-1.0, 3.0], atol=1e-4)


def test_a_mean_goes_with_the_next_variance_of_its_shape_and_else_with_the_one_before() -> None:
    kinds: dict[str, Kind] = {"v1": "variance", "m1": "mean", "v2": "variance", "m2": "mean", "alone": "mean"}
    before = {name: np.full(3, value, np.float32) for name, value in (("v1", 1), ("m1", 0), ("v2", 4), ("m2", 0))}
    before["alone"] = np.zeros(7, np.float32)
    after = {name: array + np.float32(1) for name, array in before.items()}
    changes = in_units(before, after, kinds)
    np.testing.assert_allclose(changes["m1"], 0.5, rtol=1e-4)
    np.testing.assert_allclose(changes["m2"], 0.5, rtol=1e-4)
    np.testing.assert_array_equal(changes["alone"], 1)
    assert set(kinds.values()) == set(KINDS)


def test_small_variances_are_units_too_and_none_is_smaller_than_what_batch_normalisation_adds() -> None:
    before = pair(np.zeros(2, np.float32), np.array([0.25, 0.0], np.float32))
    changes = in_units(before, before | {"a.running_mean": np.full(2, 0.5, np.float32)}, BOTH)
    np.testing.assert_allclose(changes["a.running_mean"], [1.0, 0.5 / np.sqrt(1e-5)], rtol=1e-4)


def test_deviations_of_half_precision_variances_are_taken_in_full_precision() -> None:
    before = {"a.running_mean": np.zeros(2, np.float16), "a.running_var": np.array([3, 0.01], np.float16)}
    changes = in_units(before, before | {"a.running_mean": np.ones(2, np.float16)}, BOTH)
    expected = 1 / np.sqrt(before["a.running_var"].astype(float) + 1e-5)
    np.testing.assert_allclose(changes["a.running_mean"], expected, rtol=1e-6)
