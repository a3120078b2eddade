"""How each array of a model is coded: in the SuRP message, as a small array, as a running statistic, or without loss.

Knows arrays and the names of running statistics. Does not know bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from surp_fl.model_file.manifest import Entry, Role
from surp_fl.model_file.model import FLOATS, Model
from surp_fl.model_file.small_arrays import MAX_SMALL
from surp_fl.printable import name as quoted
from surp_fl.statistics import Kinds, kinds_in
from surp_fl.tied_arrays import find_copies
from surp_fl.types import Array

_LARGEST_SMALL = 1 << 16  # coordinates of an array with one axis
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MOST_MEAN, _MOST_VARIANCE = 1e4, 1e18  # statistics beyond these are coded without loss
_ROLE_OF_KIND = {"mean": Role.MEAN, "variance": Role.VARIANCE}


def entries_of(model: Model, exact: Collection[str] = (), kinds: Kinds | None = None) -> tuple[Entry, ...]:
    """Choose how each array is coded.

    *Exact* are all that are not floats, constant arrays, those that hold NaN, infinity or more than float32 does, and
    those that the caller names. *Small* are float arrays of at most one axis with at most 65,536 elements, until they
    have 2**22 together. An array that equals an earlier one is a copy (`tied_arrays.py`). All other floats are weights.

    Args:
        model: whose arrays these are.
        exact: names of arrays to be coded without loss.
        kinds: which arrays are running statistics, and of which kind; None recognises them by their names.

    Raises:
        TypeError: an array has a dtype that cannot be stored.
        ValueError: a name is not one of the model's arrays.
    """
    for name in exact:
        if name not in model.arrays:
            raise ValueError(f"exact names {quoted(name)}, which is none of the model's {len(model.arrays)} arrays")
    dtypes = {name: model.stored_dtype(name) for name in model.arrays}
    statistic = kinds_in([name for name, dtype in dtypes.items() if dtype in FLOATS], kinds)
    roles: dict[str, Role] = {}
    left = MAX_SMALL
    for name, array in model.arrays.items():
        if dtypes[name] not in FLOATS or name in exact or not _is_lossy(array):
            roles[name] = Role.EXACT
        elif name in statistic:
            roles[name] = _ROLE_OF_KIND[statistic[name]] if _is_usual(array, statistic[name]) else Role.EXACT
        else:
            is_small = sum(length > 1 for length in array.shape) <= 1 and array.size <= min(_LARGEST_SMALL, left)
            roles[name] = Role.SMALL if is_small else Role.WEIGHT
        if roles[name] in (Role.SMALL, Role.MEAN, Role.VARIANCE):
            left -= array.size
            roles[name] = roles[name] if left >= 0 else Role.EXACT
    copies = _copies_among({name: model.arrays[name] for name, role in roles.items() if role == Role.WEIGHT}, dtypes)
    places = {name: place for place, name in enumerate(model.arrays)}
    return tuple(
        Entry(name, array.shape, dtypes[name], Role.COPY, places[copies[name]])
        if name in copies
        else Entry(name, array.shape, dtypes[name], roles[name])
        for name, array in model.arrays.items()
    )


def _copies_among(weights: Mapping[str, Array], dtypes: Mapping[str, str]) -> dict[str, str]:
    """Arrays that equal an earlier one of the same stored dtype."""
    return {name: first for name, first in find_copies(weights) if dtypes[name] == dtypes[first]}


def _is_lossy(array: Array) -> bool:
    """Whether an array of floats may be coded with a loss: it varies, and float32 holds its values."""
    if array.size == 0 or not bool(np.isfinite(array).all()):
        return False
    if array.dtype.itemsize > 4 and float(np.abs(array).max()) > _FLOAT32_MAX:
        return False
    return bool((array != array.flat[0]).any()) or array.size == 1


def _is_usual(array: Array, kind: str) -> bool:
    if kind == "mean":
        return float(np.abs(array).max()) <= _MOST_MEAN
    return float(array.min()) >= 0 and float(array.max()) <= _MOST_VARIANCE
