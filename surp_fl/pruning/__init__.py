"""Prune a model: one call on its arrays by name, with SuRP and the methods that it is compared with.

    pruner.py         the one call
    layers.py         which arrays are pruned, and what is checked before
    methods.py        the table of methods
    scores.py         scores of single weights
    allocation.py     how many weights each layer keeps
    refinement.py     Algorithm 2 of the paper as a method
    selection.py      exact counts: the k largest, shares as whole numbers
    task.py           what a method is given, and what it gives back
    pruned.py         masks, arrays, and the table before and after
    cycles.py         how sparse each cycle of iterative pruning is
    torch_modules.py  the same for a torch module; this file and the next are those that import torch
    path_norm.py      what each weight adds to the path norm of a network

Knows arrays. Does not know Flower or messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surp_fl.pruning.allocation import TooSparse
from surp_fl.pruning.cycles import schedule, schedule_of_share
from surp_fl.pruning.methods import METHODS, Method, by_count, by_rank, by_score
from surp_fl.pruning.pruned import LayerReport, Pruned
from surp_fl.pruning.pruner import prune

if TYPE_CHECKING:
    from surp_fl.pruning.path_norm import path_gradients
    from surp_fl.pruning.torch_modules import prune_module

__all__ = [
    "METHODS",
    "LayerReport",
    "Method",
    "Pruned",
    "TooSparse",
    "by_count",
    "by_rank",
    "by_score",
    "path_gradients",
    "prune",
    "prune_module",
    "schedule",
    "schedule_of_share",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch where it is asked for: all else works without torch."""
    if name == "prune_module":
        from surp_fl.pruning.torch_modules import prune_module

        return prune_module
    if name == "path_gradients":
        from surp_fl.pruning.path_norm import path_gradients

        return path_gradients
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
