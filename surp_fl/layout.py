"""One flat vector per model: server and clients know the layout, so it is never sent.

Knows names, shapes and dtypes. Does not know codecs, messages or Flower.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from surp_fl.array_spec import ArraySpec, check_all, specs_of
from surp_fl.statistics import Kind, Kinds, kinds_in
from surp_fl.tied_arrays import find_copies, spread_to_copies
from surp_fl.types import Array, Update


@dataclass(frozen=True)
class Layout:
    """The position of each array of a model in one float32 vector of shape (n,).

    The floating-point arrays that are trained (float16, float32, float64) are laid end to end, in the order of the
    mapping. Three kinds of arrays are not in the vector: *exact* ones (integers and booleans: counters, masks), running
    *statistics* (see statistics.py), and *copies*, float arrays that equal an earlier array of the model (tied
    weights), whose values are in the vector once.

    Attributes:
        arrays: every array of the model, in the model's order.
        kinds: pairs of name and kind of the running statistics, in that order.
        copies: pairs of name and the name of the earlier array that it equals, in that order.
        floats: the trained arrays that are in the vector.
        statistics: the running statistics.
        exact: the integer and boolean arrays.
        size: n, coordinates of the vector.

    >>> model = {"weight": np.ones((2, 2), np.float32), "bias": np.zeros(2, np.float32), "steps": np.array(7)}
    >>> layout = Layout.of(model)
    >>> layout.size, layout.flatten(model)
    (6, array([1., 1., 1., 1., 0., 0.], dtype=float32))
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
        """Make the layout of a model.

        Args:
            arrays: name to array, in the model's order.
            kinds: which arrays are running statistics, and of which kind; None recognises them by their names.
            tied: whether arrays that equal an earlier one count as copies of it; never those of fewer than 16 elements
                and constant ones, which may be equal by chance.

        Raises:
            TypeError: an array is not float, integer or boolean (complex, object, string, bfloat16).
            ValueError: `kinds` names something other than float arrays of this model.
        """
        specs = specs_of(arrays)
        found = kinds_in([spec.name for spec in specs if spec.dtype.kind == "f"], kinds)
        trained = {spec.name: arrays[spec.name] for spec in specs if spec.dtype.kind == "f" and spec.name not in found}
        return cls(tuple(specs), tuple(found.items()), find_copies(trained) if tied else ())

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """End of each float array in the vector, exclusive; shape (number of float arrays,)."""
        return np.cumsum([spec.size for spec in self.floats], dtype=np.int64)

    @cached_property
    def fingerprint(self) -> int:
        """CRC-32 of names, shapes and order of the arrays in the vector."""
        return zlib.crc32("\n".join(f"{spec.name} {list(spec.shape)}" for spec in self.floats).encode())

    @cached_property
    def untied(self) -> Layout:
        """The layout of the same model whose vector contains the copies too; itself if there are none."""
        return replace(self, copies=()) if self.copies else self

    @cached_property
    def of_statistics(self) -> Layout:
        """A layout of the running statistics alone, as float32 arrays."""
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
        """Lay the trained float arrays end to end, unchecked; other arrays may be missing.

        Returns:
            A new float32 vector of shape (n,).
        """
        vector = np.empty(self.size, np.float32)
        for spec, part in self._parts():
            vector[part] = arrays[spec.name].reshape(-1)
        return vector

    def difference(self, after: Mapping[str, Array], before: Mapping[str, Array]) -> NDArray[np.float32]:
        """after − before, computed in the arrays' own precision, or float32 where that is higher.

        Args:
            after: a model of this layout; it is checked.
            before: another one; it is not checked.

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
            with np.errstate(over="ignore", invalid="ignore"):  # the encoder refuses NaN and infinity
                vector[part] = np.subtract(new, old, dtype=wide)
        return vector

    def moved(self, arrays: Mapping[str, Array], update: NDArray[np.float32]) -> dict[str, Array]:
        """Add an update to the trained arrays, without rounding to their own dtypes.

        Args:
            arrays: a model of this layout, or its float arrays alone.
            update: float32, shape (n,).

        Returns:
            New arrays, copies included, in their own precision, or float32 where that is higher; see `rounded`.
        """
        after: dict[str, Array] = {}
        for spec, part in self._parts():
            wide = np.result_type(spec.dtype, np.float32)
            with np.errstate(over="ignore"):
                after[spec.name] = np.add(arrays[spec.name], update[part].reshape(spec.shape), dtype=wide)
        return after | {name: after[first].copy() for name, first in self.copies}

    def rounded(self, floats: Mapping[str, Array]) -> dict[str, Array]:
        """Cast float arrays, by name, to the model's own dtypes."""
        dtypes = {spec.name: spec.dtype for spec in self.arrays}
        with np.errstate(over="ignore"):  # float16 may overflow to infinity, which callers check
            return {name: array.astype(dtypes[name], copy=False) for name, array in floats.items()}

    def spread(self, update: Update) -> Update:
        """Convert an update to the untied layout: its values are repeated at the coordinates of each copy.

        Args:
            update: in this layout: indices and values, or a vector of shape (n,).
        """
        if not self.copies:
            return update
        if not isinstance(update, tuple):
            floats = {spec.name: update[part] for spec, part in self._parts()}
            floats |= {name: floats[first] for name, first in self.copies}
            return np.concatenate([floats[spec.name] for spec in self.untied.floats])
        starts = {spec.name: part.start for spec, part in self.untied._parts()}
        parts = ((spec.name, part) for spec, part in self._parts())
        return spread_to_copies(update, parts, starts, self.copies)

    def tied(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert a vector of the untied layout to this one: of arrays that are equal, the first one's values stay."""
        if not self.copies:
            return vector
        floats = {spec.name: vector[part] for spec, part in self.untied._parts()}
        return np.concatenate([floats[spec.name] for spec in self.floats])

    def unflatten(self, vector: NDArray[np.float32], exact: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Split a vector into the arrays of the model.

        Args:
            vector: float32, shape (n,).
            exact: by name, the integer arrays and running statistics, which are not in the vector; needed if the layout
                has any.

        Returns:
            New arrays with the names, order, shapes and dtypes of the layout.

        Raises:
            ValueError: the vector has another size, or an array is missing or differs in shape or dtype.
        """
        return self.assembled(self.floats_of(vector), exact or {})

    def assembled(self, floats: Mapping[str, Array], others: Mapping[str, Array]) -> dict[str, Array]:
        """Assemble a model from its trained arrays and those that are not in the vector.

        Args:
            floats: trained arrays, copies included, by name.
            others: integer arrays and running statistics, by name.

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
            spec.check(others[spec.name])
            arrays[spec.name] = np.array(others[spec.name], dtype=spec.dtype)
        return arrays

    def floats_of(self, vector: NDArray[np.float32], copy: bool = True) -> dict[str, Array]:
        """Split a vector into the trained arrays, copies included.

        Args:
            vector: float32, shape (n,).
            copy: whether the arrays are new ones; False gives views where the dtype is float32.

        Returns:
            Arrays in the model's dtypes, by name.

        Raises:
            ValueError: the vector has another size.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"the vector has shape {vector.shape}; this layout needs ({self.size},)")
        views = {spec.name: vector[part].reshape(spec.shape) for spec, part in self._parts()}
        floats = self.rounded({name: view.copy() if copy else view for name, view in views.items()})
        return floats | {name: floats[first].copy() if copy else floats[first] for name, first in self.copies}

    def untrained_of(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The running statistics and integer arrays of a model, by name; no copies."""
        return {spec.name: arrays[spec.name] for spec in (*self.statistics, *self.exact)}

    def _parts(self) -> Iterator[tuple[ArraySpec, slice]]:
        """Each array of the vector, and its place there."""
        for spec, end in zip(self.floats, self.ends.tolist(), strict=True):
            yield spec, slice(end - spec.size, end)

    def check(self, arrays: Mapping[str, Array]) -> None:
        """Check that arrays have the names, order, shapes and dtypes of this layout; the width of floats may differ.

        Raises:
            ValueError: they do not; the message gives what was found and what was expected.
        """
        check_all(self.arrays, arrays)
