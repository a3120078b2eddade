"""Each method of the table against its definition: by hand, and weight by weight on random models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl.codecs.surp_paper.scales import l2
from surp_fl.pruning import METHODS, TooSparse, prune
from surp_fl.types import Array
from tests.pruning.definitions import Layers, kept_by_score, ranked_scores, shared_out
from tests.pruning.models import gradients_of, masks_within, models, total_of, weights_of

BY_MAGNITUDE = ["surp-lamp", "scaled", "global", "uniform", "erk", "lamp"]
sparsities = st.floats(0, 0.97)
every_method = pytest.mark.parametrize("method", [name for name in METHODS if name != "adaptive"])


def at_most(sparsity: float, model: dict[str, Array]) -> float:
    """A sparsity that keeps at least one weight."""
    return min(sparsity, 1 - 1 / total_of(model))


def left_in(model: dict[str, Array], seed: int | None) -> tuple[Layers, dict[str, Array] | None]:
    """Flat weights, NaN where masks prune them, and the masks."""
    masks = None if seed is None else masks_within(model, seed)
    flat = []
    for name, array in weights_of(model).items():
        values = array.astype(np.float64).reshape(-1)
        flat.append(values if masks is None else np.where(masks[name].reshape(-1), values, np.nan))
    return flat, masks


def pruned(model: dict[str, Array], keep: int, method: str, within: dict[str, Array] | None = None) -> list[set[int]]:
    """Indices that are kept, layer by layer."""
    sparsity = 1 - keep / total_of(model)
    found = prune(model, sparsity, method, within=within, gradients=gradients_of(model), tied=False)
    return [set(np.flatnonzero(mask).tolist()) for mask in found.masks.values()]


def as_pairs(kept: list[set[int]]) -> set[tuple[int, int]]:
    return {(i, j) for i, layer in enumerate(kept) for j in layer}


def cases(test: Callable[..., None]) -> Callable[..., None]:
    """A test on random models, for any sparsity, with earlier masks or without."""
    return settings(max_examples=40)(given(models(), sparsities, st.none() | st.integers(0, 9))(test))


def keep_of(sparsity: float, layers: Layers) -> int:
    left = int(sum(np.count_nonzero(~np.isnan(layer)) for layer in layers))
    return max(1, min(left, round((1 - sparsity) * left)))


@cases
def test_global_keeps_the_largest_magnitudes_of_the_model(
    model: dict[str, Array], sparsity: float, seed: int | None
) -> None:
    layers, within = left_in(model, seed)
    keep = keep_of(sparsity, layers)
    assert as_pairs(pruned(model, keep, "global", within)) == kept_by_score([np.abs(w) for w in layers], keep)


@cases
def test_scaled_keeps_the_largest_magnitudes_in_units_of_their_layers_norm(
    model: dict[str, Array], sparsity: float, seed: int | None
) -> None:
    layers, within = left_in(model, seed)
    keep = keep_of(sparsity, layers)
    norms = [l2(np.nan_to_num(w)) or 1.0 for w in layers]
    wanted = kept_by_score([np.abs(w) / norm for w, norm in zip(layers, norms, strict=True)], keep)
    assert as_pairs(pruned(model, keep, "scaled", within)) == wanted


@cases
def test_snip_keeps_the_largest_products_of_weight_and_gradient(
    model: dict[str, Array], sparsity: float, seed: int | None
) -> None:
    layers, within = left_in(model, seed)
    keep = keep_of(sparsity, layers)
    gradients = [each.reshape(-1) for each in gradients_of(model).values()]
    wanted = kept_by_score([np.abs(g * w) for g, w in zip(gradients, layers, strict=True)], keep)
    assert as_pairs(pruned(model, keep, "snip", within)) == wanted


@pytest.mark.parametrize(("method", "power"), [("lamp", 2), ("surp-lamp", 1)])
@cases
def test_layer_adaptive_scores_are_relative_to_what_is_kept_above_them(
    method: str, power: int, model: dict[str, Array], sparsity: float, seed: int | None
) -> None:
    layers, within = left_in(model, seed)
    keep = keep_of(sparsity, layers)
    scores = ranked_scores(layers, power)
    kept = as_pairs(pruned(model, keep, method, within))
    assert len(kept) == keep
    left = [(i, j) for i, layer in enumerate(layers) for j in np.flatnonzero(~np.isnan(layer)).tolist()]
    scored = [(scores[i][j], (i, j) in kept) for i, j in left]
    least_kept = min(score for score, is_kept in scored if is_kept)
    assert max((score for score, is_kept in scored if not is_kept), default=0.0) <= least_kept * (1 + 1e-12)


@cases
def test_uniform_keeps_the_same_share_of_each_layer(model: dict[str, Array], sparsity: float, seed: int | None) -> None:
    layers, within = left_in(model, seed)
    keep = keep_of(sparsity, layers)
    left = [int(np.count_nonzero(~np.isnan(layer))) for layer in layers]
    counts = [len(each) for each in pruned(model, keep, "uniform", within)]
    assert counts == shared_out([layer.size for layer in layers], left, keep)


@cases
def test_erk_keeps_in_proportion_to_the_sum_of_dimensions(
    model: dict[str, Array], sparsity: float, seed: int | None
) -> None:
    layers, within = left_in(model, seed)
    keep = keep_of(sparsity, layers)
    left = [int(np.count_nonzero(~np.isnan(layer))) for layer in layers]
    counts = [len(each) for each in pruned(model, keep, "erk", within)]
    assert counts == shared_out([sum(array.shape) for array in weights_of(model).values()], left, keep)


@cases
def test_adaptive_keeps_the_first_convolution_and_a_fifth_of_the_last_layer_or_says_that_it_cannot(
    model: dict[str, Array], sparsity: float, seed: int | None
) -> None:
    layers, within = left_in(model, seed)
    keep = keep_of(sparsity, layers)
    left = [int(np.count_nonzero(~np.isnan(layer))) for layer in layers]
    first = next((i for i, array in enumerate(weights_of(model).values()) if array.ndim > 2), None)
    fixed = {} if first is None else {first: left[first]}
    of_last = min(round(layers[-1].size / 5), left[-1])
    last = len(layers) - 1
    if sum(({last: of_last} | fixed).values()) > keep:
        with pytest.raises(TooSparse, match="adaptive keeps the first convolution"):
            pruned(model, keep, "adaptive", within)
        return

    def shared(whole: dict[int, int]) -> list[int]:
        others = [i for i in range(len(layers)) if i not in whole]
        rest = keep - sum(whole.values())
        counts = shared_out([layers[i].size for i in others], [left[i] for i in others], rest)
        return [whole[i] if i in whole else counts[others.index(i)] for i in range(len(layers))]

    wanted = shared(fixed)
    wanted = wanted if wanted[last] >= of_last else shared({last: of_last} | fixed)
    assert [len(each) for each in pruned(model, keep, "adaptive", within)] == wanted


def test_by_hand() -> None:
    model = {
        "conv": np.array([[[1.0, -8.0]], [[0.5, 2.0]]], np.float32),
        "fc1": np.array([[3.0, 4.0], [0.1, 0.2], [0.3, 0.0]], np.float32),
        "fc2": np.array([[10.0, -5.0, 20.0, 1.0, 1.0]], np.float32),
    }
    assert pruned(model, 6, "global") == [{1}, {0, 1}, {0, 1, 2}]
    # 6 of 15: 1.6, 2.4, 2.0
    assert pruned(model, 6, "uniform") == [{1, 3}, {0, 1}, {0, 2}]
    # the convolution whole; of the rest 3 of 11: 1.64 and 1.36, a fifth of the last being 1
    assert pruned(model, 7, "adaptive") == [{0, 1, 2, 3}, {0, 1}, {2}]
    # Σ dimensions are 2 + 1 + 2, 3 + 2, 1 + 5; 9 of 16: 2.8, 2.8, 3.4
    assert pruned(model, 9, "erk") == [{0, 1, 3}, {0, 1, 4}, {0, 1, 2}]
    # 15 − 1 of 16: 4.4 and 4.4 and 5.25: the first and the last are whole, and 5 are left for the second
    assert pruned(model, 14, "erk") == [{0, 1, 2, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}]
    # w² / Σ: conv 1, 4/68, 1/69, ..; fc1 1, 9/25, ..; fc2 1, 100/500, 25/525, ..
    assert pruned(model, 6, "lamp") == [{1, 3}, {0, 1}, {0, 2}]
    # |w| / Σ: conv 1, 2/10, 1/11; fc1 1, 3/7, .3/7.3; fc2 1, 10/30, 5/35
    assert pruned(model, 7, "surp-lamp") == [{1, 3}, {0, 1}, {0, 1, 2}]
    # |w| / l2 norm, the norms being 8.3, 5.0, 23: conv .96, .24; fc1 .60, .80; fc2 .43, .22, .87
    assert pruned(model, 6, "scaled") == [{1, 3}, {0, 1}, {0, 2}]


def test_the_last_layer_keeps_a_fifth_of_all_its_weights_under_adaptive() -> None:
    model = {"conv": np.ones((1, 2, 2)), "fc1": np.ones((10, 10)), "fc2": np.arange(20.0).reshape(2, 10)}
    # 16 of the 120 after the convolution: 13.3 and 2.7, but a fifth of the last is 4
    assert [len(kept) for kept in pruned(model, 20, "adaptive")] == [4, 12, 4]
    assert [len(kept) for kept in pruned(model, 40, "adaptive")] == [4, 30, 6]
    # a fifth of all its weights, not of the ten that are left
    within = {"conv": np.ones((1, 2, 2), np.bool_), "fc1": np.ones((10, 10), np.bool_), "fc2": model["fc2"] > 9}
    assert [len(kept) for kept in pruned(model, 20, "adaptive", within)] == [4, 12, 4]
    within["fc2"] = model["fc2"] > 16
    assert [len(kept) for kept in pruned(model, 20, "adaptive", within)] == [4, 13, 3]


def test_every_layer_keeps_its_largest_weight_under_scores_relative_to_the_layer() -> None:
    rng = np.random.default_rng(0)
    model = {f"{i}": rng.normal(size=(20, 20)) * 100.0**-i for i in range(5)}
    for method in ("lamp", "surp-lamp"):
        assert all(len(kept) == 1 for kept in pruned(model, 5, method))


@every_method
@settings(max_examples=40)
@given(model=models(), sparsity=sparsities, seed=st.integers(0, 9))
def test_exactly_the_promised_number_is_kept_within_earlier_masks(
    method: str, model: dict[str, Array], sparsity: float, seed: int
) -> None:
    within = masks_within(model, seed)
    left = sum(np.count_nonzero(mask) for mask in within.values())
    sparsity = at_most(max(sparsity, 1 - left / total_of(model)), model)
    found = prune(model, sparsity, method, within=within, gradients=gradients_of(model), tied=False)
    assert sum(np.count_nonzero(mask) for mask in found.masks.values()) == round((1 - sparsity) * total_of(model))
    for name, mask in found.masks.items():
        assert mask.shape == model[name].shape
        assert not (mask & ~within[name]).any()
        assert (found.arrays[name][~mask] == 0).all()
        assert (found.arrays[name][mask] == model[name][mask]).all()
        assert found.arrays[name].dtype == model[name].dtype


@pytest.mark.parametrize("method", BY_MAGNITUDE)
@settings(max_examples=40)
@given(model=models(), sparsity=sparsities)
def test_methods_of_magnitude_keep_the_largest_of_each_layer(
    method: str, model: dict[str, Array], sparsity: float
) -> None:
    found = prune(model, at_most(sparsity, model), method, tied=False)
    for name, mask in found.masks.items():
        magnitudes = np.abs(model[name])
        if mask.any() and not mask.all():
            assert magnitudes[mask].min() >= magnitudes[~mask].max()


@pytest.mark.parametrize("method", ["lamp", "surp-lamp", "scaled", "uniform", "erk", "surp", "surp-published"])
@settings(max_examples=40)
@given(model=models(), sparsity=sparsities, power=st.integers(-5, 5))
def test_a_layers_scale_changes_nothing_where_layers_are_compared_in_their_own_units(
    method: str, model: dict[str, Array], sparsity: float, power: int
) -> None:
    model = {name: array.astype(np.float32) for name, array in model.items()}
    first = next(iter(weights_of(model)))
    other = model | {first: model[first] * np.float32(2.0**power)}  # a power of two: no rounding
    sparsity = at_most(sparsity, model)
    before, after = (prune(each, sparsity, method, tied=False).masks for each in (model, other))
    assert all((before[name] == after[name]).all() for name in before)


@settings(max_examples=40)
@given(models(), sparsities)
def test_erk_depends_on_neither_values_nor_the_order_of_dimensions(model: dict[str, Array], sparsity: float) -> None:
    sparsity = at_most(sparsity, model)
    other = {name: np.ones_like(array).T for name, array in model.items()}
    counts = [[layer.kept for layer in prune(each, sparsity, "erk", tied=False).layers] for each in (model, other)]
    assert counts[0] == counts[1]


def test_random_draws_every_weight_equally_often_and_follows_its_generator() -> None:
    model = {"a": np.ones((3, 4), np.float32), "b": np.ones((2, 4), np.float32)}
    rng = np.random.default_rng(0)
    counts = np.zeros(20)
    for _ in range(2000):
        masks = prune(model, 0.75, "random", rng=rng).masks
        counts += np.concatenate([masks["a"].reshape(-1), masks["b"].reshape(-1)])
    assert np.abs(counts - 500).max() < 100  # 5.2 deviations of a binomial
    twice = [prune(model, 0.75, "random", rng=np.random.default_rng(1)).masks for _ in range(2)]
    assert all((twice[0][name] == twice[1][name]).all() for name in model)


def test_every_row_of_the_table_says_what_it_keeps_and_where_that_is_from() -> None:
    assert all(name == row.name and row.summary and row.source for name, row in METHODS.items())
    assert METHODS["surp"].options == ("scale", "beta", "reconstruct")
    assert METHODS["scaled"].options == ("scale",)
    assert METHODS["erk"].options == ()
