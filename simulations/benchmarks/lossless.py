"""Lossless compression of whole models beside general-purpose compressors: sizes and speed, one thread, in turn.

    python -m simulations.benchmarks.lossless

The peers are given the bytes of all arrays end to end. Those of the package zstandard (in the extra `simulation`) are
said to be missing where it is not installed. The models are trained for one client's steps each, so that their weights
are no longer those of an initialisation; LeNet-5's trained weights are also rounded and pruned.
"""

from __future__ import annotations

import lzma
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from simulations.app.datasets import data_root
from simulations.app.settings import Settings
from simulations.app.training import arrays_of, initial_arrays, load, model_with, train
from simulations.app.workloads import WORKLOADS
from simulations.experiments.command_line import add_out, add_settings, parser_of
from simulations.report.benchmarks import lossless_table, write
from surp_fl import lossless
from surp_fl.types import Arrays

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]

Row = dict[str, Any]
_SLOW = 1.0  # seconds, from which a call is timed once
_KEPT = 0.1  # share of the weights that pruning keeps
_LARGE = 1 << 22  # weights of the large array


class Method(NamedTuple):
    """A compressor.

    Attributes:
        compress: of a model, and of its bytes end to end.
        decompress: of the message, given a model of the same shapes.
    """

    compress: Callable[[Arrays, bytes], bytes]
    decompress: Callable[[bytes, Arrays], object]


def methods() -> dict[str, Method | None]:
    """All compressors, ours first; None where the package is missing."""
    found: dict[str, Method | None] = {"surp_fl.lossless": Method(lambda arrays, _: lossless.compress(arrays), _ours)}
    for level in (1, 6, 9):
        found[f"zlib {level}"] = Method(
            lambda _, packed, level=level: zlib.compress(packed, level),  # type: ignore[misc]
            lambda message, _: zlib.decompress(message),
        )
    found["lzma"] = Method(lambda _, packed: lzma.compress(packed), lambda message, _: lzma.decompress(message))
    for level in (3, 19):
        found[f"zstd {level}"] = _zstd(level) if zstandard else None
    return found


def _zstd(level: int) -> Method:
    return Method(
        lambda _, packed: zstandard.ZstdCompressor(level).compress(packed),
        lambda message, _: zstandard.ZstdDecompressor().decompress(message),
    )


def _ours(message: bytes, arrays: Arrays) -> Arrays:
    return lossless.decompress(message, [(name, array.shape, array.dtype) for name, array in arrays.items()])


def models(root: Path, seed: int) -> dict[str, Arrays]:
    """The models that are compressed, by their names in the table."""
    initial = initial_arrays(WORKLOADS["lenet5"], seed, root)
    lenet, resnet, transformer = (_trained(name, root, seed) for name in ("lenet5", "resnet20", "transformer"))
    normal = np.random.default_rng(seed).standard_normal(_LARGE, np.float32) * np.float32(0.02)
    return {
        "LeNet-5, initial": initial,
        "LeNet-5, trained": lenet,
        "ResNet-20, trained": resnet,
        "transformer, trained": transformer,
        "LeNet-5, float16": {name: array.astype(np.float16) for name, array in lenet.items()},
        "LeNet-5, bfloat16 in float32": {
            name: torch.from_numpy(array).bfloat16().float().numpy() for name, array in lenet.items()
        },
        "LeNet-5, 90 % pruned": {name: _pruned(array) for name, array in lenet.items()},
        "normal weights, one array": {"weight": normal},
    }


def _trained(name: str, root: Path, seed: int) -> Arrays:
    """What one client would train from the initial model, with examples of the whole dataset; three rounds' steps."""
    workload = WORKLOADS[name]
    settings = Settings(**{**workload.defaults, "workload": name})
    examples = load(name, "auto", root).train
    model = model_with(workload, initial_arrays(workload, seed, root), root)
    train(
        workload,
        model,
        examples,
        np.arange(len(examples.groups)),
        settings.hyperparameters_in(1),
        steps=3 * settings.local_steps,
        batch_size=settings.batch_size,
        max_grad_norm=settings.max_grad_norm,
        precision=settings.precision,
        rng=np.random.default_rng(seed),
    )
    return arrays_of(model)


def _pruned(array: NDArray[Any]) -> NDArray[Any]:
    """The largest weights of a matrix or a convolution, zeros in place of the others; biases stay."""
    if array.ndim < 2:
        return array
    return np.where(np.abs(array) < np.quantile(np.abs(array), 1 - _KEPT), np.zeros_like(array), array)


def measure(name: str, arrays: Arrays, repeats: int) -> list[Row]:
    """Time all compressors on a model, in turn; what takes a second or more is timed once."""
    packed = b"".join(array.tobytes() for array in arrays.values())
    rows: dict[str, Row] = {}
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(repeats):
        for method, calls in methods().items():
            if method not in rows:
                rows[method] = {"model": name, "nbytes": len(packed), "method": method, "bytes": None}
            if calls is None or any(max(taken.get((method, way), [0])) > _SLOW for way in ("compress", "decompress")):
                continue
            began = time.perf_counter()
            message = calls.compress(arrays, packed)
            between = time.perf_counter()
            found = calls.decompress(message, arrays)
            ended = time.perf_counter()
            taken.setdefault((method, "compress"), []).append(between - began)
            taken.setdefault((method, "decompress"), []).append(ended - between)
            rows[method]["bytes"] = len(message)
            if isinstance(found, dict):
                found = b"".join(array.tobytes() for array in found.values())
            assert found == packed
    for (method, way), seconds in taken.items():
        rows[method][f"{way}_mb_s"] = round(len(packed) / median(seconds) / 1e6, 1)
        rows[method]["repeats"] = len(seconds)
    return list(rows.values())


def main(arguments: list[str] | None = None) -> int:
    """Measure all models; write bench_lossless.json and bench_lossless.md."""
    parser = parser_of("simulations.benchmarks.lossless", __doc__)
    parser.add_argument(
        "--repeats", type=int, default=5, help="runs of each that takes less than a second (%(default)s)"
    )
    add_settings(parser, ("data_root", "seed"))
    add_out(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name, arrays in models(data_root(options.data_root), options.seed).items():
        print(f"compressing {name} ...", flush=True)
        rows += measure(name, arrays, options.repeats)
    write(rows, lossless_table, options.out / "bench_lossless.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
