"""Name, shape and dtype of one array of a model, and the checks that an array matches them.

Knows arrays. Does not know layouts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from surp_fl.types import Array


@dataclass(frozen=True)
class ArraySpec:
    """Name, shape and dtype of one array of a model.

    >>> str(ArraySpec("weight", (3, 2), np.dtype(np.float32)))
    'weight float32[3, 2]'
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}{list(self.shape)}"

    def check(self, array: Array) -> None:
        """Check that an array has this shape, and this dtype; the width of floats may differ.

        Raises:
            ValueError: it does not.
        """
        if tuple(array.shape) != self.shape:
            raise ValueError(f"array '{self.name}' has shape {list(array.shape)}; this model has {list(self.shape)}")
        same_kind = array.dtype.kind == "f" if self.dtype.kind == "f" else array.dtype == self.dtype
        if not same_kind:
            raise ValueError(f"array '{self.name}' has dtype {array.dtype}; this model has {self.dtype}")


def specs_of(arrays: Mapping[str, Array]) -> list[ArraySpec]:
    """The specs of a model's arrays, in its order.

    Raises:
        TypeError: an array is not float, integer or boolean (complex, object, string, bfloat16).
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
    return specs


def check_all(specs: tuple[ArraySpec, ...], arrays: Mapping[str, Array]) -> None:
    """Check that arrays have the names, order, shapes and dtypes of the specs.

    Raises:
        ValueError: they do not; the message gives what was found and what was expected.
    """
    names = [spec.name for spec in specs]
    if list(arrays) != names:
        missing = [name for name in names if name not in arrays]
        extra = [name for name in arrays if name not in names]
        raise ValueError(
            f"the arrays are not those of this model: missing {missing}, not expected {extra}"
            if missing or extra
            else f"the arrays come in the order {list(arrays)}; expected {names}"
        )
    for spec in specs:
        spec.check(arrays[spec.name])
