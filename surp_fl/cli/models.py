"""Reads and writes models as files: .safetensors, or .npz. Knows files. Does not know how models are compressed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from surp_fl.cli.failures import BAD_INPUT, CommandError, read
from surp_fl.cli.stored import BadFileError, arrays_in
from surp_fl.model_file import Model
from surp_fl.model_file.safetensors_files import read_safetensors, write_safetensors


def _read_npz(file: Path) -> Model:
    return Model(arrays_in(file))


def _read_safetensors(file: Path) -> Model:
    try:
        return read_safetensors(file)
    except FileNotFoundError as fault:
        raise BadFileError(fault) from fault


def _write_npz(model: Model, file: Path) -> None:
    """Write the arrays; of dtypes that NumPy lacks as they are in memory, and without metadata."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in model.arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


_READERS: dict[str, Callable[[Path], Model]] = {".safetensors": _read_safetensors, ".npz": _read_npz}
_WRITERS: dict[str, Callable[[Model, Path], None]] = {".safetensors": write_safetensors, ".npz": _write_npz}
FORMATS = tuple(_READERS)


def format_of(file: Path) -> str:
    """The suffix of a model's file.

    Raises:
        CommandError: it is none of those that are known.
    """
    if file.suffix not in FORMATS:
        fault = BadFileError(
            f"a name with {file.suffix or 'no suffix'}; expected one of {', '.join(FORMATS)}: rename it"
        )
        raise CommandError(BAD_INPUT, file, fault)
    return file.suffix


def read_model(file: Path) -> Model:
    """Read a model.

    Raises:
        CommandError: the file is not there, or is not what it should be.
    """
    try:
        return read(_READERS[format_of(file)], file)
    except ImportError as fault:
        raise CommandError(BAD_INPUT, file, fault) from fault


def write_model(model: Model, file: Path) -> None:
    """Write a model.

    Raises:
        CommandError: the file cannot be written, or its format has no such arrays.
    """
    try:
        _WRITERS[format_of(file)](model, file)
    except (ImportError, OSError, TypeError, ValueError) as fault:
        raise CommandError(BAD_INPUT, file, fault) from fault


def write_bytes(data: bytes, file: Path) -> None:
    """Write a file.

    Raises:
        CommandError: it cannot be written.
    """
    try:
        file.write_bytes(data)
    except OSError as fault:
        raise CommandError(BAD_INPUT, file, fault) from fault
