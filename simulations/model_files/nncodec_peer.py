"""NNCodec, the reference software of ISO/IEC 15938-17, run in an environment of its own.

It needs NumPy 1 and a C++ compiler, and its license grants no rights to patents: a yardstick, never a dependency. `make
peers` makes the environment.
"""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import numpy as np

from simulations.model_files.ways import Way
from surp_fl.types import Arrays

_WORKER = Path(__file__).with_name("nncodec_worker.py")
_DENSITY = 4  # steps are 2^(qp / 16), so that sizes come as close as those of other ways
_QPS = range(-180, -31)
# Its own defaults, and what goes beyond them: a step chosen for each array, and rate-distortion optimised quantisation.
_DEFAULTS: dict[str, Any] = {
    "qp_density": _DENSITY, "nonweight_qp": -75 << (_DENSITY - 2),
    "use_dq": True, "param_opt": True, "row_skipping": True,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "NNCodec": {},
    "NNCodec, opt_qp": {"opt_qp": True},
    "NNCodec, lambda 0.5": {"lambda_scale": 0.5},
    "NNCodec, lambda 2": {"lambda_scale": 2.0},
}


class NNCodec:
    """One model in a process of the other environment; a context manager. Integer arrays are kept here, uncounted.

    Args:
        python: the interpreter of that environment.
        arrays: the model.
    """

    def __init__(self, python: Path, arrays: Arrays) -> None:
        self._integers = {name: array for name, array in arrays.items() if array.dtype.kind != "f"}
        self._names = list(arrays)
        self._folder = TemporaryDirectory()
        model = Path(self._folder.name) / "model.npz"
        floats: dict[str, Any] = {name: array for name, array in arrays.items() if name not in self._integers}
        np.savez(model, **floats)
        self._process = subprocess.Popen(
            [python, _WORKER, model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # ends its input, and so the worker
        self._folder.cleanup()

    def ways(self) -> list[Way]:
        """Its settings, each with all steps, by falling steps."""
        settings = [float(qp) for qp in reversed(_QPS)]
        return [Way(kind, settings, partial(self._encoded, given), self._decoded) for kind, given in VARIANTS.items()]

    def _encoded(self, given: dict[str, Any], qp: float) -> bytes:
        file = Path(self._folder.name) / "stream.nnc"
        self._ask({"encode": {**_DEFAULTS, "qp": int(qp), **given}, "file": str(file)})
        return file.read_bytes()

    def _decoded(self, message: bytes) -> Arrays:
        stream, file = Path(self._folder.name) / "stream.nnc", Path(self._folder.name) / "decoded.npz"
        stream.write_bytes(message)
        self._ask({"decode": str(stream), "file": str(file)})
        with np.load(file, allow_pickle=False) as kept:
            found = {name: kept[name] for name in kept.files} | self._integers
        return {name: found[name] for name in self._names}

    def _ask(self, request: dict[str, Any]) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline().strip() != "done":
            raise RuntimeError(f"NNCodec ended at {request}, exit code {self._process.wait()}; expected an answer")
