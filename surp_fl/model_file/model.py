"""A model as it is stored: arrays by name, in order, with dtypes that NumPy lacks, and metadata.

Knows arrays. Does not know bytes or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surp_fl.printable import name as quoted
from surp_fl.types import Array, Arrays

BFLOAT16 = "BF16"

# Code in a file, name in a safetensors file, dtype in memory. Codes are part of the format.
_ROWS: tuple[tuple[int, str, type[np.generic]], ...] = (
    (0, "F32", np.float32),
    (1, "F16", np.float16),
    (2, BFLOAT16, np.float32),
    (3, "F64", np.float64),
    (4, "I64", np.int64),
    (5, "I32", np.int32),
    (6, "I16", np.int16),
    (7, "I8", np.int8),
    (8, "U64", np.uint64),
    (9, "U32", np.uint32),
    (10, "U16", np.uint16),
    (11, "U8", np.uint8),
    (12, "BOOL", np.bool_),
    (13, "C64", np.complex64),
    (14, "F8_E4M3", np.uint8),  # 8-bit floats as their bits
    (15, "F8_E5M2", np.uint8),
    (16, "F8_E8M0", np.uint8),
    (17, "F8_E4M3FNUZ", np.uint8),
    (18, "F8_E5M2FNUZ", np.uint8),
)
NAMES: dict[int, str] = {code: name for code, name, _ in _ROWS}
CODES: dict[str, int] = {name: code for code, name, _ in _ROWS}
FLOATS = ("F16", BFLOAT16, "F32", "F64")
IN_MEMORY: dict[str, np.dtype[Any]] = {name: np.dtype(dtype) for _, name, dtype in _ROWS}
_LARGEST_BFLOAT16 = 0x7F7F0000  # as bits of a float32
_BYTES = {BFLOAT16: 2}  # of an element as it is stored, where that differs from memory
_OF_NUMPY = {np.dtype(dtype): name for _, name, dtype in reversed(_ROWS) if name != BFLOAT16}


@dataclass(frozen=True)
class Model:
    """A model.

    Attributes:
        arrays: name to array, in the model's order.
        dtypes: of arrays whose dtype NumPy lacks, its name in a safetensors file: `BF16`, whose values are in a float32
            array; or one of the 8-bit floats, such as `F8_E4M3`, whose bits are in a uint8 array.
        metadata: text by name.
    """

    arrays: Arrays
    dtypes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model | Mapping[str, Array]) -> Model:
        """A model from its arrays, or as it is."""
        return model if isinstance(model, Model) else cls(dict(model))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays as they are stored."""
        return sum(bytes_of(self.stored_dtype(name), array.size) for name, array in self.arrays.items())

    def stored_dtype(self, name: str) -> str:
        """The dtype of an array, by its name in a safetensors file.

        Raises:
            TypeError: it is none of those that can be stored.
        """
        array = self.arrays[name]
        stored = self.dtypes.get(name) or _OF_NUMPY.get(array.dtype.newbyteorder("="), "")
        if stored not in CODES:
            raise TypeError(
                f"array {quoted(name)} has dtype {quoted(self.dtypes.get(name, array.dtype))}; expected one of "
                f"{', '.join(CODES)}: convert it, or keep it out of the model"
            )
        if array.dtype.newbyteorder("=") != IN_MEMORY[stored]:
            raise TypeError(
                f"array {quoted(name)} has dtype {array.dtype} and is said to be {stored}, which is held as "
                f"{IN_MEMORY[stored]}: convert it"
            )
        return stored


def bytes_of(dtype: str, size: int) -> int:
    """Bytes that `size` elements of a dtype take as they are stored."""
    return size * _BYTES.get(dtype, IN_MEMORY[dtype].itemsize)


def rounded_to(dtype: str, values: Array) -> Array:
    """Round float64 values to a float dtype, clipped to its finite range.

    Args:
        dtype: `F16`, `BF16`, `F32` or `F64`.
        values: float64, finite; any shape.

    Returns:
        A new array of the dtype in memory; of `BF16`, float32 values that it represents exactly.

    >>> rounded_to("BF16", np.array([1.003, 1.004, 1e39]))
    array([1.0000000e+00, 1.0078125e+00, 3.3895314e+38], dtype=float32)
    """
    held = IN_MEMORY[dtype]
    limit = float(np.finfo(held).max)
    limited = np.asarray(np.clip(values, -limit, limit), held)
    return _as_bfloat16(limited) if dtype == BFLOAT16 else limited


def _as_bfloat16(values: Array) -> Array:
    """The nearest bfloat16, ties to even: the upper 16 bits of a float32; never infinity."""
    bits = values.view(np.uint32)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    half = np.uint32(0x7FFF) + ((magnitude >> np.uint32(16)) & np.uint32(1))
    nearest = np.minimum((magnitude + half) & np.uint32(0xFFFF0000), np.uint32(_LARGEST_BFLOAT16))
    return np.asarray(nearest | (bits & np.uint32(0x80000000))).view(np.float32)
