"""What is compared: how masks are chosen of a trained network, and training that is sparse from the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from simulations.pruning.networks import Laboratory
from simulations.pruning.sparse_training import DSR, SNFS, RigL
from simulations.pruning.training import Rewire
from surp_fl.codecs.surp_paper.scales import induced_l1, l1
from surp_fl.pruning import path_gradients, prune, schedule
from surp_fl.types import Array, Arrays

_PATH_CYCLES = 10  # in which path norms are computed anew until a sparsity is reached
Masks = Mapping[str, Array]


@dataclass(frozen=True)
class Pruning:
    """One way to prune a trained network.

    Attributes:
        title: in tables.
        method: of `surp_fl.pruning.METHODS`.
        options: of the method.
        is_path: whether the method looks at path norms, anew in each of some cycles.
    """

    title: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    is_path: bool = False

    def masks(
        self, laboratory: Laboratory, arrays: Arrays, sparsity: float, within: Masks | None, rng: np.random.Generator
    ) -> Masks:
        """Choose what is kept."""
        if not self.is_path:
            return prune(arrays, sparsity, self.method, within=within, rng=rng, **self.options).masks
        before = 0.0 if within is None else 1 - sum(map(np.sum, within.values())) / sum(map(np.size, within.values()))
        masks = within
        for share in schedule((sparsity - before) / (1 - before), _PATH_CYCLES):
            left = masked(arrays, masks or {})
            found = path_gradients(laboratory.model(left), laboratory.example())
            gradients = {name: each.cpu().numpy() for name, each in found.items()}
            target = before + share * (1 - before)
            masks = prune(left, target, self.method, within=masks, gradients=gradients, rng=rng, **self.options).masks
        assert masks is not None
        return masks


PRUNING = {
    "global": Pruning("Global", "global"),
    "uniform": Pruning("Uniform", "uniform"),
    "adaptive": Pruning("Adaptive (Uniform+)", "adaptive"),
    "erk": Pruning("ERK", "erk"),
    "lamp": Pruning("LAMP", "lamp"),
    "surp-l1": Pruning("SuRP, l1 norms", "surp", {"scale": l1}),
    "surp-induced": Pruning("SuRP, induced l1 norms (Theorem 1)", "surp", {"scale": induced_l1}),
    "surp-published": Pruning("SuRP, l2 norms and rate of the authors' code", "surp-published"),
    "surp-lamp": Pruning("SuRP, norms of what is kept (variant)", "surp-lamp"),
    "surp-path": Pruning("SuRP, path norms (variant)", "surp-path", is_path=True),
}


@dataclass(frozen=True)
class SparseTraining:
    """How a network is trained that is sparse from the start.

    Attributes:
        title: in tables.
        allocation: the method of pruning that chooses the first masks, of the initial weights.
        rule: makes what moves them.
        needs_gradients: whether the first masks depend on gradients; if not, they are random within each layer.
    """

    title: str
    allocation: str
    rule: Callable[[dict[str, torch.Tensor], int], Rewire | None]
    needs_gradients: bool = False


SPARSE_TRAINING = {
    "snip": SparseTraining("SNIP", "snip", lambda masks, seed: None, needs_gradients=True),
    "rigl": SparseTraining("RigL", "erk", lambda masks, seed: RigL(masks)),
    "snfs": SparseTraining("SNFS", "uniform", lambda masks, seed: SNFS(masks)),
    "dsr": SparseTraining("DSR", "uniform", lambda masks, seed: DSR(masks, torch.Generator().manual_seed(seed))),
}


def masked(arrays: Arrays, masks: Masks) -> Arrays:
    """The arrays, zero where they are masked."""
    return {name: array * masks[name] if name in masks else array for name, array in arrays.items()}
