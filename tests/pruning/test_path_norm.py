"""The path norm: its gradients, the bound that it gives, and modules that stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import prune as torch_prune  # noqa: E402

from surp_fl.pruning import path_gradients, prune_module, schedule  # noqa: E402


def perceptron(seed: int = 0, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 9, bias), nn.ReLU(), nn.Linear(9, 7, bias), nn.ReLU(), nn.Linear(7, 3, bias)
    )  # fmt: skip


def convolutional() -> nn.Sequential:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    )
    with torch.no_grad():
        for name, value in network[1].state_dict().items():
            if name == "running_var":
                value.uniform_(0.2, 3)
            elif value.is_floating_point():
                value.normal_()
    return network


def path_norm(weights: list[np.ndarray], power: int) -> float:
    """Of a perceptron, by matrix products."""
    signal = np.ones(weights[0].shape[1])
    for weight in weights:
        signal = np.abs(weight) ** power @ signal
    return float(signal.sum())


def weights_of(network: nn.Module) -> list[np.ndarray]:
    return [each.detach().double().numpy() for each in network.parameters() if each.dim() == 2]


@pytest.mark.parametrize("power", [1, 2])
def test_gradients_are_the_slopes_of_the_path_norm(power: int) -> None:
    network = perceptron()
    weights = weights_of(network)
    found = path_gradients(network, torch.zeros(1, 6), power)
    slopes = []
    for layer, weight in enumerate(weights):
        slope = np.zeros_like(weight)
        for place in np.ndindex(weight.shape):
            changed = [each.copy() for each in weights]
            changed[layer][place] = 0  # R is linear in each |w|^power
            share = path_norm(weights, power) - path_norm(changed, power)
            slope[place] = share / abs(weight[place])
        slopes.append(slope)
    largest = max(float((slope * np.abs(weight)).max()) for slope, weight in zip(slopes, weights, strict=True))
    for name, slope in zip(["0.weight", "2.weight", "4.weight"], slopes, strict=True):
        np.testing.assert_allclose(found[name].numpy(), slope / largest, rtol=1e-9)


@pytest.mark.parametrize("make", [perceptron, convolutional])
@pytest.mark.parametrize("power", [1, 2])
def test_every_layer_has_the_whole_path_norm(make: Callable[[], nn.Sequential], power: int) -> None:
    network = make()
    inputs = torch.zeros((1, 6) if make is perceptron else (1, 1, 8, 8))
    found = path_gradients(network, inputs, power)
    sums = [float((gradient * network.get_parameter(name).detach().abs()).sum()) for name, gradient in found.items()]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_the_path_norm_bounds_what_smaller_magnitudes_change(seed: int) -> None:
    network, rng = perceptron(seed, bias=False).double(), np.random.default_rng(seed)
    smaller = perceptron(seed, bias=False).double()
    with torch.no_grad():
        for parameter in smaller.parameters():
            parameter.mul_(torch.from_numpy(rng.integers(0, 2, parameter.shape) * rng.random(parameter.shape)))
    inputs = torch.from_numpy(np.vstack([rng.uniform(-1, 1, (200, 6)), rng.choice([-1.0, 1.0], (200, 6))]))
    change = float((network(inputs) - smaller(inputs)).detach().abs().sum(1).max())
    bound = path_norm(weights_of(network), 1) - path_norm(weights_of(smaller), 1)
    assert 0 < change <= bound


def test_a_module_stays_as_it_is_pruned_or_not() -> None:
    network = convolutional().train()
    network[2].eval()
    torch_prune.random_unstructured(network[0], "weight", 0.5)  # type: ignore[no-untyped-call]
    network(torch.randn(4, 1, 8, 8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layer = network[0]
    product = getattr(layer, "weight").detach().clone()  # noqa: B009
    found = path_gradients(network, torch.zeros(1, 1, 8, 8))
    assert [each.training for each in network.modules()] == [True, True, True, False, True, True, True]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(getattr(layer, "weight"), product)  # noqa: B009
    assert all(parameter.grad is None for parameter in network.parameters())
    assert set(found) == {"0.weight", "5.weight"}
    assert (found["0.weight"][before["0.weight_mask"] == 0] == 0).all()


def test_no_layer_is_lost_where_every_path_would_be() -> None:
    """A thin layer between wide ones: magnitudes alone would prune it whole."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 3, bias=False), nn.ReLU(), nn.Linear(3, 300), nn.ReLU(),
        nn.Linear(300, 10),
    )  # fmt: skip
    with torch.no_grad():
        network.get_parameter("2.weight").mul_(0.01)
    for sparsity in schedule(0.999, cycles=5):
        gradients = path_gradients(network, torch.zeros(1, 300))
        pruned = prune_module(network, sparsity, "surp-path", gradients=gradients)
    assert pruned.masks["2.weight"].any()
    assert path_gradients(network, torch.zeros(1, 300))  # there is a path from inputs to outputs


def test_bad_arguments_are_refused() -> None:
    network = perceptron()
    with pytest.raises(ValueError, match="power = 3; expected 1"):
        path_gradients(network, torch.zeros(1, 6), 3)
    with pytest.raises(ValueError, match=r"inputs of torch\.int64"):
        path_gradients(network, torch.zeros(1, 6, dtype=torch.long))
    with torch.no_grad():
        network.get_parameter("2.weight").zero_()
    with pytest.raises(ValueError, match="a path from its inputs to its outputs"):
        path_gradients(network, torch.zeros(1, 6))
