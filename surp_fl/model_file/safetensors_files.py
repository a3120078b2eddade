"""Files of the safetensors format ↔ models; needs the package `safetensors`.

Knows files. Does not know how models are compressed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surp_fl.model_file.model import BFLOAT16, CODES, IN_MEMORY, Model
from surp_fl.printable import name as quoted
from surp_fl.types import Array, Arrays

if TYPE_CHECKING:
    from types import ModuleType

_LENGTH, _METADATA = 8, "__metadata__"  # bytes of the header's length; the name under which it holds metadata
_MISSING = "this needs the package safetensors: pip install 'surp-fl[models]', or pip install safetensors"
# What the package calls the dtypes of an array that is written.
_PYTHON_NAMES = {
    BFLOAT16: "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


class BadSafetensorsError(ValueError):
    """A file is no safetensors file, or holds what cannot be read here."""


def read_safetensors(file: Path) -> Model:
    """Read a model.

    Raises:
        ImportError: the package safetensors is not installed.
        BadSafetensorsError: the file is none of that format, or has arrays of a dtype that is not known.
        OSError: it cannot be opened.
    """
    package = _package()
    content = file.read_bytes()
    try:
        found: list[tuple[str, dict[str, Any]]] = package.deserialize(content)
    except package.SafetensorError as fault:
        raise BadSafetensorsError(f"no safetensors file: {fault}") from fault
    tensors = dict(found)
    header = json.loads(content[_LENGTH : _LENGTH + int.from_bytes(content[:_LENGTH], "little")])
    metadata = header.pop(_METADATA, None) or {}
    arrays: Arrays = {}
    dtypes: dict[str, str] = {}
    for name in header:  # the package gives the arrays in any order
        tensor = tensors[name]
        if tensor["dtype"] not in CODES:
            raise BadSafetensorsError(
                f"array {quoted(name)} has dtype {tensor['dtype']}; expected one of {', '.join(CODES)}: convert it"
            )
        arrays[name] = _array_of(tensor)
        if tensor["dtype"] in _PYTHON_NAMES:
            dtypes[name] = tensor["dtype"]
    return Model(arrays, dtypes, metadata)


def write_safetensors(model: Model, file: Path) -> None:
    """Write a model; the package chooses the order of the arrays in the file.

    Raises:
        ImportError: the package safetensors is not installed.
        TypeError: an array has a dtype that cannot be stored.
        BadSafetensorsError: the package does not know a dtype, as old versions do not know C64.
        OSError: the file cannot be written.
    """
    package = _package()
    held = {name: _words_of(array, model.stored_dtype(name)) for name, array in model.arrays.items()}
    try:
        tensors = {name: _tensor(package, held[name], model, name) for name in model.arrays}
        content = package.serialize(tensors, dict(model.metadata) or None)
    except package.SafetensorError as fault:
        raise BadSafetensorsError(f"the package safetensors {package.__version__} cannot write it: {fault}") from fault
    file.write_bytes(content)


def _package() -> ModuleType:
    try:
        import safetensors
    except ImportError as fault:
        raise ImportError(_MISSING) from fault
    return safetensors


def _array_of(tensor: dict[str, Any]) -> Array:
    dtype, shape = tensor["dtype"], tuple(tensor["shape"])
    if dtype == BFLOAT16:
        words = np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << np.uint32(16)
        return words.view(np.float32).reshape(shape)
    held = IN_MEMORY[dtype]
    return np.frombuffer(tensor["data"], held.newbyteorder("<")).astype(held, copy=False).reshape(shape)


def _words_of(array: Array, dtype: str) -> Array:
    words = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return (words.view(np.uint32) >> np.uint32(16)).astype("<u2") if dtype == BFLOAT16 else words


def _tensor(package: ModuleType, words: Array, model: Model, name: str) -> Any:
    """What `serialize` takes: of versions from 0.8 on where the bytes lie, of earlier ones the bytes."""
    stored, shape = model.stored_dtype(name), model.arrays[name].shape
    dtype = _PYTHON_NAMES.get(stored, IN_MEMORY[stored].name)
    if hasattr(package, "TensorSpec"):
        return package.TensorSpec(dtype=dtype, shape=shape, data_ptr=words.ctypes.data, data_len=words.nbytes)
    return {"dtype": dtype, "shape": shape, "data": words.tobytes()}
