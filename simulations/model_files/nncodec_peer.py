"""Ways of NNCodec to compress a trained model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simulations.model_files.ways import Way
from simulations.nncodec.process import Process
from surp_fl.types import Arrays

_QPS = range(-180, -31)  # steps are 2^(qp / 16), so that sizes come as close as those of other ways
_NONWEIGHT_QP = -300  # of arrays of one dimension: its default
# Its own defaults, and what goes beyond them: a step chosen for each array, and rate-distortion optimised quantisation.
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
        self._process = Process(python)
        self._process.hold({name: array for name, array in arrays.items() if name not in self._integers})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close()

    def ways(self) -> list[Way]:
        """Its settings, each with all steps, by falling steps."""
        settings = [float(qp) for qp in reversed(_QPS)]
        return [Way(kind, settings, partial(self._encoded, given), self._decoded) for kind, given in VARIANTS.items()]

    def _encoded(self, given: dict[str, Any], qp: float) -> bytes:
        (message,) = self._process.encode({"qp": int(qp), "nonweight_qp": _NONWEIGHT_QP, **given})
        return message

    def _decoded(self, message: bytes) -> Arrays:
        found = self._process.decode(message) | self._integers
        return {name: found[name] for name in self._names}
