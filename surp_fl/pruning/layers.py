"""Which arrays of a model are pruned, and what is checked before: dtypes, finite values, shapes of masks, tied arrays.

Knows names and arrays. Does not know methods.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surp_fl.statistics import kind_of
from surp_fl.tied_arrays import find_copies
from surp_fl.types import Array

Mask = NDArray[np.bool_]  # true where a weight is kept
Prunable = Callable[[str, Array], bool]  # name, array → whether it is pruned

_SHOWN = 8  # names in an error


def is_weight(name: str, array: Array) -> bool:
    """Whether an array is the weight of a convolution or a linear layer: float, with two dimensions or more.

    Biases, the weights of batch normalisation and running statistics have one.
    """
    return array.dtype.kind == "f" and array.ndim >= 2


def is_trained(name: str, array: Array) -> bool:
    """Whether an array is trained: float, and no running statistic by its name. The scope of the authors' code."""
    return array.dtype.kind == "f" and kind_of(name) is None


SCOPES: Mapping[str, Prunable] = {"weights": is_weight, "all": is_trained}


@dataclass(frozen=True)
class Layer:
    """One array that is pruned.

    Attributes:
        name: of the array.
        weights: in its own shape; float and finite.
        within: the earlier mask of its shape; None if every weight is left.
        left: number of weights that the earlier mask keeps.
    """

    name: str
    weights: Array
    within: Mask | None
    left: int

    @property
    def size(self) -> int:
        """Number of weights, those that were pruned earlier included."""
        return self.weights.size

    def masked(self) -> Array:
        """The weights in their own shape, 0 where they were pruned earlier; no copy without an earlier mask."""
        return self.weights if self.within is None else np.where(self.within, self.weights, self.weights.dtype.type(0))

    def flat_magnitudes(self) -> Array:
        """|w|, shape (size,); −1 where it was pruned earlier, so that it never is among the largest."""
        magnitudes: Array = np.abs(self.weights).reshape(-1)
        if self.within is not None:
            magnitudes[~self.within.reshape(-1)] = -1
        return magnitudes


def layers_of(
    arrays: Mapping[str, Array],
    prunable: Prunable | Collection[str] | None,
    scope: str,
    within: Mapping[str, Mask] | None,
    tied: bool,
) -> tuple[list[Layer], dict[str, str]]:
    """Find the arrays to prune, and check them.

    Returns:
        The layers in the model's order, and the tied ones among the prunable arrays: name to the name of the earlier
        array that it equals, whose mask it shares.

    Raises:
        TypeError: a prunable array is not of floats.
        ValueError: there is none, it holds NaN or infinity, or a mask does not fit.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"array '{name}' has dtype {array.dtype}; expected float, integer or boolean arrays: cast bfloat16 to "
                "float32 (tensor.float(), array.astype(numpy.float32)), and leave other objects out"
            )
    names = names_of(arrays, prunable, scope)
    for name in names:
        if arrays[name].dtype.kind != "f":
            raise TypeError(
                f"array '{name}' has dtype {arrays[name].dtype}; only float arrays are pruned: leave it out"
            )
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"array '{name}' holds NaN or infinity: the training diverged; lower its learning rate")
    copies = dict(find_copies({name: arrays[name] for name in names})) if tied else {}
    masks = _checked(within or {}, arrays, names, copies)
    layers = []
    for name in names:
        if name not in copies:
            mask = masks.get(name)
            left = arrays[name].size if mask is None else int(np.count_nonzero(mask))
            layers.append(Layer(name, arrays[name], mask, left))
    return layers, copies


def names_of(arrays: Mapping[str, Array], prunable: Prunable | Collection[str] | None, scope: str) -> list[str]:
    """Names of the arrays to prune, in the model's order.

    Raises:
        ValueError: there is none, or the choice names something else.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope = {scope!r}; expected one of {', '.join(SCOPES)}")
    if prunable is not None and scope != "weights":
        raise ValueError(f"scope = {scope!r} and prunable are both given: leave one of them out")
    if isinstance(prunable, str):
        raise TypeError(f"prunable is the text {prunable!r}; expected names: give [{prunable!r}]")
    if prunable is None or callable(prunable):
        choose = SCOPES[scope] if prunable is None else prunable
        names = [name for name, array in arrays.items() if choose(name, array) and array.size > 0]
    else:
        unknown = [name for name in prunable if name not in arrays]
        if unknown:
            raise ValueError(f"prunable names {_shown(unknown)}; the model has {_shown(arrays)}")
        wanted = set(prunable)
        names = [name for name, array in arrays.items() if name in wanted and array.size > 0]
    if not names:
        raise ValueError(
            f"no array is prunable; the model has {_shown(arrays)}: name those to prune in prunable=, "
            'or give scope="all" for every trained array'
        )
    return names


def _checked(
    within: Mapping[str, Mask], arrays: Mapping[str, Array], names: list[str], copies: Mapping[str, str]
) -> dict[str, Mask]:
    """Earlier masks of prunable arrays, checked."""
    found = {}
    for name, mask in within.items():
        if name not in names:
            raise ValueError(f"within has a mask for '{name}', which is not pruned here; pruned are {_shown(names)}")
        if mask.dtype != np.bool_ or mask.shape != arrays[name].shape:
            raise ValueError(
                f"the mask of '{name}' in within is {mask.dtype}{list(mask.shape)}; expected "
                f"bool{list(arrays[name].shape)}, true where a weight is kept"
            )
        found[name] = mask
    for name, first in copies.items():
        if name in found and not np.array_equal(found[name], found.setdefault(first, found[name])):
            raise ValueError(f"'{name}' and '{first}' are tied, but their masks in within differ: give one for both")
    return found


def _shown(names: Collection[str]) -> str:
    """The first few names, for an error."""
    return ", ".join(list(names)[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") if names else "no arrays"
