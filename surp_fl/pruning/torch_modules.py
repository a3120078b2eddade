"""The same for a torch module, by the conventions of `torch.nn.utils.prune`.

The only file of pruning that imports torch. Knows modules and their parameters. Does not know methods.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.nn.utils import prune as torch_prune

from surp_fl.pruning.layers import Mask, Prunable, names_of
from surp_fl.pruning.methods import METHODS, Method
from surp_fl.pruning.pruned import Pruned
from surp_fl.pruning.pruner import prune
from surp_fl.types import Array


@dataclass
class _Parameter:
    """A parameter, and where it is used: one place, or several if it is tied."""

    values: torch.nn.Parameter
    mask: torch.Tensor | None
    owners: dict[str, tuple[torch.nn.Module, str]] = field(default_factory=dict)  # by name: a module, a name in it


def prune_module(
    module: torch.nn.Module,
    sparsity: float,
    method: str | Method = "surp",
    *,
    gradients: Mapping[str, torch.Tensor] | None = None,
    prunable: Prunable | Collection[str] | None = None,
    scope: str = "weights",
    rng: np.random.Generator | None = None,
    **options: Any,
) -> Pruned:
    """Prune a module in place, as `surp_fl.pruning.prune` prunes arrays.

    A pruned parameter `weight` becomes `weight_orig`, the same parameter under a new name, beside a buffer
    `weight_mask`; `weight` is their product, made anew before each forward pass. Optimisers that hold the parameter go
    on with it. A module that is pruned already is pruned further within its masks, and `sparsity` counts from all its
    prunable weights; parameters that are pruned already and not prunable in this call stay as they are.
    `torch.nn.utils.prune.remove(layer, "weight")` makes masks permanent.

    Args:
        module: on any device; bfloat16 parameters are compared as float32.
        sparsity: share of the prunable weights to prune.
        method: a name of `METHODS`, or a row of your own.
        gradients: by name, for methods that need them; None for `.grad` of the parameters.
        prunable: as in `prune`, of parameters by name ("conv1.weight", whether it was pruned before or not), as arrays.
        scope: as in `prune`.
        rng: as in `prune`.
        options: of the method, by name.

    Returns:
        As `prune`, of the module's parameters by name; a parameter that is used in several places has a mask by each of
        its names.

    Raises:
        TypeError: as in `prune`.
        ValueError: as in `prune`; or a parameter has no gradient that is needed.
    """
    parameters = _parameters_of(module)
    arrays = {name: _array(each.values) for name, each in parameters.items()}
    within = {name: _array(each.mask) != 0 for name, each in parameters.items() if each.mask is not None}
    chosen = names_of(arrays, prunable, scope)
    for name in set(within) - set(chosen):
        arrays[name] = np.where(within.pop(name), arrays[name], 0)
    pruned = prune(
        arrays, sparsity, method, within=within, gradients=_gradients(parameters, gradients, method),
        prunable=chosen, tied=False, rng=rng, **options,
    )  # fmt: skip
    masks: dict[str, Mask] = {}
    for name, mask in pruned.masks.items():
        parameter = parameters[name]
        if pruned.reconstructed:
            with torch.no_grad():
                parameter.values.copy_(torch.from_numpy(pruned.arrays[name]))
        for full_name, (owner, local_name) in parameter.owners.items():
            on_device = torch.from_numpy(mask).to(parameter.values.device)
            torch_prune.custom_from_mask(owner, local_name, on_device)  # type: ignore[no-untyped-call]
            masks[full_name] = mask
    return replace(pruned, masks=masks)


def _parameters_of(module: torch.nn.Module) -> dict[str, _Parameter]:
    """Parameters by the name of their first use, those of pruned ones without `_orig`."""
    found: dict[int, _Parameter] = {}
    for prefix, owner in module.named_modules():
        buffers = dict(owner.named_buffers(recurse=False))
        for stored_name, values in owner.named_parameters(recurse=False, remove_duplicate=False):
            name = stored_name.removesuffix("_orig")
            mask = buffers.get(f"{name}_mask") if stored_name != name else None
            name = stored_name if mask is None else name
            parameter = found.setdefault(id(values), _Parameter(values, mask))
            parameter.owners[f"{prefix}.{name}" if prefix else name] = owner, name
    return {next(iter(parameter.owners)): parameter for parameter in found.values()}


def _gradients(
    parameters: Mapping[str, _Parameter], gradients: Mapping[str, torch.Tensor] | None, method: str | Method
) -> dict[str, Array] | None:
    """Gradients as arrays: those that are given, or those that the parameters hold; None if the method needs none."""
    row = METHODS.get(method) if isinstance(method, str) else method
    if row is None or not row.needs_gradients:
        return None
    if gradients is None:
        gradients = {name: each.values.grad for name, each in parameters.items() if each.values.grad is not None}
    return {name: _array(gradient) for name, gradient in gradients.items()}


def _array(tensor: torch.Tensor) -> Array:
    """A tensor as an array; bfloat16 as float32."""
    host = tensor.detach().cpu()
    array: Array = (host.float() if host.dtype == torch.bfloat16 else host).numpy()
    return array
