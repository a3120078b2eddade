"""One flat vector per model: both ends know the layout, so it is never sent.

Knows names, shapes and dtypes. Does not know codecs, messages or Flower.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


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

    Floating-point arrays (float16, float32, float64) are laid end to end, in the order of the mapping. Every
    other array (integers, booleans: BatchNorm counters, masks) is *exact*: it has no place in the vector and
    travels as it is, by name.

    Attributes:
        arrays: every array of the model, in the model's order.
    """

    arrays: tuple[ArraySpec, ...]
    floats: tuple[ArraySpec, ...] = field(init=False, compare=False, repr=False)
    exact: tuple[ArraySpec, ...] = field(init=False, compare=False, repr=False)
    size: int = field(init=False, compare=False)  # n, coordinates of the vector

    def __post_init__(self) -> None:
        floats = tuple(spec for spec in self.arrays if spec.dtype.kind == "f")
        object.__setattr__(self, "floats", floats)
        object.__setattr__(self, "exact", tuple(spec for spec in self.arrays if spec.dtype.kind != "f"))
        object.__setattr__(self, "size", sum(spec.size for spec in floats))

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Layout:
        """Read the layout off a model.

        Args:
            arrays: name to array, in the model's order.

        Raises:
            TypeError: an array is neither floating point nor exact (complex, object, string).
        """
        specs = []
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise TypeError(
                    f"array '{name}' has dtype {array.dtype}; a layout holds float, integer and boolean arrays: "
                    "split a complex array into its real and imaginary parts, and keep other objects out of the model"
                )
            specs.append(ArraySpec(name, tuple(array.shape), array.dtype))
        return cls(tuple(specs))

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """End of each float array in the vector, exclusive; shape (number of float arrays,)."""
        return np.cumsum([spec.size for spec in self.floats], dtype=np.int64)

    @cached_property
    def fingerprint(self) -> int:
        """32 bits that two layouts share when their float arrays have the same names, shapes and order."""
        return zlib.crc32("\n".join(f"{spec.name} {list(spec.shape)}" for spec in self.floats).encode())

    def flatten(self, arrays: Mapping[str, Array]) -> NDArray[np.float32]:
        """Lay the float arrays of a model end to end.

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
        """Lay the float arrays end to end; others need not be there, and nothing is checked."""
        vector = np.empty(self.size, np.float32)
        start = 0
        for spec in self.floats:
            vector[start : start + spec.size] = arrays[spec.name].reshape(-1)
            start += spec.size
        return vector

    def unflatten(self, vector: NDArray[np.float32], exact: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Cut a vector back into arrays.

        Args:
            vector: float32, shape (n,).
            exact: the arrays that have no place in the vector, by name; needed when the layout has any.

        Returns:
            New arrays with the names, order, shapes and dtypes of the layout.

        Raises:
            ValueError: the vector has another size, or an exact array is missing or differs in shape or dtype.
        """
        given = exact or {}
        floats = self.floats_of(vector)
        arrays: dict[str, Array] = {}
        for spec in self.arrays:
            if spec.dtype.kind != "f":
                if spec.name not in given:
                    raise ValueError(f"the exact array {spec} is missing: give it in `exact`, it is not in the vector")
                _check_one(spec, given[spec.name])
            arrays[spec.name] = (
                floats[spec.name] if spec.dtype.kind == "f" else np.array(given[spec.name], dtype=spec.dtype)
            )
        return arrays

    def floats_of(self, vector: NDArray[np.float32], copy: bool = True) -> dict[str, Array]:
        """Cut a vector back into the float arrays alone; the others have no place in it.

        Args:
            vector: float32, shape (n,).
            copy: whether the arrays are new ones; False gives views where the dtype allows it.

        Raises:
            ValueError: the vector has another size.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"the vector has shape {vector.shape}; this layout needs ({self.size},)")
        starts = self.ends - np.array([spec.size for spec in self.floats], np.int64)
        return {
            spec.name: vector[start : start + spec.size].reshape(spec.shape).astype(spec.dtype, copy=copy)
            for spec, start in zip(self.floats, starts.tolist(), strict=True)
        }

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
