"""The pruning experiments: masks that hold, sparse training that keeps its number of weights, walks, tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simulations.experiments import pruning as experiment
from simulations.pruning.chains import SPARSITIES, Chain, accuracies, first_masks
from simulations.pruning.densities import Fit
from simulations.pruning.methods import PRUNING, SPARSE_TRAINING, masked
from simulations.pruning.networks import NETWORKS, Laboratory, Network, as_tensors
from simulations.pruning.sparse_training import DSR, LAST, SNFS, RigL, divided
from simulations.pruning.training import Schedule
from simulations.pruning.walk import walk_of
from simulations.report import pruning as report
from surp_fl.codecs.surp_paper.scales import induced_l1
from surp_fl.codecs.surp_paper.schedule import Limits
from surp_fl.types import Arrays

SHORT = Schedule(epochs=0.3, learning_rate=0.05, batch_size=32)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A small VGG and scikit-learn's digits, a few steps at a time."""
    network = Network("vgg", "digits", SHORT, SHORT, SHORT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        made = Laboratory(network, Path("none"), "float32")
        made.dense(0)
        yield made


def zeros(arrays: Arrays, masks: dict[str, torch.Tensor]) -> bool:
    return all((arrays[name][~mask.numpy()] == 0).all() for name, mask in masks.items())


def kept(masks: dict[str, torch.Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def test_masked_weights_stay_zero_and_others_move(laboratory: Laboratory) -> None:
    dense, rng = laboratory.dense(0), np.random.default_rng(0)
    chosen = PRUNING["lamp"].masks(laboratory, dense, 0.9, None, rng)
    start = masked(dense, chosen)
    arrays = laboratory.trained(start, SHORT, rng, as_tensors(chosen))
    assert zeros(arrays, as_tensors(chosen))
    assert all((arrays[name] != start[name]).any() for name in chosen)


@pytest.mark.parametrize("method", SPARSE_TRAINING)
def test_sparse_training_keeps_its_number_of_weights(method: str, laboratory: Laboratory) -> None:
    rng, how = np.random.default_rng(0), SPARSE_TRAINING[method]
    initial = laboratory.initial(0)
    first = first_masks(laboratory, how, initial, 0.9, rng)
    masks = as_tensors(first)
    rule = how.rule(masks, 0)
    if rule is not None:
        rule.every = 2  # type: ignore[attr-defined]
    arrays = laboratory.trained(masked(initial, first), SHORT, rng, masks, rule)
    total = sum(mask.numel() for mask in masks.values())
    assert kept(masks) == round(0.1 * total)
    assert zeros(arrays, masks)
    moved = any((masks[name].numpy() != first[name]).any() for name in first)
    assert moved == (rule is not None)


def layer_with_gradient() -> tuple[torch.nn.Sequential, dict[str, torch.Tensor]]:
    module = torch.nn.Sequential(torch.nn.Linear(4, 2, bias=False))
    weight = module.get_parameter("0.weight")
    with torch.no_grad():
        weight.copy_(torch.tensor([[3.0, 0.1, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0]]))
    weight.grad = torch.tensor([[0.0, 9.0, 1.0, 5.0], [0.0, 0.0, 2.0, -6.0]])
    return module, {"0.weight": weight.detach() != 0}


def test_rigl_drops_the_smallest_weight_and_grows_the_largest_gradient() -> None:
    module, masks = layer_with_gradient()
    RigL(masks, every=1, share=0.5)(LAST - 0.5, module)
    # of four weights 0.5/2·(1 + cos(π/3)) = 3/8, one; what was just dropped may grow again, from zero
    assert masks["0.weight"].tolist() == [[True, True, False, False], [True, True, False, False]]
    assert module.get_parameter("0.weight")[0, 1] == 0
    module, masks = layer_with_gradient()
    gradient = module.get_parameter("0.weight").grad
    assert gradient is not None
    gradient[0, 1] = 0
    RigL(masks, every=1, share=0.5)(LAST - 0.5, module)
    assert masks["0.weight"].tolist() == [[True, False, False, False], [True, True, False, True]]


def test_rigl_leaves_masks_alone_at_the_end() -> None:
    module, masks = layer_with_gradient()
    RigL(masks, every=1, share=0.5)(LAST, module)
    assert masks["0.weight"].tolist() == [[True, True, False, False], [True, True, False, False]]


def test_snfs_grows_where_the_momentum_is_large() -> None:
    module, masks = layer_with_gradient()
    SNFS(masks, every=1, share=0.25)(0.0, module)
    assert masks["0.weight"].tolist() == [[True, True, False, False], [True, True, False, False]]  # grown again
    module, masks = layer_with_gradient()
    gradient = module.get_parameter("0.weight").grad
    assert gradient is not None
    gradient[0, 1] = 0
    SNFS(masks, every=1, share=0.25)(0.0, module)
    assert masks["0.weight"].tolist() == [[True, False, False, False], [True, True, False, True]]


def test_the_threshold_of_dsr_follows_its_target() -> None:
    module, masks = layer_with_gradient()
    rule = DSR(masks, torch.Generator().manual_seed(0), every=1, target=0.25, threshold=0.5)
    rule(0.0, module)
    assert (kept(masks), rule.threshold) == (4, 0.5)  # one of four dropped, as wanted
    module, masks = layer_with_gradient()
    rule = DSR(masks, torch.Generator().manual_seed(0), every=1, target=0.25, threshold=1.5)
    rule(0.0, module)
    assert (kept(masks), rule.threshold) == (4, 0.75)
    module, masks = layer_with_gradient()
    rule = DSR(masks, torch.Generator().manual_seed(0), every=1, target=0.25, threshold=0.05)
    rule(0.0, module)
    assert (kept(masks), rule.threshold) == (4, 0.1)


@given(
    st.lists(st.tuples(st.floats(0, 100) | st.just(math.nan), st.integers(0, 50)), min_size=1, max_size=6), st.data()
)
def test_parts_of_a_division_fit_and_are_all_there(layers: list[tuple[float, int]], data: st.DataObject) -> None:
    weights = {str(i): weight for i, (weight, _) in enumerate(layers)}
    capacity = {str(i): room for i, (_, room) in enumerate(layers)}
    count = data.draw(st.integers(0, sum(capacity.values())))
    parts = divided(count, weights, capacity)
    assert sum(parts.values()) == count
    assert all(0 <= part <= capacity[name] for name, part in parts.items())


@pytest.mark.parametrize("mode", ["one-shot", "iterative"])
@pytest.mark.parametrize("method", ["surp-path", "adaptive"])
def test_a_chain_goes_through_all_sparsities_that_its_rules_allow(
    mode: str, method: str, laboratory: Laboratory
) -> None:
    found = dict(accuracies(Chain("vgg", mode, method, 0), laboratory))
    wanted = {"surp-path": set(SPARSITIES), "adaptive": {0.8, 0.9, 0.95, 0.98, 0.99, 0.995}}[method]
    assert wanted <= set(found)
    assert (0.999 in found) == (0.999 in wanted)
    assert all(0 <= accuracy <= 1 for accuracy in found.values())


def test_statistics_are_those_of_the_pruned_network(laboratory: Laboratory) -> None:
    arrays = laboratory.dense(0)
    scaled = {**arrays, "0.weight": 3 * arrays["0.weight"]}
    before, after = (laboratory.with_statistics(each) for each in (arrays, scaled))
    assert after["1.running_var"] == pytest.approx(9 * before["1.running_var"], rel=1e-3)
    assert laboratory.score(after).loss == pytest.approx(laboratory.score(before).loss, rel=1e-2)


def test_a_walk_is_what_a_decoder_holds_after_any_number_of_steps(laboratory: Laboratory) -> None:
    dense = laboratory.dense(0)
    walk = walk_of(dense, induced_l1, Limits(distinct=9000), np.random.default_rng(0))
    u = np.abs(walk.vector) / walk.scales
    for steps in (0, 1, 777, walk.steps):
        arrays = walk.reconstruction(steps)
        rebuilt = np.concatenate([arrays[name].ravel() for name in walk.names])
        assert (np.abs(rebuilt) <= np.abs(walk.vector) * (1 + 1e-6)).all()
        left = np.abs(walk.vector - rebuilt) / walk.scales
        assert walk.distortion(steps) == pytest.approx(left.sum() / u.sum(), rel=1e-5)
        assert walk.sparsity(steps) == pytest.approx(np.mean(rebuilt == 0))
        pruned = walk.pruned(steps)
        for name, mask in walk.masks(steps).items():
            assert (pruned[name] == np.where(mask, dense[name], 0)).all()
    assert np.count_nonzero(rebuilt) == 9000


def test_the_better_fit_is_recognised() -> None:
    rng = np.random.default_rng(0)
    laplacian, normal = Fit.of("w", rng.laplace(size=50_000)), Fit.of("w", 0.01 * rng.normal(size=50_000))
    assert laplacian.gaussian - laplacian.laplacian == pytest.approx(0.5 * math.log(math.pi / math.e), abs=0.01)
    assert normal.gaussian - normal.laplacian == pytest.approx(-0.5 * math.log(4 / math.pi * math.e / math.pi), abs=0.1)
    assert normal.gaussian < normal.laplacian
    shown = Fit.of("w", rng.laplace(size=50_000), histogram=True)
    assert sum(shown.density) * 16 / len(shown.density) == pytest.approx(1, abs=0.01)


def row(method: str, seed: int, accuracy: dict[str, float], mode: str = "iterative") -> report.Measured:
    return report.Measured("lenet5", mode, method, seed, 0.99, accuracy)


def test_a_table_shows_means_spreads_and_the_best(tmp_path: Path) -> None:
    rows = [
        row("lamp", 0, {"0.8": 0.9, "0.9": 0.5}), row("lamp", 1, {"0.8": 0.8, "0.9": 0.7}),
        row("surp-path", 0, {"0.8": 0.84, "0.9": 0.8}), row("rigl", 0, {"0.8": 0.1}, "sparse"),
    ]  # fmt: skip
    report.save(rows, tmp_path)
    assert sorted(report.load(tmp_path), key=str) == sorted(rows, key=str)
    lines = report.tables(report.load(tmp_path)).splitlines()
    assert "| LAMP | 2 | **85.00** ± 7.07 | 60.00 ± 14.14 |" in lines
    assert "| SuRP, path norms (variant) | 1 | 84.00 | **80.00** |" in lines
    assert "| RigL | 1 | 10.00 | — |" in lines


def test_rows_that_are_there_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "seeds_of", lambda network, method: 1)
    rows = [
        report.Measured(each.network, each.mode, each.method, each.seed, 0.9, {"0.8": 0.5})
        for each in experiment.chains(list(NETWORKS), list(experiment.MODES), None, 1)
    ]
    report.save(rows, tmp_path)
    monkeypatch.setattr(experiment, "measure", lambda *arguments: pytest.fail("run again"))
    assert experiment.main(["--out", str(tmp_path), "--jobs", "1", "--data-root", str(tmp_path)]) == 0
    assert (tmp_path / "pruning.png").exists()
    assert replace(rows[0]) in report.load(tmp_path)
