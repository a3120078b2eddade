"""Small arrays and running statistics ↔ numbers in units of their effect: `small_arrays.py` codes multiples of them.

A small array is what it is. A variance is in octaves, a mean in the deviations of its channels (`statistics.py`), so
that variances come first. Does not know bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from surp_fl import statistics
from surp_fl.model_file.manifest import Entry, Role
from surp_fl.model_file.model import rounded_to
from surp_fl.types import Array, Arrays, Floats, Integers

Steps = dict[str, tuple[Integers, int]]  # multiples, shape (size,), and the exponent of their step, by name
_KINDS: dict[Role, statistics.Kind] = {Role.MEAN: "mean", Role.VARIANCE: "variance"}


def in_units(
    entries: Sequence[Entry], arrays: Mapping[str, Array], decoded: Arrays, roles: tuple[Role, ...]
) -> dict[str, Floats]:
    """Values of which multiples of a step are coded.

    Args:
        entries: of all small arrays and statistics.
        arrays: by name; those of `roles` are used.
        decoded: variances as they are decoded, where `roles` are of means.
        roles: whose values these are.

    Returns:
        By name; float64, shape (size,).
    """
    base = _base(entries, decoded)
    turn = [entry for entry in entries if entry.role in roles]
    values = {entry.name: arrays[entry.name] for entry in turn}
    changes = statistics.in_units(base, base | values, _kinds(entries))
    return {entry.name: changes.get(entry.name, arrays[entry.name]).astype(np.float64).reshape(-1) for entry in turn}


def from_units(entries: Sequence[Entry], steps: Steps, decoded: Mapping[str, Array], roles: tuple[Role, ...]) -> Arrays:
    """The inverse of `_in_units`: arrays of the dtypes in memory."""
    base = _base(entries, decoded)
    turn = [entry for entry in entries if entry.role in roles]
    with np.errstate(over="ignore"):
        values: Arrays = {
            entry.name: np.ldexp(steps[entry.name][0].astype(np.float64), steps[entry.name][1]).reshape(entry.shape)
            for entry in turn
        }
    changes = {name: values.get(name, np.zeros(array.shape)) for name, array in base.items()}
    restored = statistics.add_units(base, changes, _kinds(entries))
    return {entry.name: rounded_to(entry.dtype, restored.get(entry.name, values[entry.name])) for entry in turn}


def _kinds(entries: Sequence[Entry]) -> dict[str, statistics.Kind]:
    return {entry.name: _KINDS[entry.role] for entry in entries if entry.role in _KINDS}


def _base(entries: Sequence[Entry], decoded: Mapping[str, Array]) -> Arrays:
    """What statistics are relative to: means to 0, variances to 1; the units of means to the variances as decoded."""
    statistic = [entry for entry in entries if entry.role in _KINDS]
    return {
        entry.name: decoded.get(entry.name, np.full(entry.shape, float(entry.role == Role.VARIANCE)))
        for entry in statistic
    }
