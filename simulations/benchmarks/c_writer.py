"""The writer in C beside the library's encoder, on recorded updates: the share of the error that it takes away as well.

    python -m simulations.benchmarks.c_writer --out simulations/results/c_writer

Each update is coded within a few budgets, against nothing and against the model that the client was sent, by SuRP and
by `surp_fl/c/`, which the machine's C compiler builds. The library decodes both messages.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files as files_of
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from simulations.report.c_writer import Row
from surp_fl import Layout, SuRP
from surp_fl.types import Vector

BUDGETS = (60, 218, 700, 2000, 6000, 15_000, 40_000, 91_000)  # bytes
_NO_CONTEXT, _OF_MODEL = "none", "model"
_FLOATS = ctypes.POINTER(ctypes.c_float)


class _Array(ctypes.Structure):
    _fields_ = (("rows", ctypes.c_uint32), ("columns", ctypes.c_uint32))


class _Model(ctypes.Structure):
    _fields_ = (
        ("arrays", ctypes.POINTER(_Array)),
        ("array_count", ctypes.c_size_t),
        ("fingerprint", ctypes.c_uint32),
        ("model", _FLOATS),
        ("before", _FLOATS),
    )


def built(folder: Path) -> ctypes.CDLL:
    """Build the library in C.

    Raises:
        RuntimeError: there is no C compiler, or it fails.
    """
    compiler, program = shutil.which("cc"), folder / "libsurp.so"
    if compiler is None:
        raise RuntimeError("no C compiler was found, expected `cc`: install one")
    sources = sorted(str(each) for each in files_of("surp_fl").joinpath("c").iterdir() if each.name.endswith(".c"))
    flags = ("-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC")
    done = subprocess.run([compiler, *flags, "-o", str(program), *sources, "-lm"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{compiler} fails:\n{done.stderr}")
    library = ctypes.CDLL(str(program))
    library.surp_workspace.restype = ctypes.c_size_t
    return library


def written(library: ctypes.CDLL, vector: Vector, layout: Layout, budget: int, model: Vector | None) -> bytes:
    """Write a message in C.

    Args:
        vector: float32, shape (n,).
        layout: of the model.
        budget: bytes of the message at most.
        model: that the client was sent, shape (n,), or None.

    Raises:
        RuntimeError: the writer refuses.
    """
    shapes = [each.shape for each in layout.floats]
    arrays = [
        _Array(shape[0], math.prod(shape[1:])) if len(shape) > 1 else _Array(1, math.prod(shape)) for shape in shapes
    ]
    sent = None if model is None else _pointer(model)
    given = _Model((_Array * len(arrays))(*arrays), len(arrays), layout.fingerprint, sent, None)
    workspace = ctypes.create_string_buffer(library.surp_workspace(ctypes.byref(given)))
    message, length, told = ctypes.create_string_buffer(budget), ctypes.c_size_t(), np.empty_like(vector)
    status = library.surp_encode(
        _pointer(vector), ctypes.c_size_t(budget), ctypes.byref(given), message, ctypes.byref(length), _pointer(told),
        workspace,
    )  # fmt: skip
    if status:
        raise RuntimeError(f"the writer in C answers with status {status}")
    return message.raw[: length.value]


def _pointer(vector: Vector) -> ctypes._Pointer[ctypes.c_float]:
    return np.ascontiguousarray(vector, np.float32).ctypes.data_as(_FLOATS)


def measured(library: ctypes.CDLL, workload: str, source: str, root: str) -> Iterator[Row]:
    """A recorded update in both contexts within all budgets."""
    from simulations.experiments.messages import error_of
    from simulations.experiments.recorded_updates import recorded
    from simulations.experiments.update_rates import sizes_for

    update = recorded(workload, source, root).update
    budgets = sizes_for(update.layout.size, BUDGETS)
    for (context, model), budget in product(((_NO_CONTEXT, None), (_OF_MODEL, update.model)), budgets):
        codec, began = SuRP(budget).codec, time.perf_counter()
        rng = np.random.default_rng(0)
        best = codec.encode(update.vector, update.layout, rng=rng, reference=model, delta=update.delta)
        between = time.perf_counter()
        message = written(library, update.vector, update.layout, budget, model)
        seconds = between - began, time.perf_counter() - between
        most, taken = (1 - error_of(update, each, codec, model) for each in (best, message))
        yield Row(workload, source, context, budget, len(message), taken / most, *reversed(seconds))


def main(arguments: list[str] | None = None) -> int:
    """Measure all updates; write c_writer.json and its table."""
    from simulations.experiments.command_line import add_out, parser_of
    from simulations.experiments.recorded_updates import RECORDED, SOURCES
    from simulations.report import c_writer, files

    parser = parser_of("simulations.benchmarks.c_writer", __doc__)
    parser.add_argument("--workloads", nargs="+", choices=RECORDED, default=RECORDED, help="whose updates (all)")
    parser.add_argument("--data-root", default="", help="folder of the datasets")
    add_out(parser)
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        library = built(Path(folder))
        for workload, source in product(options.workloads, SOURCES):
            rows += measured(library, workload, source, options.data_root)
            print(f"measured {workload}, {source}", flush=True)
    c_writer.save(rows, options.out)
    files.write(files.c_writer_in(options.out))
    print("\n" + (options.out / "c_writer.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
