"""What is pruned, what it says of itself, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl.pruning import METHODS, Method, by_count, prune
from surp_fl.pruning.task import Task
from surp_fl.types import Array, Integers
from tests.pruning.models import models, total_of

MODEL: dict[str, Array] = {
    "conv.weight": np.arange(-24, 24, dtype=np.float32).reshape(4, 3, 2, 2),
    "bn.weight": np.ones(4, np.float32),
    "bn.running_mean": np.zeros(4, np.float32),
    "bn.batches": np.array(7),
    "fc.weight": np.linspace(-1, 1, 20, dtype=np.float64).reshape(5, 4),
    "fc.bias": np.full(5, 0.5, np.float32),
    "temperature": np.array(3.0, np.float32),
}


def test_only_weights_of_two_dimensions_or_more_are_pruned_by_default() -> None:
    before = {name: array.copy() for name, array in MODEL.items()}
    pruned = prune(MODEL, 0.5, "global")
    assert list(pruned.masks) == ["conv.weight", "fc.weight"]
    assert list(pruned.arrays) == list(MODEL)
    for name, array in MODEL.items():
        assert (array == before[name]).all()
        assert pruned.arrays[name].dtype == array.dtype
        assert not np.shares_memory(pruned.arrays[name], array)
        if name not in pruned.masks:
            assert (pruned.arrays[name] == array).all()


def test_all_trained_arrays_are_pruned_in_the_scope_of_the_authors_code() -> None:
    pruned = prune(MODEL, 0.5, "global", scope="all")
    assert list(pruned.masks) == ["conv.weight", "bn.weight", "fc.weight", "fc.bias", "temperature"]
    assert pruned.masks["temperature"].shape == ()
    assert pruned.weights == pruned.parameters == 78
    assert pruned.kept == 39


@pytest.mark.parametrize("method", METHODS)
def test_every_method_prunes_arrays_of_any_dimensions_and_further_within_masks(method: str) -> None:
    gradients = {name: np.ones_like(array) for name, array in MODEL.items()}
    first = prune(MODEL, 0.2, method, scope="all", gradients=gradients)
    assert first.kept == 62
    second = prune(first.arrays, 0.21, method, scope="all", gradients=gradients, within=first.masks)
    assert second.kept == 62
    assert all((second.masks[name] == mask).all() for name, mask in first.masks.items())
    third = prune(first.arrays, 0.3, method, scope="all", gradients=gradients, within=first.masks)
    assert third.kept == 55
    assert not any((mask & ~first.masks[name]).any() for name, mask in third.masks.items())


@pytest.mark.parametrize("choice", [["fc.weight", "fc.bias"], lambda name, array: name.startswith("fc")])
def test_arrays_to_prune_are_named_or_chosen_by_a_function(choice: Any) -> None:
    assert list(prune(MODEL, 0.5, "global", prunable=choice).masks) == ["fc.weight", "fc.bias"]


def test_the_totals_have_both_denominators() -> None:
    pruned = prune(MODEL, 0.75, "global")
    assert (pruned.weights, pruned.kept, pruned.parameters) == (68, 17, 78)
    assert pruned.sparsity == 0.75
    assert pruned.sparsity_of_all == pytest.approx(51 / 78)


def test_the_table_has_a_line_for_each_layer_and_two_totals() -> None:
    model = {
        "conv": np.array([[[3.0, -4.0]], [[0.0, 5.0]]], np.float32),
        "fc": np.zeros((2, 2), np.float32),
        "bias": np.zeros(2, np.float32),
    }
    assert str(prune(model, 0.75, "global")) == (
        "pruned by global\n"
        "layer             shape  weights  nonzero before  kept  sparsity      l1      l2\n"
        "--------------------------------------------------------------------------------\n"
        "conv              2×1×2        4               3     2    50.00%  0.7500  0.9055\n"
        "fc                  2×2        4               0     0   100.00%       –       –\n"
        "--------------------------------------------------------------------------------\n"
        "prunable weights               8               3     2    75.00%\n"
        "all parameters                10               5     4    60.00%"
    )


def test_norms_of_the_table_are_right_where_squares_would_overflow() -> None:
    (layer,) = prune({"w": np.array([[3e200, 4e200]])}, 0.5, "global").layers
    assert (layer.l1, layer.l2) == pytest.approx((4 / 7, 4 / 5))


@given(models(), st.floats(0, 0.9), st.sampled_from(["surp", "lamp", "global", "random"]))
@settings(max_examples=50)
def test_the_table_agrees_with_masks_and_arrays(model: dict[str, Array], sparsity: float, method: str) -> None:
    pruned = prune(model, min(sparsity, 1 - 1 / total_of(model)), method, tied=False)
    for layer in pruned.layers:
        assert layer.kept == np.count_nonzero(pruned.masks[layer.name])
        assert layer.before == np.count_nonzero(model[layer.name])
        before, after = (np.abs(each[layer.name]).astype(np.float64).sum() for each in (model, pruned.arrays))
        assert np.isnan(layer.l1) if before == 0 else layer.l1 == pytest.approx(after / before)


def test_zeros_are_kept_only_where_nothing_else_is_left() -> None:
    model = {"a": np.array([[0.0, 0.0, 2.0]]), "b": np.array([[1.0, 0.0, 0.0]])}
    for method in ("surp", "surp-published", "surp-lamp", "lamp", "global", "scaled"):
        masks = prune(model, 1 / 3, method).masks
        assert masks["a"].tolist() == [[True, True, True]], method
        assert masks["b"].tolist() == [[True, False, False]], method


@pytest.mark.parametrize("method", [name for name in METHODS if name != "adaptive"])
def test_a_model_of_zeros_can_be_pruned(method: str) -> None:
    model = {"a": np.zeros((3, 4), np.float32), "b": np.zeros((2, 2), np.float32)}
    assert prune(model, 0.5, method, gradients=model).kept == 8


def test_tied_arrays_share_a_mask_and_are_counted_once() -> None:
    weight = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    model = {"embedding": weight, "other": 0.5 * weight, "head": weight.copy(), "bias": np.ones(3, np.float32)}
    pruned = prune(model, 0.5, "global")
    assert list(pruned.masks) == ["embedding", "other", "head"]
    assert (pruned.masks["head"] == pruned.masks["embedding"]).all()
    assert (pruned.arrays["head"] == pruned.arrays["embedding"]).all()
    assert (pruned.weights, pruned.parameters, pruned.kept) == (40, 43, 20)
    apart = prune(model, 0.5, "global", tied=False)
    assert (apart.weights, apart.parameters, apart.kept) == (60, 63, 30)


def test_tied_arrays_are_pruned_further_within_the_mask_of_either() -> None:
    weight = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    model = {"embedding": weight, "head": weight.copy()}
    first = prune(model, 0.5, "global")
    for given_masks in (first.masks, {"head": first.masks["head"]}, {"embedding": first.masks["head"]}):
        again = prune(model, 0.6, "random", within=given_masks)
        assert not (again.masks["embedding"] & ~first.masks["embedding"]).any()
    other = {"embedding": first.masks["head"], "head": ~first.masks["head"]}
    with pytest.raises(ValueError, match="'head' and 'embedding' are tied, but their masks in within differ"):
        prune(model, 0.6, within=other)


def test_other_parameters_that_are_tied_are_counted_once() -> None:
    bias = np.random.default_rng(0).normal(size=16)
    model = {"weight": np.ones((4, 4)), "a": bias, "b": bias.copy()}
    assert prune(model, 0.5, "global").parameters == 32
    assert prune(model, 0.5, "global", tied=False).parameters == 48


def test_what_is_not_given_a_generator_is_pruned_alike_each_time() -> None:
    model = {"weight": np.random.default_rng(0).laplace(size=(40, 50)).astype(np.float32)}
    for method in ("surp", "random"):
        masks = [prune(model, 0.6, method).masks["weight"] for _ in range(2)]
        assert (masks[0] == masks[1]).all()
        other = prune(model, 0.6, method, rng=np.random.default_rng(1)).masks["weight"]
        assert (masks[0] != other).any()


def test_a_method_of_ones_own_is_a_row_with_its_options() -> None:
    def count(task: Task, *, of_first: int = 1, lost: int = 0) -> Integers:
        return np.array([of_first, task.keep - of_first - lost], np.int64)

    mine = Method("mine", "so many of the first layer", "none", by_count(count))
    assert [layer.kept for layer in prune(MODEL, 0.75, mine).layers] == [1, 16]
    assert [layer.kept for layer in prune(MODEL, 0.75, mine, of_first=9).layers] == [9, 8]
    with pytest.raises(ValueError, match=r"'fc.weight' is to keep 33 weights, but it has 20 that are left"):
        prune(MODEL, 0.5, mine)
    with pytest.raises(ValueError, match=r"'fc.weight' is to keep -3 weights"):
        prune(MODEL, 0.75, mine, of_first=20)
    with pytest.raises(ValueError, match="'mine' keeps 15 weights; it was to keep 17"):
        prune(MODEL, 0.75, mine, lost=2)
    with pytest.raises(TypeError, match="'mine' has no option share; its options are of_first, lost"):
        prune(MODEL, 0.5, mine, share=3)


FULL = np.ones((5, 4), np.bool_)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"sparsity": 1.0}, ValueError, "sparsity = 1.0; expected .* from 0 up to below 1"),
        ({"sparsity": -0.1}, ValueError, "sparsity = -0.1"),
        ({"sparsity": float("nan")}, ValueError, "sparsity = nan"),
        ({"sparsity": 0.995}, ValueError, "keeps none of 68 weights: choose at most 0.985294"),
        ({"method": "surpp"}, ValueError, "method = 'surpp'; expected one of surp, "),
        ({"method": "surp", "gamma": 1}, TypeError, "has no option gamma; its options are scale, beta, reconstruct"),
        ({"method": "erk", "scale": None}, TypeError, "'erk' has no option scale; it has no options"),
        ({"scope": "everything"}, ValueError, "scope = 'everything'; expected one of weights, all"),
        ({"scope": "all", "prunable": ["fc.weight"]}, ValueError, "both given"),
        ({"prunable": "fc.weight"}, TypeError, r"give \['fc.weight'\]"),
        ({"prunable": ["fc.weights"]}, ValueError, "prunable names fc.weights; the model has conv.weight, bn.weight"),
        ({"prunable": ["bn.batches"]}, TypeError, "'bn.batches' has dtype int64; only float arrays"),
        ({"prunable": lambda name, array: False}, ValueError, "no array is prunable"),
        ({"within": {"fc.bias": np.ones(5, np.bool_)}}, ValueError, "'fc.bias', which is not pruned here"),
        ({"within": {"fc.weight": np.ones((5, 4))}}, ValueError, r"is float64\[5, 4\]; expected bool\[5, 4\]"),
        ({"within": {"fc.weight": FULL.T}}, ValueError, r"is bool\[4, 5\]; expected bool\[5, 4\]"),
        ({"within": {"fc.weight": ~FULL}, "sparsity": 0.2}, ValueError, "leaves 48: choose at least 0.294118"),
        ({"method": "snip"}, ValueError, "'snip' needs gradients"),
        ({"method": "snip", "gradients": {}}, ValueError, "no array for 'conv.weight'; expected shape"),
        ({"method": "snip", "gradients": {"conv.weight": np.ones(3)}}, ValueError, r"shape \[3\] for 'conv.weight'"),
        (
            {"method": "snip", "gradients": {"conv.weight": np.full((4, 3, 2, 2), np.nan)}},
            ValueError,
            "gradient of 'conv.weight' holds NaN",
        ),
        ({"scale": lambda layer: -1.0}, ValueError, "scale gives -1.0 for 'conv.weight'"),
        ({"scale": lambda layer: float("inf")}, ValueError, "scale gives inf"),
        ({"method": "scaled", "scale": lambda layer: float("nan")}, ValueError, "scale gives nan"),
        ({"beta": 1000.0}, ValueError, "beta = 1000.0"),
    ],
)
def test_what_cannot_be_pruned_is_refused_with_a_cure(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        prune(MODEL, **({"sparsity": 0.5} | arguments))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_and_other_arrays_are_not_looked_at(broken: float) -> None:
    model = {"attention_mask": np.full(3, -np.inf), "fc.weight": np.ones((5, 4))}
    assert prune(model, 0.5, "global").kept == 10
    model["fc.weight"][2, 1] = broken
    with pytest.raises(ValueError, match=r"'fc.weight' holds NaN or infinity"):
        prune(model, 0.5, "global")


@pytest.mark.parametrize("dtype", [np.complex64, object, "V2"])
def test_arrays_of_other_types_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"array 'odd' has dtype .* cast bfloat16 to float32"):
        prune({"odd": np.zeros((2, 2), dtype), "weight": np.ones((2, 2))}, 0.5, "global")


def test_empty_arrays_are_passed_over() -> None:
    model = {"none": np.empty((0, 4), np.float32), "weight": np.ones((2, 2), np.float32)}
    assert list(prune(model, 0.5, "erk").masks) == ["weight"]


def test_pruning_needs_neither_torch_nor_flower() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['flwr'] = None; import numpy as np; "
        "from surp_fl.pruning import METHODS, Pruned, prune, schedule; "
        "print(prune({'w': np.eye(4)}, 0.75).kept)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "4", done.stderr
