"""SuRP as a pruning method against the paper's algorithm, one step at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl import Layout, PaperSuRP
from surp_fl.codecs.surp_paper.scales import Scale, l1, l2, rms
from surp_fl.codecs.surp_paper.schedule import Schedule
from surp_fl.pruning import prune
from surp_fl.types import Array
from tests.pruning.models import masks_within, models, total_of, weights_of
from tests.reference import reference_refine

scales = st.sampled_from([None, l1, l2, rms])


def plain_surp(
    model: dict[str, Array], keep: int, scale: Scale | None, shrink: float | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Masks and reconstructions, from one pick after the other; every pick has u ≥ τ."""
    layers = {name: array.astype(np.float32) for name, array in weights_of(model).items()}
    divisors = {name: 1.0 if scale is None else scale(array) for name, array in layers.items()}
    u = [np.abs(layers[n].astype(np.float64)).reshape(-1) / (divisors[n] or 1.0) for n in layers]
    n = sum(map(len, u))
    schedule = Schedule.of(n)
    refined = reference_refine(
        np.concatenate(u), schedule.log_ratio, schedule.expected, np.random.default_rng(0), max_distinct=keep
    )
    sums, mean, refresh = np.zeros(n), 0.0, 0
    for step, index in enumerate(refined.indices):
        if refresh < len(refined.refresh_at) and refined.refresh_at[refresh] == step:
            mean = refined.means[refresh]
            refresh += 1
        assert np.concatenate(u)[index] - sums[index] >= schedule.log_ratio * mean * (1 - 1e-12)
        sums[index] += schedule.log_ratio * mean
        mean *= (n - schedule.log_ratio) / n
    parts = np.split(sums, np.cumsum([len(each) for each in u])[:-1])
    masks, values = {}, {}
    for part, (name, array) in zip(parts, layers.items(), strict=True):
        masks[name] = (part > 0).reshape(array.shape)
        values[name] = np.copysign(part.reshape(array.shape) * divisors[name], array)
    return masks, values


@given(models(), st.floats(0.01, 0.97), scales, st.none() | st.integers(0, 9))
@settings(max_examples=60)
def test_what_is_kept_and_its_reconstruction_are_those_of_the_paper_step_by_step(
    model: dict[str, Array], sparsity: float, scale: Scale | None, seed: int | None
) -> None:
    within = None if seed is None else masks_within(model, seed)
    left = model if within is None else model | {n: np.where(m, model[n], 0) for n, m in within.items()}
    nonzero = sum(int(np.count_nonzero(array)) for array in weights_of(left).values())
    keep = min(max(1, round((1 - sparsity) * total_of(model))), nonzero)
    if keep == 0:
        return
    found = prune(
        model, 1 - keep / total_of(model), "surp", within=within, scale=scale, reconstruct=True, tied=False,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    masks, values = plain_surp(left, keep, scale)
    for name, mask in found.masks.items():
        assert (mask == masks[name]).all()
        rounding = 2.0 ** (-9 if model[name].dtype == np.float16 else -22)
        assert np.allclose(found.arrays[name], values[name], rtol=rounding, atol=1e-7)
        assert (np.abs(found.arrays[name]) <= np.abs(model[name])).all()


@given(models(), st.floats(0.01, 0.97), scales)
@settings(max_examples=30)
def test_reconstruction_changes_values_and_not_what_is_kept(
    model: dict[str, Array], sparsity: float, scale: Scale | None
) -> None:
    sparsity = min(sparsity, 1 - 1 / total_of(model))
    own, rebuilt = (prune(model, sparsity, "surp", scale=scale, reconstruct=each, tied=False) for each in (False, True))
    assert (own.reconstructed, rebuilt.reconstructed) == (False, True)
    nonzero = sum(np.count_nonzero(array) for array in weights_of(model).values())
    if own.kept < nonzero:  # else nothing has to be drawn
        assert all((own.masks[name] == rebuilt.masks[name]).all() for name in own.masks)


def test_pruning_and_the_papers_codec_keep_the_same_weights() -> None:
    rng = np.random.default_rng(0)
    model = {"a": rng.laplace(size=(30, 40)).astype(np.float32), "b": rng.normal(size=(50, 20)).astype(np.float32)}
    layout = Layout.of(model)
    codec = PaperSuRP(sparsity=0.9).codec
    message = codec.encode(layout.flatten(model), layout, rng=np.random.default_rng(5))
    decoded = layout.unflatten(codec.decode(message, layout))
    found = prune(model, 0.9, "surp", scale=None, reconstruct=True, rng=np.random.default_rng(5))
    for name in model:
        assert (found.masks[name] == (decoded[name] != 0)).all()
        assert np.allclose(found.arrays[name], decoded[name], rtol=1e-6)


def test_a_scale_is_given_each_layer_in_its_own_shape_without_what_was_pruned() -> None:
    model = {"conv": np.full((2, 3, 1, 4), 2.0, np.float32), "fc": np.ones((5, 4), np.float32)}
    within = {"fc": np.eye(5, 4, dtype=np.bool_)}
    seen = {}

    def widest(layer: Array) -> float:
        seen[layer.shape] = float(layer.sum())
        return 1.0

    for method in ("surp", "scaled"):
        seen.clear()
        prune(model, 0.8, method, within=within, scale=widest)
        assert seen == {(2, 3, 1, 4): 48.0, (5, 4): 4.0}


def test_layers_that_the_scale_leaves_out_are_kept_last() -> None:
    model = {"out": np.full((2, 5), 9.0, np.float32), "in": np.ones((2, 5), np.float32)}
    for sparsity, of_out in ((0.5, 0), (0.3, 4)):
        found = prune(model, sparsity, "surp", scale=lambda layer: float(layer[0, 0] == 1))
        assert np.count_nonzero(found.masks["out"]) == of_out
        assert np.count_nonzero(found.masks["in"]) == 10


def test_the_published_rate_keeps_nearly_the_largest_and_the_papers_rate_draws_among_many() -> None:
    model = {"w": np.random.default_rng(0).laplace(size=(100, 200)).astype(np.float32)}
    largest = prune(model, 0.7, "global").masks["w"]
    shared = {name: (prune(model, 0.7, name).masks["w"] & largest).sum() / 6000 for name in ("surp", "surp-published")}
    assert shared["surp-published"] > 0.99
    assert 0.5 < shared["surp"] < 0.8


def test_keeping_all_that_is_not_zero_needs_no_walk() -> None:
    weights = np.ldexp(1.0, np.arange(-140, 127)).astype(np.float32).reshape(3, 89)
    model = {"w": np.where(np.arange(267).reshape(3, 89) % 2, weights, 0)}
    found = prune(model, 1 - 133 / 267, "surp")
    assert (found.masks["w"] == (model["w"] != 0)).all()


def test_weights_beyond_float32_are_refused() -> None:
    with pytest.raises(ValueError, match="'w' has weights beyond the range of float32"):
        prune({"w": np.array([[1e300, 1.0]])}, 0.5, "surp")
    assert prune({"w": np.array([[1e300, 1.0]])}, 0.5, "lamp").kept == 1


def test_a_large_model_is_read_a_few_times_and_not_once_a_step() -> None:
    model = {"w": np.random.default_rng(0).laplace(size=(1000, 400)).astype(np.float32)}
    found = prune(model, 0.95, "surp")
    assert found.kept == 20_000
    magnitudes = np.abs(model["w"])
    assert magnitudes[found.masks["w"]].min() > np.quantile(magnitudes, 0.8)
    assert math.isclose(found.sparsity, 0.95)
