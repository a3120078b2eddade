"""What layers are divided by: norms of arrays in their own shapes, and their way through a message."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from surp_fl import Layout, PaperSuRP
from surp_fl.codecs.surp_paper.scales import Scale, induced_l1, l1, l2, rms

finite = st.floats(-1e6, 1e6, width=32)
arrays = hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6), elements=finite)


@given(arrays, st.integers(0, 2**32))
def test_the_induced_norm_is_the_most_that_the_matrix_makes_of_an_input(layer: NDArray[np.float32], seed: int) -> None:
    matrix = layer.reshape(len(layer), -1 if layer.ndim > 1 else 1).astype(np.float64)
    inputs = np.random.default_rng(seed).normal(size=(matrix.shape[1], 20))
    inputs /= np.abs(inputs).sum(axis=0)
    outputs = np.abs(matrix @ np.concatenate([np.eye(matrix.shape[1]), inputs], axis=1)).sum(axis=0)
    assert outputs.max() == pytest.approx(induced_l1(layer), rel=1e-6, abs=1e-30)
    assert l1(layer) / max(matrix.shape[1], 1) <= induced_l1(layer) * (1 + 1e-6) <= l1(layer) * (1 + 2e-6)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_a_layer_without_weights_has_norm_zero(shape: tuple[int, ...]) -> None:
    for scale in (induced_l1, l1, l2, rms):
        assert scale(np.zeros(shape, np.float32)) == 0


def test_a_scalar_is_its_own_column() -> None:
    assert induced_l1(np.array(-2, np.float32)) == 2


@given(arrays)
def test_norms_of_all_entries_do_not_depend_on_the_shape(layer: NDArray[np.float32]) -> None:
    for scale in (l1, l2, rms):
        assert scale(layer) == scale(layer.ravel())


def test_every_layer_is_given_in_its_own_shape_and_divided_by_what_is_given_back() -> None:
    rng = np.random.default_rng(0)
    model = {"conv": rng.laplace(size=(4, 3, 5, 5)), "bias": rng.laplace(size=4), "gain": rng.laplace(size=())}
    model["fc"] = rng.laplace(size=(7, 100)) / 1000
    layout = Layout.of(model)
    seen: list[NDArray[np.float32]] = []

    def watched(layer: NDArray[np.float32]) -> float:
        seen.append(layer.copy())
        return induced_l1(layer)

    def decoded(scale: Scale | None) -> NDArray[np.float32]:
        codec = PaperSuRP(steps=30, scale=scale).codec
        message = codec.encode(layout.flatten(model), layout, rng=np.random.default_rng(1))
        return codec.decode(message, layout)

    first = decoded(watched)
    assert [layer.shape for layer in seen] == [(4, 3, 5, 5), (4,), (), (7, 100)]
    for layer, wanted in zip(seen, model.values(), strict=True):
        np.testing.assert_array_equal(layer, wanted.astype(np.float32))
    factors = {"conv": 2.0**-20, "bias": 1.0, "gain": 1.0, "fc": 2.0**9}  # in other units, the same steps
    model = {name: array * factors[name] for name, array in model.items()}
    second = layout.unflatten(decoded(induced_l1))
    for name, array in layout.unflatten(first).items():
        np.testing.assert_array_equal(second[name], array * factors[name])
