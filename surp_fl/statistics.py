"""Running statistics: float arrays that no optimiser trains, and how their changes are scaled.

Batch normalisation keeps a running mean and a running variance of each channel. Clients estimate both anew in every
round, so that error feedback would count a change twice: the next estimate contains it again. A change is encoded in
units of the array itself, of means in standard deviations and of variances in octaves (log2), so that no decoded
variance is negative, whatever the rounding error. Both directions use only operations that IEEE 754 rounds correctly,
so that server and clients compute the same bits. Knows names and arrays. Does not know layouts, bits or Flower.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from surp_fl.types import Array, Floats

Kind = Literal["mean", "variance"]
Kinds = Mapping[str, Kind]  # by name of the array

KINDS: tuple[Kind, ...] = ("mean", "variance")
_EPSILON = 1e-5  # batch normalisation adds as much to a variance: smaller differences do not matter
_MAX_OCTAVES = 64.0  # of one change of a variance; larger ones are clipped
_KIND_OF_LEAF: dict[str, Kind] = {
    "running_mean": "mean",  # torch
    "running_var": "variance",
    "moving_mean": "mean",  # Keras
    "moving_variance": "variance",
}
_KIND_IN_COLLECTION: dict[str, Kind] = {"mean": "mean", "var": "variance"}  # flax, within "batch_stats"


def kind_of(name: str) -> Kind | None:
    """Recognise a running statistic by the name that torch, Keras or flax gives it.

    >>> kind_of("layer1.0.bn1.running_var"), kind_of("batch_stats/BatchNorm_0/mean"), kind_of("head.weight")
    ('variance', 'mean', None)
    """
    parts = [part for part in re.split(r"\W+", name) if part and not part.isdecimal()]
    leaf = parts[-1] if parts else ""
    return _KIND_OF_LEAF.get(leaf) or (_KIND_IN_COLLECTION.get(leaf) if "batch_stats" in parts[:-1] else None)


def kinds_in(names: Sequence[str], configured: Kinds | None) -> dict[str, Kind]:
    """Which of these float arrays are running statistics: as the user configured, or by their names.

    Args:
        names: of float arrays.
        configured: by the user, name to kind; None recognises them by name.

    Raises:
        ValueError: a configured name is not that of a float array, or its kind is neither "mean" nor "variance".
    """
    if configured is None:
        return {name: kind for name in names if (kind := kind_of(name)) is not None}
    for name, kind in configured.items():
        if name not in names or kind not in KINDS:
            raise ValueError(
                f"statistics say that '{name}' is a {kind!r}; expected the name of a float array of the model "
                f"({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}) and one of {KINDS}"
            )
    return {name: configured[name] for name in names if name in configured}


def in_units(before: Mapping[str, Array], after: Mapping[str, Array], kinds: Kinds) -> dict[str, NDArray[np.float32]]:
    """Changes of statistics in their own units: standard deviations for means, octaves for variances.

    Args:
        before: arrays that both ends hold, by name; all of `kinds`.
        after: what they became; the same shapes.
        kinds: name to kind, in the model's order.

    Returns:
        float32 arrays of the same shapes; 0 where nothing changed.
    """
    changes = {}
    for name, kind in kinds.items():
        old, new = np.asarray(before[name], np.float64), np.asarray(after[name], np.float64)
        change = _octave(new) - _octave(old) if kind == "variance" else (new - old) / _deviation(name, before, kinds)
        changes[name] = np.where(new == old, 0.0, change).astype(np.float32)
    return changes


def add_units(before: Mapping[str, Array], changes: Mapping[str, Array], kinds: Kinds) -> dict[str, Array]:
    """Apply changes in their own units, the inverse of `in_units`: finite, no variance negative, same bits everywhere.

    Args:
        before: arrays that both ends hold, by name.
        changes: float32, in units; where one is 0, the statistic stays the same to the bit.
        kinds: name to kind.

    Returns:
        New arrays of the dtypes of `before`.
    """
    arrays = {}
    for name, kind in kinds.items():
        old, change = np.asarray(before[name], np.float64), np.asarray(changes[name], np.float64)
        if kind == "variance":
            new = _of_octave(_octave(old) + np.clip(change, -_MAX_OCTAVES, _MAX_OCTAVES))
        else:
            new = old + change * _deviation(name, before, kinds)
        arrays[name] = as_dtype(np.where(change == 0, old, new), before[name].dtype, kind)
    return arrays


def as_dtype(values: Floats, dtype: np.dtype[Any], kind: Kind) -> Array:
    """Cast statistics to the model's dtype, clipped to finite values, and variances to 0 or more."""
    largest = float(np.finfo(dtype).max)
    array: Array = np.clip(values, 0.0 if kind == "variance" else -largest, largest).astype(dtype)
    return array


def _deviation(name: str, arrays: Mapping[str, Array], kinds: Kinds) -> Floats | float:
    """Standard deviation of a mean's channels: from the next variance of its shape, else the previous one; else 1."""
    names = list(kinds)
    place = names.index(name)
    for other in (*names[place + 1 :], *reversed(names[:place])):
        if kinds[other] == "variance" and arrays[other].shape == arrays[name].shape:
            deviation: Floats = np.sqrt(np.maximum(np.asarray(arrays[other], np.float64), 0.0) + _EPSILON)
            return deviation
    return 1.0


def _octave(variance: Floats) -> Floats:
    """log2 of a variance, linear between powers of two: m·2^e ↦ e + 2m − 2, with 1/2 ≤ m < 1."""
    mantissa, exponent = np.frexp(np.maximum(variance, 0.0) + _EPSILON)
    octave: Floats = exponent + 2.0 * mantissa - 2.0
    return octave


def _of_octave(octave: Floats) -> Floats:
    """The inverse of `_octave`."""
    power = np.floor(octave)
    variance: Floats = np.ldexp(1.0 + (octave - power), power.astype(np.int64)) - _EPSILON
    return variance
