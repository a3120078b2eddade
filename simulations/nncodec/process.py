"""A process that has NNCodec, and the arrays and bitstreams that go to it and come back, as files.

NNCodec needs NumPy 1 and a C++ compiler, and its license grants no rights to patents: a yardstick, never a dependency.
`make peers` makes the environment.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import numpy as np

from surp_fl.types import Arrays

_WORKER = Path(__file__).with_name("worker.py")
# Beside the defaults of its `compress`: a step for 2^(1/16), trellis-coded quantisation, tuned initial contexts.
DEFAULTS: Mapping[str, Any] = {"qp_density": 4, "use_dq": True, "param_opt": True, "row_skipping": True}


class Process:
    """A process of the other environment; a context manager.

    Args:
        python: the interpreter of that environment.

    Attributes:
        seconds: that the last message took to encode or to decode, without what it takes to get there.
    """

    def __init__(self, python: Path) -> None:
        self.seconds = 0.0
        self._held = 0
        self._folder = TemporaryDirectory()
        self._process = subprocess.Popen(
            [python, _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._process.communicate()  # ends its input, and so the worker
        self._folder.cleanup()

    def hold(self, *each: Arrays) -> None:
        """Take what is to be encoded: a model, or updates of a client in turn; float32, of a dimension or more."""
        files = [self._file(f"held{place}.npz") for place in range(len(each))]
        for file, arrays in zip(files, each, strict=True):
            named: dict[str, Any] = arrays
            np.savez(file, **named)
        self._held = len(each)
        self._ask({"hold": list(map(str, files))})

    def encode(self, settings: Mapping[str, Any]) -> list[bytes]:
        """Make the bitstreams of what it holds, with settings of its `compress` beside `DEFAULTS`."""
        files = [self._file(f"encoded{place}.nnc") for place in range(self._held)]
        self._ask({"encode": {**DEFAULTS, **settings}, "files": list(map(str, files))})
        return [file.read_bytes() for file in files]

    def decode(self, *messages: bytes) -> Arrays:
        """The arrays of the last bitstream, in the context of those before; an update may leave some out."""
        files, decoded = [self._file(f"coded{place}.nnc") for place in range(len(messages))], self._file("decoded.npz")
        for file, message in zip(files, messages, strict=True):
            file.write_bytes(message)
        self._ask({"decode": list(map(str, files)), "file": str(decoded)})
        with np.load(decoded, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _ask(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"NNCodec ended at {request}, exit code {self._process.wait()}; expected an answer")
        self.seconds = float(answer)
