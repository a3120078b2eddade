"""Pruning a torch module by the conventions of torch.nn.utils.prune."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils import prune as torch_prune  # noqa: E402

from surp_fl.pruning import METHODS, prune, prune_module  # noqa: E402


def network() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 10)
    )


def test_masks_are_those_of_the_arrays_and_follow_the_conventions_of_torch() -> None:
    module = network()
    arrays = {name: value.detach().numpy().copy() for name, value in module.named_parameters()}
    pruned = prune_module(module, 0.8, "lamp")
    wanted = prune(arrays, 0.8, "lamp")
    assert list(pruned.masks) == ["0.weight", "4.weight"]
    for name, mask in pruned.masks.items():
        layer = module[int(name[0])]
        assert (mask == wanted.masks[name]).all()
        assert (layer.weight_mask.numpy() == mask).all()
        assert (layer.weight_orig.detach().numpy() == arrays[name]).all()
        assert (layer.weight.detach().numpy() == pruned.arrays[name]).all()
        assert torch_prune.is_pruned(layer)
        torch_prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
        assert (layer.weight.detach().numpy() == wanted.arrays[name]).all()
    assert not torch_prune.is_pruned(module)


def test_a_second_call_prunes_further_within_the_masks_after_retraining() -> None:
    module = network()
    first = prune_module(module, 0.5, "global")
    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    module(torch.randn(8, 1, 6, 6)).square().mean().backward()
    optimiser.step()
    second = prune_module(module, 0.9, "random", rng=np.random.default_rng(0))
    assert (second.weights, second.kept) == (676, 68)
    for name, mask in second.masks.items():
        assert not (mask & ~first.masks[name]).any()
        assert (module[int(name[0])].weight_mask.numpy() == mask).all()
    module(torch.randn(8, 1, 6, 6))
    assert all((layer.weight.detach().numpy()[~second.masks[f"{i}.weight"]] == 0).all() for i, layer in
               ((0, module[0]), (4, module[4])))  # fmt: skip
    torch_prune.remove(module[4], "weight")  # type: ignore[no-untyped-call]


def test_gradients_are_those_of_the_parameters_unless_they_are_given() -> None:
    module = network()
    with pytest.raises(ValueError, match=r"gradients has no array for '0.weight'"):
        prune_module(module, 0.5, "snip")
    module(torch.randn(8, 1, 6, 6)).square().mean().backward()
    gradients = {name: value.grad.clone() for name, value in module.named_parameters()}
    pruned = prune_module(module, 0.5, "snip")
    given_apart = prune_module(network(), 0.5, "snip", gradients=gradients)
    scores = np.abs(network()[4].weight.detach().numpy() * gradients["4.weight"].numpy())
    mask = pruned.masks["4.weight"]
    assert scores[mask].min() >= scores[~mask].max()
    assert (given_apart.masks["4.weight"] == mask).all()


def test_reconstructions_become_the_parameters() -> None:
    module = network()
    before = module[4].weight.detach().clone()
    pruned = prune_module(module, 0.8, "surp", reconstruct=True)
    after = module[4].weight.detach()
    assert (after.numpy() == pruned.arrays["4.weight"]).all()
    assert (after != before * module[4].weight_mask).any()
    assert (after.abs() <= before.abs()).all()


def test_a_parameter_in_two_places_is_masked_in_both_and_counted_once() -> None:
    module = torch.nn.ModuleDict({"embedding": torch.nn.Embedding(7, 3), "head": torch.nn.Linear(3, 7, bias=False)})
    module["head"].weight = module["embedding"].weight
    for sparsity, kept in ((0.5, 10), (0.8, 4)):
        pruned = prune_module(module, sparsity, "global")
        assert list(pruned.masks) == ["embedding.weight", "head.weight"]
        assert (pruned.weights, pruned.kept) == (21, kept)
        assert module["head"].weight_orig is module["embedding"].weight_orig
        assert (module["head"].weight == module["embedding"].weight).all()


def test_layers_that_begin_with_equal_weights_are_not_taken_for_tied() -> None:
    one = torch.nn.Linear(8, 8)
    module = torch.nn.ModuleList([one, torch.nn.Linear(8, 8)])
    module[1].load_state_dict(one.state_dict())
    assert prune_module(module, 0.5, "global").weights == 128


def test_bfloat16_parameters_are_pruned() -> None:
    module = network().bfloat16()
    assert prune_module(module, 0.5, "surp", reconstruct=True).kept == 338
    assert module[4].weight.dtype == torch.bfloat16


@pytest.mark.parametrize("method", METHODS)
def test_every_method_prunes_a_module(method: str) -> None:
    module = network()
    module(torch.randn(8, 1, 6, 6)).square().mean().backward()
    assert prune_module(module, 0.7, method).kept == 203
    assert sum(int(layer.weight_mask.sum()) for layer in (module[0], module[4])) == 203


def test_names_and_scopes_are_those_of_arrays() -> None:
    assert list(prune_module(network(), 0.5, "global", prunable=["4.weight", "4.bias"]).masks) == ["4.weight", "4.bias"]
    module = network()
    pruned = prune_module(module, 0.5, "global", scope="all")
    assert pruned.weights == pruned.parameters == sum(value.numel() for value in module.parameters())
    of_last = module[4].weight_mask.clone()
    again = prune_module(module, 0.6, "global", prunable=["0.weight", "0.bias"])
    assert again.weights == 40
    assert (module[4].weight_mask == of_last).all()
    assert (again.arrays["4.weight"] == module[4].weight.detach().numpy()).all()
