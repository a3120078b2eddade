"""Units of the arrays in a SuRP message, which weight their squared errors: an array is coded as multiples of its unit.

An array of a smaller unit is coded with a smaller error. Knows arrays. Does not know bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from surp_fl.entropy.minifloat import encode_minifloat
from surp_fl.pruning import prune
from surp_fl.types import Array

_BITS_OF_A_WEIGHT = 7.0  # about: index, sign and magnitude of one that is kept; for the share that LAMP keeps
_MOST_KEPT = 0.5  # share of all weights for LAMP's threshold: those that are nearly zero are no measure of an array

Units = dict[str, float]


def _none(weights: Mapping[str, Array], kept: int) -> Units:
    """The plain squared error of the weights."""
    return dict.fromkeys(weights, 1.0)


def _rms(weights: Mapping[str, Array], kept: int) -> Units:
    """Each array's root mean square: the errors of all coordinates count relative to that."""
    return {name: _norm(array) / math.sqrt(array.size) for name, array in weights.items()}


def _l1(weights: Mapping[str, Array], kept: int) -> Units:
    """The paper's normalisation: each layer divided by its L1 norm (Theorem 1 and Algorithm 2)."""
    return {name: float(np.abs(array).sum(dtype=np.float64)) for name, array in weights.items()}


def _l2(weights: Mapping[str, Array], kept: int) -> Units:
    """Each array's L2 norm, as in the paper's published code: the errors of all layers count relative to that."""
    return {name: _norm(array) for name, array in weights.items()}


def _lamp(weights: Mapping[str, Array], kept: int) -> Units:
    """The magnitude above which LAMP keeps weights of each array, if it keeps `kept` in all.

    Source: Lee et al. 2021, "Layer-adaptive sparsity for the magnitude-based pruning": a weight's score is its square
    over the sum of all squares in its layer that are not smaller; one threshold on the scores of all layers.
    """
    total = sum(array.size for array in weights.values())
    left = prune(weights, 1 - min(max(kept, 1), total) / total, "lamp", prunable=list(weights), tied=False).masks
    magnitudes = {name: np.abs(array).astype(np.float64) for name, array in weights.items()}
    least = {name: float(each.min(where=left[name], initial=each.max())) for name, each in magnitudes.items()}
    return {name: unit or float(magnitudes[name].max()) for name, unit in least.items()}


WEIGHTINGS: dict[str, Callable[[Mapping[str, Array], int], Units]] = {
    "none": _none,
    "rms": _rms,
    "l1": _l1,
    "l2": _l2,
    "lamp": _lamp,
}


def codes_of_units(weights: Mapping[str, Array], weighting: str, budget: int) -> list[int]:
    """Units as 16-bit minifloats, in the order of the arrays.

    Args:
        weights: arrays by name; none is empty or constant.
        weighting: one of WEIGHTINGS.
        budget: bytes of the SuRP message, about.

    Raises:
        ValueError: there is no such weighting.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting = {weighting!r}; expected one of {', '.join(WEIGHTINGS)}")
    weighed = WEIGHTINGS[weighting]
    size = sum(array.size for array in weights.values())
    units = weighed(weights, max(1, int(min(8 * budget / _BITS_OF_A_WEIGHT, _MOST_KEPT * size))))
    largest = max(units.values())
    return [max(1, encode_minifloat(unit / largest)) for unit in units.values()]


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))
