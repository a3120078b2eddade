"""Runs in an environment of its own that has NNCodec and knows nothing of this project; see `process.py`.

Reads requests from standard input, a JSON object a line, and answers each with a line, how many seconds it took:
{"hold": paths} reads arrays, of a model, or of some updates of a client in turn; {"encode": {settings}, "files": paths}
writes a bitstream of each, in the context of those before if the settings ask for that; {"decode": paths, "file": path}
reads such bitstreams and writes the arrays of the last.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> int:
    """Answer until the input ends."""
    held: list[dict[str, Any]] = []
    for line in sys.stdin:
        request, seconds = json.loads(line), 0.0
        with contextlib.redirect_stdout(sys.stderr):  # it prints
            if "hold" in request:
                held = [_arrays_of(path) for path in request["hold"]]
            elif "encode" in request:
                seconds = _encode(held, request["encode"], request["files"])
            else:
                seconds = _decode(request["decode"], request["file"])
        print(seconds, flush=True)
    return 0


def _encode(held: list[dict[str, Any]], settings: dict[str, Any], files: list[str]) -> float:
    """Write a file for each; the seconds of the last."""
    from nncodec import nnc  # type: ignore[import-not-found,unused-ignore]  # of the other environment

    context, seconds = _empty() if settings.get("compress_differences") else None, 0.0
    for arrays, file in zip(held, files, strict=True):
        copies = {name: array.copy() for name, array in arrays.items()}
        given = {"bitstream_path": None, "return_bitstream": True, "approx_param_base": context, **settings}
        began = time.perf_counter()
        stream = nnc.compress(copies, update_base_param=len(held) > 1, **given)
        seconds = time.perf_counter() - began
        Path(file).write_bytes(bytes(stream))
    return seconds


def _decode(files: list[str], target: str) -> float:
    """Read files in turn, and write the arrays of the last; its seconds."""
    from nncodec import nnc  # type: ignore[import-not-found,unused-ignore]

    context, seconds = _empty() if len(files) > 1 else None, 0.0
    found: dict[str, Any] = {}
    for file in files:
        stream = bytearray(Path(file).read_bytes())
        began = time.perf_counter()
        found = nnc.decompress(stream, approx_param_base=context, update_base_param=len(files) > 1)
        seconds = time.perf_counter() - began
    np.savez(target, **found)
    return seconds


def _empty() -> dict[str, Any]:
    """What it remembers of a client's updates, before the first."""
    return {"parameters": {}, "put_node_depth": {}, "device_id": 0, "parameter_id": {}}


def _arrays_of(path: str) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


if __name__ == "__main__":
    sys.exit(main())
