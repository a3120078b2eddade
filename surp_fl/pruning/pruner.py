"""The one call: arrays of a model, a sparsity and a method → masks, pruned arrays and a table.

Knows the table of methods. Does not know torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from surp_fl.pruning.layers import Layer, Mask, is_trained, layers_of
from surp_fl.pruning.methods import METHODS, Method
from surp_fl.pruning.pruned import LayerReport, Pruned
from surp_fl.pruning.task import Task
from surp_fl.tied_arrays import find_copies
from surp_fl.types import Array


def prune(
    arrays: Mapping[str, Array],
    sparsity: float,
    method: str | Method = "surp",
    *,
    within: Mapping[str, Mask] | None = None,
    gradients: Mapping[str, Array] | None = None,
    prunable: Callable[[str, Array], bool] | Collection[str] | None = None,
    scope: str = "weights",
    tied: bool = True,
    rng: np.random.Generator | None = None,
    **options: Any,
) -> Pruned:
    """Prune a model: keep `round((1 - sparsity) * n)` of its n prunable weights, exactly.

    Among weights of equal score those of the earlier layer are kept, and in a layer those of the lower index. Weights
    that are zero count as kept where nothing else is left to keep.

    Args:
        arrays: name to array, in the model's order; they stay as they are.
        sparsity: share of the prunable weights to prune, from 0 up to below 1; weights that `within` prunes count.
        method: a name of `METHODS`, or a row of your own.
        within: earlier masks by name, as `Pruned.masks`: what they prune stays pruned.
        gradients: of the loss, by name, in the shapes of the prunable arrays; for methods that need them.
        prunable: which arrays are pruned: names, or a function of name and array; None for those of `scope`.
        scope: "weights" for float arrays of two dimensions or more, the weights of convolutions and linear layers;
            "all" for every trained array, with biases and batch normalisation, as the authors' code counts.
        tied: whether arrays that equal an earlier one share its mask and are counted once (tied weights); never those
            of fewer than 16 elements and constant ones, which may be equal by chance.
        rng: random choices are drawn from it; None stands for `numpy.random.default_rng(0)`.
        options: of the method, by name; `METHODS[method].options` lists them.

    Returns:
        Masks, pruned copies, and the table.

    Raises:
        TypeError: an array to prune is not of floats; an option is not one of the method.
        ValueError: the method is not in the table, the sparsity leaves no weight or more than `within` does, an array
            holds NaN or infinity, masks or gradients do not fit, or a rule of the method cannot be kept.

    >>> model = {"weight": np.array([[4, -1], [2, 3]], np.float32), "bias": np.ones(2, np.float32)}
    >>> prune(model, 0.5, "global").arrays["weight"]
    array([[4., 0.],
           [0., 3.]], dtype=float32)
    """
    row = _row(method, options)
    layers, copies = layers_of(arrays, prunable, scope, within, tied)
    task = Task(
        layers,
        _keep(layers, sparsity),
        np.random.default_rng(0) if rng is None else rng,
        _gradients(layers, gradients, row),
    )
    selection = row.select(task, **options)
    kept = sum(int(np.count_nonzero(mask)) for mask in selection.masks)
    if kept != task.keep:
        raise ValueError(f"the method '{row.name}' keeps {kept:,} weights; it was to keep {task.keep:,}: correct it")

    masks, after = {}, {name: np.array(array) for name, array in arrays.items()}
    reports = []
    for place, layer in enumerate(layers):
        masks[layer.name] = mask = selection.masks[place].reshape(layer.weights.shape)
        values = layer.weights if selection.values is None else selection.values[place].reshape(mask.shape)
        zero = layer.weights.dtype.type(0)
        after[layer.name] = np.where(mask, values.astype(layer.weights.dtype, copy=False), zero)
        reports.append(LayerReport.of(layer.name, layer.masked(), after[layer.name], mask))
    for name, first in copies.items():
        masks[name], after[name] = masks[first].copy(), after[first].copy()
    in_order = {name: masks[name] for name in arrays if name in masks}
    return Pruned(
        in_order,
        after,
        tuple(reports),
        _parameters(arrays, layers, copies, tied),
        row.name,
        selection.values is not None,
    )


def _row(method: str | Method, options: Mapping[str, Any]) -> Method:
    row = METHODS.get(method) if isinstance(method, str) else method
    if row is None:
        raise ValueError(f"method = {method!r}; expected one of {', '.join(METHODS)}")
    unknown = [name for name in options if name not in row.options]
    if unknown:
        known = f"its options are {', '.join(row.options)}" if row.options else "it has no options"
        raise TypeError(f"the method '{row.name}' has no option {', '.join(unknown)}; {known}")
    return row


def _keep(layers: list[Layer], sparsity: float) -> int:
    """Number of weights to keep."""
    total, left = sum(layer.size for layer in layers), sum(layer.left for layer in layers)
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity = {sparsity}; expected the share of zeros, from 0 up to below 1")
    keep = round((1 - sparsity) * total)
    if keep == 0:
        raise ValueError(f"sparsity = {sparsity} keeps none of {total:,} weights: choose at most {1 - 1 / total:g}")
    if keep > left:
        raise ValueError(
            f"sparsity = {sparsity} keeps {keep:,} of {total:,} weights, but within leaves {left:,}: choose at least "
            f"{1 - left / total:g}"
        )
    return keep


def _gradients(layers: list[Layer], gradients: Mapping[str, Array] | None, row: Method) -> dict[str, Array]:
    """The gradients of the layers, checked, if the method needs them."""
    if not row.needs_gradients:
        return {}
    if gradients is None:
        raise ValueError(f"the method '{row.name}' needs gradients: give them by name, gradients=")
    for layer in layers:
        found = gradients.get(layer.name)
        if found is None or found.shape != layer.weights.shape:
            what = "no array" if found is None else f"shape {list(found.shape)}"
            raise ValueError(f"gradients has {what} for '{layer.name}'; expected shape {list(layer.weights.shape)}")
        if not np.isfinite(found).all():
            raise ValueError(f"the gradient of '{layer.name}' holds NaN or infinity: lower the learning rate")
    return {layer.name: gradients[layer.name] for layer in layers}


def _parameters(arrays: Mapping[str, Array], layers: list[Layer], copies: Mapping[str, str], tied: bool) -> int:
    """Trained parameters of the model, tied ones once; what is pruned counts, whatever its name."""
    pruned = {layer.name for layer in layers} | set(copies)
    others = {name: array for name, array in arrays.items() if name not in pruned and is_trained(name, array)}
    repeated = dict(find_copies(others)) if tied else {}
    return sum(layer.size for layer in layers) + sum(each.size for name, each in others.items() if name not in repeated)
