"""Theorem 1 on random networks: how much pruning by SuRP changes the output, beside the paper's bound.

Fully connected networks of ReLU without biases, pruned in all layers with `induced_l1` as scale. The supremum over
‖x‖₁ ≤ 1 is sought among random inputs, the vertices ±e_i, and mixtures of the worst; of ReLU networks without biases,
f(cx) = c·f(x) for c ≥ 0, so that inputs of norm 1 are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from simulations.report.theory import Network
from surp_fl import LaplacianSuRP, Layout, PaperSuRP
from surp_fl.codecs.surp_paper.scales import induced_l1
from surp_fl.types import Floats

SCHEMES: dict[int, Any] = {1: LaplacianSuRP, 2: PaperSuRP}  # by the paper's algorithm
OUTPUTS = 10
_RANDOM, _MIXED, _ROUNDS = 1000, 200, 4  # random inputs; mixtures of the worst, and how often these are made
_WORST = 20  # inputs that are mixed


def random_weights(depth: int, width: int, rng: np.random.Generator) -> list[Floats]:
    """Laplacian weights of shape (out, in), of float32's precision, which keep the size of activations."""
    sizes = [width] * depth + [OUTPUTS]
    return [
        rng.laplace(scale=1 / np.sqrt(inputs), size=(outputs, inputs)).astype(np.float32).astype(np.float64)
        for inputs, outputs in pairwise(sizes)
    ]


def pruned(weights: Sequence[Floats], algorithm: int, sparsity: float, rng: np.random.Generator) -> list[Floats]:
    """The weights as a message of the paper's algorithm has them."""
    arrays = {f"layer {number}": weight.astype(np.float32) for number, weight in enumerate(weights)}
    layout, codec = Layout.of(arrays), SCHEMES[algorithm](sparsity=sparsity, scale=induced_l1).codec
    message = codec.encode(layout.flatten(arrays), layout, rng=rng)
    return [weight.astype(np.float64) for weight in layout.unflatten(codec.decode(message, layout)).values()]


def outputs_of(weights: Sequence[Floats], inputs: Floats) -> Floats:
    """f(x; w) for inputs as columns; shape (outputs, inputs)."""
    values = inputs
    for number, weight in enumerate(weights):
        values = weight @ (np.maximum(values, 0) if number else values)
    return values


def bound_of(weights: Sequence[Floats], decoded: Sequence[Floats]) -> float:
    """The right side of Theorem 1: Σ ‖w − ŵ‖₁/‖w‖₁ · Π ‖w‖₁, of norms that the L1 norm induces."""
    norms = [_induced(weight) for weight in weights]
    shares = [_induced(w - v) / norm for w, v, norm in zip(weights, decoded, norms, strict=True)]
    return float(np.sum(shares) * np.prod(norms))


def _induced(matrix: Floats) -> float:
    return float(np.abs(matrix).sum(axis=0).max())


def perturbations(weights: Sequence[Floats], decoded: Sequence[Floats], inputs: Floats) -> Floats:
    """‖f(x; w) − f(x; ŵ)‖₁ for inputs as columns; shape (inputs,)."""
    changes: Floats = np.abs(outputs_of(weights, inputs) - outputs_of(decoded, inputs)).sum(axis=0)
    return changes


def vertices(size: int) -> Floats:
    """±e_i as columns; shape (size, 2·size)."""
    return np.concatenate([np.eye(size), -np.eye(size)], axis=1)


def random_inputs(size: int, count: int, rng: np.random.Generator) -> Floats:
    """Laplacian inputs, divided by their L1 norm, as columns; shape (size, count)."""
    inputs = rng.laplace(size=(size, count))
    normal: Floats = inputs / np.abs(inputs).sum(axis=0)
    return normal


def worst(weights: Sequence[Floats], decoded: Sequence[Floats], rng: np.random.Generator) -> tuple[float, float]:
    """The largest perturbation that was found, among random inputs alone and among all."""
    size = weights[0].shape[1]
    inputs = np.concatenate([vertices(size), random_inputs(size, _RANDOM, rng)], axis=1)
    changes = perturbations(weights, decoded, inputs)
    of_random = float(changes[2 * size :].max())
    for _ in range(_ROUNDS):
        best = inputs[:, np.argsort(changes)[-_WORST:]]
        mixed = best @ rng.dirichlet(np.full(_WORST, 0.2), size=_MIXED).T
        mixed /= np.maximum(np.abs(mixed).sum(axis=0), 1e-300)
        inputs = np.concatenate([best, mixed], axis=1)
        changes = perturbations(weights, decoded, inputs)
    return of_random, float(changes.max())


def measure(algorithm: int, depth: int, width: int, sparsity: float, seeds: int) -> Network:
    """The ratios of the perturbation to Theorem 1's bound; the largest of the seeds."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng([depth, width, seed])
        weights = random_weights(depth, width, rng)
        decoded = pruned(weights, algorithm, sparsity, rng)
        bound = bound_of(weights, decoded)
        larger = sum(_induced(v) > _induced(w) for w, v in zip(weights, decoded, strict=True))
        found.append((*(change / bound for change in worst(weights, decoded, rng)), larger))
    of_random, of_all, larger = (max(values) for values in zip(*found, strict=True))
    ratios = float(f"{of_random:.4g}"), float(f"{of_all:.4g}")
    return Network(algorithm, depth, width, sparsity, seeds, *ratios, int(larger))
