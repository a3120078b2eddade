"""What stands for NNCodec where it is not installed: multiples of a step, in a package that its process can import."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_STUB = """
import io, numpy as np
def compress(
    arrays, bitstream_path, return_bitstream, qp, qp_density, approx_param_base, compress_differences=False, **options
):
    print("as the real one prints")
    step, held = 2.0 ** (qp / 2**qp_density), io.BytesIO()
    multiples = {name: np.rint(each / step).astype(np.int64) for name, each in arrays.items()}
    if compress_differences:
        multiples = {name: each for name, each in multiples.items() if each.any()}
        approx_param_base["parameters"].update(multiples)
    np.savez_compressed(held, step=step, **multiples)
    return bytearray(held.getvalue())
def decompress(stream, approx_param_base, update_base_param):
    with np.load(io.BytesIO(bytes(stream))) as held:
        return {name: (held[name] * held["step"]).astype(np.float32) for name in held.files if name != "step"}
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str = _STUB) -> None:
    """Let processes that are started from now on find the stub."""
    package = folder / "stub" / "nncodec"
    package.mkdir(parents=True)
    (package / "nnc.py").write_text(code)
    (package / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "stub"), os.environ.get("PYTHONPATH", "")]))
