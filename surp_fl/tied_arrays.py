"""Tied arrays: arrays of a model that equal an earlier one (tied weights), whose values need to be sent once.

Knows arrays and updates. Does not know layouts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from surp_fl.types import Array, Sparse

_LEAST_SIZE = 16  # elements; smaller arrays may be equal by chance

Copies = tuple[tuple[str, str], ...]  # pairs of a name and the name of the earlier array that it equals


def find_copies(floats: Mapping[str, Array]) -> Copies:
    """Find the arrays that equal an earlier one.

    Arrays of fewer than 16 elements, and constant arrays, as newly initialised biases are, may be equal by chance and
    never count as copies. Only arrays with equal first elements are compared in full.

    Args:
        floats: name to array, in the model's order.

    >>> weight = np.arange(16.0)
    >>> find_copies({"encoder": weight, "decoder": weight.copy(), "head": weight + 1})
    (('decoder', 'encoder'),)
    """
    copies: list[tuple[str, str]] = []
    by_prefix: dict[tuple[Any, ...], list[str]] = {}
    for name, array in floats.items():
        if array.size < _LEAST_SIZE:
            continue
        candidates = by_prefix.setdefault((array.shape, array.dtype, array.flat[:_LEAST_SIZE].tobytes()), [])
        first = next((each for each in candidates if np.array_equal(floats[each], array)), None)
        if first is None:
            candidates.append(name)
        elif (array != array.flat[0]).any():
            copies.append((name, first))
    return tuple(copies)


def spread_to_copies(
    update: Sparse, parts: Iterable[tuple[str, slice]], starts: Mapping[str, int], copies: Copies
) -> Sparse:
    """Repeat the entries of a sparse update at the coordinates of each copy.

    Args:
        update: indices and values in the tied layout.
        parts: name and place of each array in the vector of that layout.
        starts: name to first coordinate in the untied layout, which contains the copies too.
        copies: as `find_copies` gives them.

    Returns:
        Indices, ascending, and values in the untied layout.
    """
    indices, values = update
    copies_of: dict[str, list[str]] = {}
    for name, first in copies:
        copies_of.setdefault(first, []).append(name)
    pieces = []
    for name, part in parts:
        low, high = np.searchsorted(indices, (part.start, part.stop))
        for target in (name, *copies_of.get(name, [])):
            pieces.append((indices[low:high] - part.start + starts[target], values[low:high]))
    pieces.sort(key=lambda piece: int(piece[0][0]) if piece[0].size else 0)
    return np.concatenate([each for each, _ in pieces]), np.concatenate([each for _, each in pieces])
