from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from surp_fl import Layout

DTYPES = ["float16", "float32", "float64", "int64", "int8", "uint8", "bool"]


@st.composite
def models(draw: st.DrawFn) -> dict[str, NDArray[Any]]:
    names = draw(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=6))
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return {
        name: (100 * np.random.default_rng(i).normal(size=draw(shapes))).astype(draw(st.sampled_from(DTYPES)))
        if draw(st.booleans())
        else np.zeros(draw(shapes), draw(st.sampled_from(DTYPES)))
        for i, name in enumerate(names)
    }


@given(models())
def test_a_model_comes_back_with_its_names_order_shapes_and_dtypes(model: dict[str, NDArray[Any]]) -> None:
    layout = Layout.of(model)
    vector = layout.flatten(model)
    assert vector.dtype == np.float32
    assert vector.shape == (layout.size,)
    back = layout.unflatten(vector, {spec.name: model[spec.name] for spec in layout.exact})
    assert list(back) == list(model)
    for name, array in model.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        np.testing.assert_allclose(back[name].astype(float), array.astype(float), rtol=1e-6)


def test_flattening_lays_float_arrays_end_to_end() -> None:
    layout = Layout.of({"a": np.array([[1.0, 2.0]]), "count": np.array(7), "b": np.array(3.0)})
    assert layout.flatten({"a": np.array([[1.0, 2.0]]), "count": np.array(7), "b": np.array(3.0)}).tolist() == [1, 2, 3]
    assert layout.ends.tolist() == [2, 3]
    assert [spec.name for spec in layout.exact] == ["count"]


def test_unflattened_arrays_do_not_share_memory_with_the_vector() -> None:
    layout = Layout.of({"a": np.zeros(3, np.float32)})
    vector = np.zeros(3, np.float32)
    layout.unflatten(vector)["a"][:] = 1
    assert not vector.any()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"a": np.zeros(3)}, r"missing \['b'\]"),
        ({"a": np.zeros(3), "b": np.zeros(2), "c": np.zeros(1)}, r"not expected \['c'\]"),
        ({"b": np.zeros(2), "a": np.zeros(3)}, "order"),
        ({"a": np.zeros(4), "b": np.zeros(2)}, r"shape \[4\]; this model has \[3\]"),
        ({"a": np.zeros(3), "b": np.zeros(2, int)}, "dtype int64; this model has float64"),
    ],
)
def test_another_model_is_refused_with_the_difference(other: dict[str, NDArray[Any]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Layout.of({"a": np.zeros(3), "b": np.zeros(2)}).flatten(other)


def test_floats_of_another_width_are_taken_and_integers_of_another_are_not() -> None:
    layout = Layout.of({"a": np.zeros(3), "count": np.array(7)})
    assert layout.flatten({"a": np.arange(3, dtype=np.float32), "count": np.array(7)}).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="dtype int32; this model has int64"):
        layout.flatten({"a": np.zeros(3), "count": np.array(7, np.int32)})


def test_a_missing_exact_array_is_named() -> None:
    layout = Layout.of({"count": np.array(7)})
    with pytest.raises(ValueError, match="count"):
        layout.unflatten(np.empty(0, np.float32))


def test_a_vector_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs \(3,\)"):
        Layout.of({"a": np.zeros(3)}).unflatten(np.zeros(4, np.float32))


def test_complex_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="real and imaginary"):
        Layout.of({"a": np.zeros(3, complex)})


def test_the_fingerprint_tells_names_shapes_and_order_apart() -> None:
    a, b = np.zeros((2, 3)), np.zeros(4)
    layouts: list[dict[str, NDArray[Any]]] = [
        {"a": a, "b": b},
        {"b": b, "a": a},
        {"a": a.T, "b": b},
        {"a": a, "c": b},
        {"a": a},
    ]
    assert len({Layout.of(layout).fingerprint for layout in layouts}) == len(layouts)
    assert Layout.of({"a": a.astype(np.float16), "b": b}).fingerprint == Layout.of(layouts[0]).fingerprint
