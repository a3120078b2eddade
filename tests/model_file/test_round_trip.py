"""A model comes back from its file: what it is exactly, what its weights are about."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from surp_fl.model_file import Model, compress, decompress, decompress_model, roles
from surp_fl.model_file.encoding import Compressor, Options
from surp_fl.model_file.gains import GAINS
from surp_fl.model_file.model import rounded_to
from surp_fl.model_file.roles import entries_of
from surp_fl.model_file.weighting import WEIGHTINGS
from surp_fl.types import Array, Arrays
from tests.model_file.models import trained, with_every_dtype

LARGEST_BFLOAT16 = 3.3895313892515355e38
EXACT = ("zeros", "mask", "lost", "too wide", "empty", "flags", "eight bits", "complex")


def error(model: Arrays, file: bytes, name: str = "hidden.weight") -> float:
    return float(np.linalg.norm(decompress(file)[name] - model[name]) / np.linalg.norm(model[name]))


def test_names_order_shapes_dtypes_and_metadata_come_back_exactly() -> None:
    model = with_every_dtype()
    found = decompress_model(compress(model, ratio=3))
    assert list(found.arrays) == list(model.arrays)
    assert (found.dtypes, found.metadata) == (model.dtypes, model.metadata)
    for name, array in model.arrays.items():
        assert (found.arrays[name].shape, found.arrays[name].dtype) == (array.shape, array.dtype)
        if name in EXACT or array.dtype.kind not in "f":
            np.testing.assert_array_equal(found.arrays[name], array)
        else:
            assert np.linalg.norm(found.arrays[name] - array) < 0.1 * np.linalg.norm(array)


def test_bfloat16_comes_back_as_numbers_that_it_represents() -> None:
    found = decompress_model(compress(with_every_dtype(), ratio=3)).arrays
    for name in ("brain", "brain bias"):
        assert (found[name].view(np.uint32) & 0xFFFF == 0).all()


@given(hnp.arrays(np.float32, 8, elements=st.floats(allow_nan=False, allow_infinity=False, width=32)))
def test_a_number_is_rounded_to_the_nearest_bfloat16_or_to_the_even_one_of_two(values: Array) -> None:
    rounded = rounded_to("BF16", values.astype(np.float64))
    below = (values.view(np.uint32) & 0xFFFF0000).view(np.float32).astype(np.float64)
    above = _next_bfloat16(values)
    middle = (below + above) / 2
    even = (below.astype(np.float32).view(np.uint32) >> 16) & 1 == 0
    nearest = np.where(np.abs(values) == np.abs(middle), np.where(even, below, above), below)
    nearest = np.where(np.abs(values) > np.abs(middle), above, nearest)
    limited = np.clip(nearest, -LARGEST_BFLOAT16, LARGEST_BFLOAT16)
    np.testing.assert_array_equal(rounded, limited)


def _next_bfloat16(values: Array) -> Array:
    """The next one away from zero, in float64, where that beyond the largest one is a number too."""
    magnitude = (values.view(np.uint32) & 0x7FFF0000).astype(np.int64)
    wide = magnitude.astype(np.uint32).view(np.float32).astype(np.float64)
    ulp = np.maximum(2.0 ** (np.floor(np.log2(np.maximum(wide, 2.0**-126))) - 7), 2.0**-133)
    found: Array = np.copysign(wide + ulp, values)
    return found


def test_in_the_middle_of_two_the_even_one_is_taken() -> None:
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0xBF818000], np.uint32)
    rounded = rounded_to("BF16", bits.view(np.float32).astype(np.float64)).view(np.uint32)
    assert [hex(each) for each in rounded.tolist()] == ["0x3f800000", "0x3f820000", "0x3f810000", "0xbf820000"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_number_is_rounded_to_infinity(value: float) -> None:
    for dtype in ("F16", "BF16", "F32", "F64"):
        assert np.isfinite(rounded_to(dtype, np.array([value]))).all()


@pytest.mark.parametrize("ratio", [2, 8, 15, 20])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_budget_is_kept_and_used(ratio: float, progressive: bool) -> None:
    model = trained()
    budget = int(sum(array.nbytes for array in model.values()) / ratio)
    files = (
        compress(model, budget=budget, progressive=progressive),
        compress(model, ratio=ratio, progressive=progressive),
    )
    assert files[0] == files[1]
    assert 0.96 * budget <= len(files[0]) <= budget


def test_more_bytes_are_less_error() -> None:
    model = trained()
    errors = [error(model, compress(model, ratio=ratio, gain="none")) for ratio in (25, 20, 15, 12, 10, 8, 6, 4, 2)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 1
    assert errors[-2] < 0.08
    assert errors[-1] < 0.004


def test_the_smallest_file_is_made_and_one_byte_less_is_refused() -> None:
    compressor = Compressor(trained(), Options())
    least = compressor.least_budget
    assert len(compressor.of_budget(least)) <= least
    with pytest.raises(ValueError, match=f"{least - 1:,} bytes; .* nearly {least:,}: give"):
        compressor.of_budget(least - 1)


def test_small_arrays_and_statistics_are_never_lost() -> None:
    model = trained()
    found = decompress(compress(model, budget=Compressor(model, Options()).least_budget))
    for name in ("norm.weight", "norm.bias", "hidden.bias", "last.bias"):
        assert np.abs(found[name] - model[name]).max() < 0.1 * np.sqrt(np.square(model[name]).mean())
    log2 = np.log2(found["norm.running_var"] / model["norm.running_var"])
    assert np.abs(log2).max() < 1 / 6
    deviation = np.sqrt(model["norm.running_var"])
    assert (np.abs(found["norm.running_mean"] - model["norm.running_mean"]) < deviation / 12).all()


def test_tied_weights_are_coded_once() -> None:
    model = trained()
    tied = model | {"copy": model["hidden.weight"].copy()}
    alone, both = compress(model, budget=6000), compress(tied, budget=6000)
    found = decompress(both)
    np.testing.assert_array_equal(found["copy"], found["hidden.weight"])
    assert error(model, both) < 1.05 * error(model, alone)


def test_equal_arrays_of_two_dtypes_are_two() -> None:
    weight = rounded_to("BF16", trained()["hidden.weight"])
    model = Model({"wide": weight, "narrow": weight.copy()}, {"narrow": "BF16"})
    assert [entry.role.name for entry in entries_of(model)] == ["WEIGHT", "WEIGHT"]


def test_statistics_beyond_what_is_usual_are_exact() -> None:
    model = trained() | {"norm.running_mean": np.full(8, 1e6, np.float32) + np.arange(8, dtype=np.float32)}
    model |= {"norm.running_var": np.arange(-4, 4, dtype=np.float32)}
    found = decompress(compress(model, ratio=8))
    for name in ("norm.running_mean", "norm.running_var"):
        np.testing.assert_array_equal(found[name], model[name])


def test_there_is_a_limit_to_small_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "MAX_SMALL", 60)
    found = {entry.name: entry.role.name for entry in entries_of(Model(trained()))}
    small = [name for name, role in found.items() if role in ("SMALL", "MEAN", "VARIANCE")]
    assert small == ["norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "last.bias"]
    assert found["hidden.bias"] == "WEIGHT"
    statistics = {f"{each}.running_mean": np.arange(50.0) for each in range(2)}
    assert [entry.role.name for entry in entries_of(Model(dict(statistics)))] == ["MEAN", "EXACT"]


def test_small_arrays_are_more_precise_in_larger_files() -> None:
    model = trained()
    errors = [error(model, compress(model, ratio=ratio), "hidden.bias") for ratio in (20, 2)]
    assert errors[0] > 4 * errors[1]


def test_named_arrays_are_exact() -> None:
    model = trained()
    found = decompress(compress(model, ratio=2, exact=["last.weight", "last.bias"]))
    np.testing.assert_array_equal(found["last.weight"], model["last.weight"])
    np.testing.assert_array_equal(found["last.bias"], model["last.bias"])
    assert (found["hidden.weight"] != model["hidden.weight"]).any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("gain", GAINS)
def test_every_weighting_and_gain_gives_a_model(weighting: str, gain: str) -> None:
    model = trained()
    assert error(model, compress(model, ratio=8, weighting=weighting, gain=gain)) < 0.6


@pytest.mark.parametrize("arrays", [{}, {"count": np.array(3)}, {"bias": np.arange(5.0)}, {"empty": np.zeros((0, 4))}])
def test_models_without_weights_are_files_too(arrays: Arrays) -> None:
    found = decompress(compress(arrays, budget=100))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "expected exactly one of them"),
        ({"budget": 1000, "ratio": 3.0}, "expected exactly one of them"),
        ({"ratio": 0.5}, "give 1 or more"),
        ({"budget": 5000, "weighting": "l3"}, "expected one of none, rms, l1, l2, lamp"),
        ({"budget": 5000, "gain": "twice"}, "expected one of between, projection, norm, none"),
        ({"budget": 5000, "exact": ["nothing"]}, "'nothing', which is none of the model's 10 arrays"),
        ({"budget": 5000, "kinds": {"last.bias": "median"}}, "statistics say that 'last.bias'"),
    ],
)
def test_an_option_that_is_none_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compress(trained(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Model({"w": np.zeros(3, np.complex128)}), "dtype 'complex128'; expected one of F32"),
        (Model({"w": np.array(["a"])}), "expected one of F32"),
        (Model({"w": np.zeros(3, np.float32)}, {"w": "F4"}), "dtype 'F4'; expected one of F32"),
        (Model({"w": np.zeros(3, np.float16)}, {"w": "BF16"}), "said to be BF16, which is held as float32"),
    ],
)
def test_a_dtype_that_cannot_be_stored_is_refused(model: Model, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        compress(model, budget=5000)
