"""What is run in one go: pruning once, cycles of pruning and retraining, or training that is sparse from the start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.nn.functional import cross_entropy

from simulations.app.training import predicted
from simulations.pruning.methods import PRUNING, SPARSE_TRAINING, Masks, SparseTraining, masked
from simulations.pruning.networks import Laboratory, as_tensors
from surp_fl.pruning import TooSparse, prune
from surp_fl.types import Arrays

SPARSITIES = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
ONE_SHOT = (0.5, 0.7, *SPARSITIES)
OF_SPARSE_TRAINING = (0.8, 0.95, 0.99, 0.998)  # a training for each
_SNIP_EXAMPLES = 1000  # whose gradient SNIP looks at
_ONE_SHOT, _ITERATIVE, _SPARSE = 1, 2, 3  # of random streams


@dataclass(frozen=True)
class Chain:
    """One row of results.

    Attributes:
        network: by name.
        mode: "one-shot": the trained network is pruned to each sparsity, and tested without retraining, but with new
            statistics of its batch normalisations; "iterative": it is pruned to one sparsity after the other, and
            retrained after each; "sparse": it is trained anew for each sparsity, sparse from the start.
        method: of `PRUNING` or `SPARSE_TRAINING`.
        seed: of the initial weights and of all random choices.
    """

    network: str
    mode: str
    method: str
    seed: int


def accuracies(chain: Chain, laboratory: Laboratory) -> Iterator[tuple[float, float]]:
    """Run a chain.

    Yields:
        Sparsities of the prunable weights, and the test accuracy of each.
    """
    yield from _RUN[chain.mode](chain, laboratory)


def _one_shot(chain: Chain, laboratory: Laboratory) -> Iterator[tuple[float, float]]:
    dense = laboratory.dense(chain.seed)
    for sparsity in ONE_SHOT:
        rng = np.random.default_rng([chain.seed, _ONE_SHOT])
        try:
            masks = PRUNING[chain.method].masks(laboratory, dense, sparsity, None, rng)
        except TooSparse:  # a method's rules keep more weights than that
            return
        yield sparsity, laboratory.score(laboratory.with_statistics(masked(dense, masks))).accuracy


def _iterative(chain: Chain, laboratory: Laboratory) -> Iterator[tuple[float, float]]:
    rng = np.random.default_rng([chain.seed, _ITERATIVE])
    arrays, masks = laboratory.dense(chain.seed), None
    for sparsity in SPARSITIES:
        try:
            masks = PRUNING[chain.method].masks(laboratory, arrays, sparsity, masks, rng)
        except TooSparse:  # a method's rules keep more weights than that
            return
        arrays = laboratory.trained(masked(arrays, masks), laboratory.network.retraining, rng, as_tensors(masks))
        yield sparsity, laboratory.score(arrays).accuracy


def _sparse(chain: Chain, laboratory: Laboratory) -> Iterator[tuple[float, float]]:
    how = SPARSE_TRAINING[chain.method]
    initial = laboratory.initial(chain.seed)
    for sparsity in OF_SPARSE_TRAINING:
        rng = np.random.default_rng([chain.seed, _SPARSE])
        first = first_masks(laboratory, how, initial, sparsity, rng)
        masks = as_tensors(first)
        rule = how.rule(masks, chain.seed)
        arrays = laboratory.trained(masked(initial, first), laboratory.network.sparse, rng, masks, rule)
        yield sparsity, laboratory.score(arrays).accuracy


_RUN = {"one-shot": _one_shot, "iterative": _iterative, "sparse": _sparse}


def first_masks(
    laboratory: Laboratory, how: SparseTraining, initial: Arrays, sparsity: float, rng: np.random.Generator
) -> Masks:
    """The masks that sparse training begins with: by gradients, or random within layers."""
    if how.needs_gradients:
        return prune(initial, sparsity, how.allocation, gradients=gradients_of(laboratory, initial), rng=rng).masks
    shuffled = {
        name: rng.permuted(array) if array.ndim else array for name, array in initial.items()
    }  # so that magnitudes say nothing
    return prune(shuffled, sparsity, how.allocation, rng=rng).masks


def gradients_of(laboratory: Laboratory, arrays: Arrays) -> Arrays:
    """The gradient of the loss of some training examples, by name."""
    model = laboratory.model(arrays)
    model.train()
    train = laboratory.data.train
    chosen = np.random.default_rng(0).permutation(len(train.groups))[:_SNIP_EXAMPLES]
    loss: Any = cross_entropy(*predicted(model, train, chosen, "float32"))
    loss.backward()
    return {name: each.grad.cpu().numpy() for name, each in model.named_parameters() if each.grad is not None}
