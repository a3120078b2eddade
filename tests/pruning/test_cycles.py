"""How sparse each cycle is, and that cycles only ever prune further."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl.pruning import METHODS, prune, schedule, schedule_of_share
from tests.pruning.models import gradients_of


@given(st.floats(0.01, 0.999), st.integers(1, 30))
def test_each_cycle_prunes_the_same_share_of_what_is_left(sparsity: float, cycles: int) -> None:
    found = schedule(sparsity, cycles)
    assert len(found) == cycles
    assert found[-1] == sparsity
    left = 1 - np.array([0.0, *found])
    assert np.allclose(left[1:] / left[:-1], (1 - sparsity) ** (1 / cycles))


def test_a_fifth_of_what_is_left_gives_the_sparsities_of_lamp_and_of_the_papers_tables() -> None:
    found = schedule_of_share(0.2, 20)
    in_percent = [round(100 * each, 1) for each in found[3::2]]
    assert in_percent[:6] == [59.0, 73.8, 83.2, 89.3, 93.1, 95.6]
    assert found[-1] == pytest.approx(1 - 0.8**20)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "adaptive"])
@given(seed=st.integers(0, 99), cycles=st.integers(1, 4))
@settings(max_examples=10)
def test_what_is_pruned_stays_pruned_over_all_cycles(method: str, seed: int, cycles: int) -> None:
    rng = np.random.default_rng(seed)
    model = {"a": rng.laplace(size=(6, 5, 3)), "b": rng.normal(size=(20, 8)), "bias": np.ones(4)}
    masks, arrays = None, model
    for sparsity in schedule(0.9, cycles):
        pruned = prune(arrays, sparsity, method, within=masks, gradients=gradients_of(model, seed), rng=rng)
        assert pruned.kept == round((1 - sparsity) * 250)
        if masks is not None:
            assert not any((pruned.masks[name] & ~masks[name]).any() for name in masks)
        masks = pruned.masks
        retrained = {name: array + rng.normal(size=array.shape) for name, array in pruned.arrays.items()}
        arrays = retrained | {name: retrained[name] * mask for name, mask in masks.items()}


@pytest.mark.parametrize("call", [lambda: schedule(0.0, 3), lambda: schedule(1.0, 3), lambda: schedule(0.5, 0)])
def test_a_schedule_that_prunes_nothing_or_all_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match="expected"):
        call()


@pytest.mark.parametrize("arguments", [(0.0, 3), (1.0, 3), (0.2, 0)])
def test_a_share_out_of_range_is_refused(arguments: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        schedule_of_share(*arguments)
