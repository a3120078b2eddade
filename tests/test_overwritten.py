"""What a model was before it changed, restored bit by bit."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays_of_numpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.overwritten import Overwritten
from surp_fl.types import Arrays

DTYPES = ["float16", "float32", "float64", "longdouble", "int8", "int64", "bool"]
shapes = arrays_of_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
arrays = st.sampled_from(DTYPES).flatmap(lambda dtype: arrays_of_numpy.arrays(np.dtype(dtype), shapes))


def bits(model: Arrays) -> dict[str, tuple[Any, ...]]:
    return {name: (array.shape, array.dtype, array.tobytes()) for name, array in model.items()}


@st.composite
def versions(draw: Any) -> tuple[Arrays, Arrays]:
    before = {str(place): array for place, array in enumerate(draw(st.lists(arrays, max_size=3)))}
    after = {}
    for name, array in before.items():
        other = draw(arrays_of_numpy.arrays(array.dtype, array.shape))
        where = draw(arrays_of_numpy.arrays(np.bool_, array.shape))
        after[name] = np.where(where, other, array).astype(array.dtype)
    return before, after


@given(versions())
def test_the_model_before_is_restored_bit_by_bit(pair: tuple[Arrays, Arrays]) -> None:
    before, after = pair
    kept = bits(after)
    overwritten = Overwritten.between(before, after)
    restored = overwritten.restored(after)
    assert {name: array.tobytes() for name, array in before.items() if array.dtype != np.longdouble} == {
        name: array.tobytes() for name, array in restored.items() if array.dtype != np.longdouble
    }
    assert all(
        np.array_equal(before[name], restored[name], equal_nan=array.dtype.kind == "f")
        for name, array in before.items()
    )
    assert bits(after) == kept  # the arguments stay as they were


def test_places_are_stored_where_they_take_less_than_the_array() -> None:
    before = {"w": np.zeros(100, np.float32), "b": np.zeros(4, np.float32), "same": np.ones(3, np.float32)}
    after = {"w": before["w"].copy(), "b": np.array([1, 2, 3, np.nan], np.float32), "same": before["same"]}
    after["w"][[3, 50]] = 1, -0.0  # the bits of −0 are not those of 0
    found = Overwritten.between(before, after)
    assert set(found.values) == {"w", "b"}
    places, old = found.values["w"]
    assert places is not None
    assert (places.tolist(), old.tolist()) == ([3, 50], [0, 0])
    assert found.values["b"][0] is None
    assert (found.changed, found.nbytes) == (6, 2 * (8 + 4) + 4 * 4)


def test_places_outside_of_the_model_are_refused() -> None:
    with pytest.raises(IndexError):
        Overwritten({"w": (np.array([9]), np.ones(1, np.float32))}, 1).restored({"w": np.ones(3, np.float32)})
