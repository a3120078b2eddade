"""Uniform quantisation: about the bits that were asked for, exact multiples, and small arrays as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.model_files.uniform_quantiser import EXACT, dequantised, quantised, specs_of_quantised
from surp_fl.errors import MalformedMessage
from surp_fl.lossless import compress
from surp_fl.types import Arrays


def specs(arrays: Arrays) -> list[Any]:
    return [(name, array.shape, array.dtype) for name, array in arrays.items()]


def there_and_back(arrays: Arrays, bits: float) -> Arrays:
    multiples, exponents = quantised(arrays, bits, arrays)
    assert specs_of_quantised(specs(arrays), exponents) == specs(multiples)
    return dequantised(multiples, exponents, specs(arrays))


@pytest.mark.parametrize("bits", [3, 4, 6, 8, 10])
@pytest.mark.parametrize("scale", [1e-12, 0.03, 1e5])
def test_normal_values_take_about_the_bits_that_were_asked_for(bits: int, scale: float) -> None:
    values = np.random.default_rng(0).normal(scale=scale, size=(300, 400)).astype(np.float32)
    multiples, exponents = quantised({"w": values}, bits, ["w"])
    spent = 8 * len(compress(multiples)) / values.size
    assert bits - 0.55 < spent < bits + 0.75  # the step is a power of two; Huffman codes have whole bits
    error = dequantised(multiples, exponents, specs({"w": values}))["w"] - values
    assert np.abs(error).max() <= 2.0 ** (exponents[0] - 1) * 1.0001
    assert np.std(error) / scale < 1.8 * 2.0**-bits  # e √(2π/12) / 2^bits where the step is no power of two: 1.19


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 30), st.sampled_from([np.float16, np.float32, np.float64]), st.floats(-20, 20), st.floats(1, 16)
)
def test_what_is_quantised_twice_is_as_it_was(seed: int, dtype: Any, exponent: float, bits: float) -> None:
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        arrays: Arrays = {"w": (rng.standard_t(3, size=200) * 2.0**exponent).astype(dtype), "n": np.arange(70)}
    once = there_and_back(arrays, bits)
    multiples, exponents = quantised(arrays, bits, ["w"])
    again = dequantised(multiples, exponents, specs(arrays))
    assert again["w"].tobytes() == once["w"].tobytes()
    assert once["n"].tobytes() == arrays["n"].tobytes()
    assert once["w"].dtype == dtype


def test_small_constant_and_broken_arrays_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    arrays: Arrays = {
        "bias": rng.normal(size=63).astype(np.float32),
        "constant": np.full(500, 0.1, np.float32),
        "nan": np.where(np.arange(500) == 3, np.nan, rng.normal(size=500)).astype(np.float32),
        "other": rng.normal(size=500).astype(np.float32),
        "uneven": np.eye(1, 1 << 21, dtype=np.float32)[0],  # at 16 bits, the one value would be 2²⁴ steps
    }
    multiples, exponents = quantised(arrays, 16, [name for name in arrays if name != "other"])
    assert exponents == [EXACT] * 5
    assert all(multiples[name] is arrays[name] for name in arrays)
    assert quantised({"scale": rng.normal(size=64)}, 8, ["scale"])[1] != [EXACT]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_no_value_becomes_infinite(dtype: Any) -> None:
    """The mask of an attention layer: the nearest multiple to the least float has no place among floats."""
    least = np.finfo(dtype).min
    mask = np.triu(np.full((20, 20), least, dtype), 1)
    assert there_and_back({"mask": mask}, 8)["mask"].tobytes() == mask.tobytes()
    below = there_and_back({"mask": mask / dtype(4)}, 8)["mask"]
    assert np.abs(below - mask / dtype(4)).max() <= -least / 400


def test_exponents_that_fit_no_model_are_refused() -> None:
    model: Arrays = {"w": np.zeros(100, np.float32), "n": np.arange(3)}
    for exponents in ([], [0], [0, 0], [EXACT - 1, EXACT], [-2000, EXACT], [0, EXACT, 0]):
        with pytest.raises(MalformedMessage):
            specs_of_quantised(specs(model), exponents)
