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
    torch_modules.py  the same for a torch module; the only file that imports torch

Knows arrays. Does not know Flower or messages.
"""

from __future__ import annotations

from surp_fl.pruning.cycles import schedule, schedule_of_share
from surp_fl.pruning.methods import METHODS, Method
from surp_fl.pruning.pruned import LayerReport, Pruned
from surp_fl.pruning.pruner import prune

__all__ = ["METHODS", "LayerReport", "Method", "Pruned", "prune", "schedule", "schedule_of_share"]
