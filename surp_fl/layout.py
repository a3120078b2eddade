"""One flat vector per model: both ends know the layout, so it is never sent.

Knows names, shapes and dtypes. Does not know codecs, messages or Flower.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.statistics import Kind, Kinds, kinds_in
from surp_fl.types import Array, Update

_LEAST_TIED = 16  # numbers: fewer are equal by chance


@dataclass(frozen=True)
class ArraySpec:
    """Name, shape and dtype of one array of a model."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}{list(self.shape)}"


@dataclass(frozen=True)
class Layout:
    """Where each array of a model lies in one float32 vector of shape (n,).

    The floating-point arrays that are trained (float16, float32, float64) are laid end to end, in the order of the
    mapping. Three kinds of arrays have no place in the vector: *exact* ones (integers and booleans: counters, masks),
    running *statistics* (see statistics.py), and *copies*, float arrays that are another array of the model once more
    (tied weights), whose values the vector holds once.

    Attributes:
        arrays: every array of the model, in the model's order.
        kinds: pairs of name and kind of the running statistics, in that order.
        copies: pairs of name and the name of the earlier array that it equals, in that order.
    """

    arrays: tuple[ArraySpec, ...]
    kinds: tuple[tuple[str, Kind], ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    floats: tuple[ArraySpec, ...] = field(init=False, compare=False, repr=False)
    statistics: tuple[ArraySpec, ...] = field(init=False, compare=False, repr=False)
    exact: tuple[ArraySpec, ...] = field(init=False, compare=False, repr=False)
    size: int = field(init=False, compare=False)  # n, coordinates of the vector

    def __post_init__(self) -> None:
        apart = dict(self.kinds) | dict(self.copies)
        floats = tuple(spec for spec in self.arrays if spec.dtype.kind == "f" and spec.name not in apart)
        object.__setattr__(self, "floats", floats)
        object.__setattr__(self, "statistics", tuple(spec for spec in self.arrays if spec.name in dict(self.kinds)))
        object.__setattr__(self, "exact", tuple(spec for spec in self.arrays if spec.dtype.kind != "f"))
        object.__setattr__(self, "size", sum(spec.size for spec in floats))

    @classmethod
    def of(cls, arrays: Mapping[str, Array], kinds: Kinds | None = None, tied: bool = True) -> Layout:
        """Read the layout off a model.

        Args:
            arrays: name to array, in the model's order.
            kinds: which arrays are running statistics, and of which kind; None recognises them by their names.
            tied: whether arrays that equal an earlier one are taken to be copies of it. Arrays of less than 16
                numbers, and of one number over and over, as fresh biases are, are equal by chance, and never taken so.

        Raises:
            TypeError: an array is neither floating point nor exact (complex, object, string, bfloat16).
            ValueError: `kinds` is not about float arrays of this model.
        """
        specs = []
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise TypeError(
                    f"array '{name}' has dtype {array.dtype}; a layout holds float, integer and boolean arrays: "
                    + (
                        "send bfloat16 arrays as float32 (tensor.float(), array.astype(numpy.float32)); an update "
                        "of the two has the same bytes"
                        if array.dtype.kind == "V"
                        else "split a complex array into its real and imaginary parts, and keep other objects out of "
                        "the model"
                    )
                )
            specs.append(ArraySpec(name, tuple(array.shape), array.dtype))
        found = kinds_in([spec.name for spec in specs if spec.dtype.kind == "f"], kinds)
        trained = {spec.name: arrays[spec.name] for spec in specs if spec.dtype.kind == "f" and spec.name not in found}
        return cls(tuple(specs), tuple(found.items()), _copies(trained) if tied else ())

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """End of each float array in the vector, exclusive; shape (number of float arrays,)."""
        return np.cumsum([spec.size for spec in self.floats], dtype=np.int64)

    @cached_property
    def fingerprint(self) -> int:
        """32 bits that two layouts share when the arrays in their vectors have the same names, shapes and order."""
        return zlib.crc32("\n".join(f"{spec.name} {list(spec.shape)}" for spec in self.floats).encode())

    @cached_property
    def untied(self) -> Layout:
        """The layout of the same model in which the vector holds copies as well; itself where there are none."""
        return replace(self, copies=()) if self.copies else self

    @cached_property
    def of_statistics(self) -> Layout:
        """A layout whose vector holds the running statistics, and nothing else."""
        return Layout(tuple(replace(spec, dtype=np.dtype(np.float32)) for spec in self.statistics))

    def flatten(self, arrays: Mapping[str, Array]) -> NDArray[np.float32]:
        """Lay the trained float arrays of a model end to end.

        Args:
            arrays: the model; the same names, order and shapes as the layout. The float width may differ.

        Returns:
            A new float32 vector of shape (n,).

        Raises:
            ValueError: the arrays are not those of this layout.
        """
        self.check(arrays)
        return self.flatten_floats(arrays)

    def flatten_floats(self, arrays: Mapping[str, Array]) -> NDArray[np.float32]:
        """Lay the trained float arrays end to end; others need not be there, and nothing is checked."""
        vector = np.empty(self.size, np.float32)
        for spec, part in self._parts():
            vector[part] = arrays[spec.name].reshape(-1)
        return vector

    def difference(self, after: Mapping[str, Array], before: Mapping[str, Array]) -> NDArray[np.float32]:
        """What training added, taken in the arrays' own precision, or float32 where that is higher.

        Args:
            after: a model of this layout; it is checked.
            before: another one; it is not.

        Returns:
            A new float32 vector of shape (n,).

        Raises:
            ValueError: the arrays of `after` are not those of this layout.
        """
        self.check(after)
        vector = np.empty(self.size, np.float32)
        for spec, part in self._parts():
            new, old = after[spec.name].reshape(-1), before[spec.name].reshape(-1)
            wide = np.result_type(new.dtype, old.dtype, np.float32)
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused where it is sent
                vector[part] = np.subtract(new, old, dtype=wide)
        return vector

    def moved(self, arrays: Mapping[str, Array], update: NDArray[np.float32]) -> dict[str, Array]:
        """The trained arrays after an update, before they are rounded to their own dtypes.

        Args:
            arrays: a model of this layout, or its float arrays alone.
            update: float32, shape (n,).

        Returns:
            New arrays, copies included, in their own precision, or float32 where that is higher.
        """
        after: dict[str, Array] = {}
        for spec, part in self._parts():
            wide = np.result_type(spec.dtype, np.float32)
            with np.errstate(over="ignore"):
                after[spec.name] = np.add(arrays[spec.name], update[part].reshape(spec.shape), dtype=wide)
        return after | {name: after[first].copy() for name, first in self.copies}

    def rounded(self, floats: Mapping[str, Array]) -> dict[str, Array]:
        """Float arrays in the model's own dtypes."""
        dtypes = {spec.name: spec.dtype for spec in self.arrays}
        with np.errstate(over="ignore"):  # of narrower floats: what is not finite is refused elsewhere
            return {name: array.astype(dtypes[name], copy=False) for name, array in floats.items()}

    def spread(self, update: Update) -> Update:
        """The same update for the vector of the untied layout: at the coordinates of each copy as well."""
        if not self.copies:
            return update
        if not isinstance(update, tuple):
            floats = self.floats_of(update, copy=False)
            return np.concatenate([floats[spec.name].reshape(-1) for spec in self.untied.floats])
        indices, values = update
        places = {spec.name: part.start for spec, part in self.untied._parts()}
        of_first: dict[str, list[str]] = {}
        for name, first in self.copies:
            of_first.setdefault(first, []).append(name)
        pieces = []
        for spec, part in self._parts():
            low, high = np.searchsorted(indices, (part.start, part.stop))
            for name in (spec.name, *of_first.get(spec.name, [])):
                pieces.append((indices[low:high] - part.start + places[name], values[low:high]))
        pieces.sort(key=lambda piece: int(piece[0][0]) if piece[0].size else 0)
        return np.concatenate([each for each, _ in pieces]), np.concatenate([each for _, each in pieces])

    def unflatten(self, vector: NDArray[np.float32], exact: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Cut a vector back into arrays.

        Args:
            vector: float32, shape (n,).
            exact: the exact arrays and running statistics, which have no place in the vector, by name; needed when
                the layout has any.

        Returns:
            New arrays with the names, order, shapes and dtypes of the layout.

        Raises:
            ValueError: the vector has another size, or an array is missing or differs in shape or dtype.
        """
        return self.assembled(self.floats_of(vector), exact or {})

    def assembled(self, floats: Mapping[str, Array], others: Mapping[str, Array]) -> dict[str, Array]:
        """A whole model of its trained arrays and of those that have no place in the vector.

        Returns:
            The arrays in the model's order; those of `others` are copied.

        Raises:
            ValueError: an array is missing or differs in shape or dtype.
        """
        arrays: dict[str, Array] = {}
        for spec in self.arrays:
            if spec.name in floats:
                arrays[spec.name] = floats[spec.name]
                continue
            if spec.name not in others:
                raise ValueError(f"the array {spec} is missing: give it in `exact`, it is not in the vector")
            _check_one(spec, others[spec.name])
            arrays[spec.name] = np.array(others[spec.name], dtype=spec.dtype)
        return arrays

    def floats_of(self, vector: NDArray[np.float32], copy: bool = True) -> dict[str, Array]:
        """Cut a vector back into the trained arrays alone, copies of them included.

        Args:
            vector: float32, shape (n,).
            copy: whether the arrays are new ones; False gives views where the dtype allows it.

        Raises:
            ValueError: the vector has another size.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"the vector has shape {vector.shape}; this layout needs ({self.size},)")
        views = {spec.name: vector[part].reshape(spec.shape) for spec, part in self._parts()}
        floats = self.rounded({name: view.copy() if copy else view for name, view in views.items()})
        return floats | {name: np.array(floats[first], copy=copy or None) for name, first in self.copies}

    def untrained_of(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of a model that have no place in the vector and are no copies: exact ones, and statistics."""
        return {spec.name: arrays[spec.name] for spec in (*self.statistics, *self.exact)}

    def _parts(self) -> Iterator[tuple[ArraySpec, slice]]:
        """Each float array of the vector, and where it lies."""
        for spec, end in zip(self.floats, self.ends.tolist(), strict=True):
            yield spec, slice(end - spec.size, end)

    def check(self, arrays: Mapping[str, Array]) -> None:
        """Raise ValueError, with what was found and expected, unless the arrays have this layout."""
        names = [spec.name for spec in self.arrays]
        if list(arrays) != names:
            missing = [name for name in names if name not in arrays]
            extra = [name for name in arrays if name not in names]
            raise ValueError(
                f"the arrays are not those of this model: missing {missing}, not expected {extra}"
                if missing or extra
                else f"the arrays come in the order {list(arrays)}; expected {names}"
            )
        for spec in self.arrays:
            _check_one(spec, arrays[spec.name])


def _check_one(spec: ArraySpec, array: Array) -> None:
    if tuple(array.shape) != spec.shape:
        raise ValueError(f"array '{spec.name}' has shape {list(array.shape)}; this model has {list(spec.shape)}")
    same_kind = array.dtype.kind == "f" if spec.dtype.kind == "f" else array.dtype == spec.dtype
    if not same_kind:
        raise ValueError(f"array '{spec.name}' has dtype {array.dtype}; this model has {spec.dtype}")


def _copies(floats: Mapping[str, Array]) -> tuple[tuple[str, str], ...]:
    """Pairs of an array and an earlier one that it equals; only arrays that begin alike are read to their ends."""
    copies: list[tuple[str, str]] = []
    begun: dict[tuple[Any, ...], list[str]] = {}
    for name, array in floats.items():
        if array.size < _LEAST_TIED:
            continue
        alike = begun.setdefault((array.shape, array.dtype, array.flat[:_LEAST_TIED].tobytes()), [])
        first = next((each for each in alike if np.array_equal(floats[each], array)), None)
        if first is None:
            alike.append(name)
        elif (array != array.flat[0]).any():
            copies.append((name, first))
    return tuple(copies)
