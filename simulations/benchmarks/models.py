"""Model files beside simple peers: accuracy on the test set against bytes, without retraining; one thread.

    python -m simulations.benchmarks.models

The models are trained as one learner trains them, for 3 or 4 epochs, on all but 5,000 training examples: defaults of
`surp_fl.model_file` were chosen on those. The transformer is the one that `workloads/lora.py` starts from, trained on
other plays. The peers: uniform quantisation of each array with lossless coding (`uniform_quantiser.py`, `lossless/`),
and global magnitude pruning with a bit for each weight that says whether it is kept, float16 values, and deflate.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from simulations.app.datasets import data_root
from simulations.app.training import Score, arrays_of, initial_arrays, load, model_with, score, train
from simulations.app.workloads import WORKLOADS
from simulations.app.workloads.lora import pretrained
from simulations.app.workloads.workload import Hyperparameters
from simulations.experiments.command_line import add_out, add_settings, parser_of
from simulations.report.benchmarks import models_table, write
from surp_fl import lossless
from surp_fl.model_file import compress, cut, decompress
from surp_fl.types import Arrays
from surp_fl.uniform_quantiser import dequantised, quantised

Row = dict[str, Any]
_HELD_OUT = 5000  # training examples
_MOMENTUM, _WEIGHT_DECAY, _BATCH = 0.9, 5e-4, 64
_PASSAGES = 600  # of the transformer's test


class Recipe(NamedTuple):
    """How a model is trained, and at which sizes it is compressed.

    Attributes:
        dataset: of its workload.
        rates: the learning rate of each epoch; none for a model that is trained already.
        ratios: how many times smaller files are.
        bits: of the uniform quantiser.
        kept: shares of the weights that pruning keeps.
    """

    dataset: str
    rates: tuple[float, ...]
    ratios: tuple[float, ...]
    bits: tuple[float, ...]
    kept: tuple[float, ...]


RECIPES = {
    "lenet5": Recipe("mnist", (0.02, 0.02, 0.01, 0.002), (200, 100, 50, 30, 20, 10), (2, 3, 4), (0.02, 0.05, 0.1, 0.2)),
    "bn-cnn": Recipe("fashion", (0.05, 0.02, 0.005), (200, 100, 50, 30, 20, 10), (2, 3, 4), (0.02, 0.05, 0.1, 0.2)),
    "resnet20": Recipe("fashion", (0.05, 0.05, 0.02, 0.005), (30, 20, 15, 10, 8, 5), (2, 3, 4), (0.2, 0.3, 0.5, 0.7)),
    "transformer": Recipe("shakespeare", (), (20, 15, 12, 10, 8, 6), (2, 3, 4, 5), (0.2, 0.3, 0.5, 0.7)),
}


def trained(name: str, root: Path, seed: int) -> Arrays:
    """Train a model on all but the examples that are held out."""
    workload, recipe = WORKLOADS[name], RECIPES[name]
    if not recipe.rates:
        return arrays_of(pretrained(root))
    examples = load(name, recipe.dataset, root, _HELD_OUT).train
    model = model_with(workload, initial_arrays(workload, seed, root), root)
    rng = np.random.default_rng(seed)
    for rate in recipe.rates:
        train(
            workload, model, examples, np.arange(len(examples.groups)),
            Hyperparameters(rate, _MOMENTUM, _WEIGHT_DECAY), steps=0, batch_size=_BATCH, max_grad_norm=0.0,
            precision="float32", rng=rng,
        )  # fmt: skip
    return arrays_of(model)


def tested(name: str, arrays: Arrays, root: Path) -> Score:
    """On the test set; the transformer on its first passages."""
    test = load(name, RECIPES[name].dataset, root).test
    members = np.arange(len(test.groups))
    return score(
        model_with(WORKLOADS[name], arrays, root), test, members=members[: None if RECIPES[name].rates else _PASSAGES]
    )


class Way(NamedTuple):
    """A way to compress: what it is called, how it makes bytes, and how it makes the model again."""

    method: str
    compress: Callable[[], bytes]
    decompress: Callable[[bytes], Arrays]


def ways_for(arrays: Arrays, recipe: Recipe) -> Iterator[Way]:
    """All ways to compress a model, ours first; of the last file also what a cut leaves."""
    nbytes = sum(array.nbytes for array in arrays.values())
    for ratio in recipe.ratios:
        yield Way("model file", lambda ratio=ratio: compress(arrays, ratio=ratio), decompress)  # type: ignore[misc]
    for kind, progressive in (("cut", False), ("progressive, cut", True)):
        whole = compress(arrays, ratio=recipe.ratios[-1], progressive=progressive)
        for ratio in recipe.ratios[1:-1] if not progressive else recipe.ratios[1:]:
            size = int(nbytes / ratio)
            yield Way(kind, lambda whole=whole, size=size: cut(whole, size), decompress)  # type: ignore[misc]
    for bits in recipe.bits:
        yield Way(f"uniform, {bits:g} bits", *_uniform(arrays, bits))
    for kept in recipe.kept:
        yield Way(f"pruned to {kept:.0%}", *_pruned(arrays, kept))


def _uniform(arrays: Arrays, bits: float) -> tuple[Callable[[], bytes], Callable[[bytes], Arrays]]:
    """Steps for about so many bits a weight; other arrays without loss."""
    specs = [(name, array.shape, array.dtype) for name, array in arrays.items()]
    names = [name for name, array in arrays.items() if array.ndim > 1 and array.dtype.kind == "f"]
    multiples, exponents = quantised(arrays, bits, names)
    held = [(name, array.shape, array.dtype) for name, array in multiples.items()]
    return (
        lambda: lossless.compress(multiples),
        lambda message: dequantised(lossless.decompress(message, held), exponents, specs),
    )


def _pruned(arrays: Arrays, kept: float) -> tuple[Callable[[], bytes], Callable[[bytes], Arrays]]:
    """The largest weights of all arrays together, as float16; which they are, a bit each; other arrays without loss."""
    weights = {name: array for name, array in arrays.items() if array.ndim > 1}
    others = {name: array for name, array in arrays.items() if name not in weights}
    everything = np.concatenate([np.abs(array).ravel() for array in weights.values()])
    threshold = np.quantile(everything, 1 - kept)
    pruned = {
        name: np.where(np.abs(array) >= threshold, array, 0).astype(np.float16) for name, array in weights.items()
    }

    def packed() -> bytes:
        values = b"".join(array[array != 0].tobytes() for array in pruned.values())
        return zlib.compress(b"".join(np.packbits(array != 0).tobytes() for array in pruned.values()) + values, 9) + (
            lossless.compress(others) if others else b""
        )

    found = {name: pruned[name].astype(array.dtype) if name in pruned else array for name, array in arrays.items()}
    return packed, lambda _: found


def measure(name: str, arrays: Arrays, root: Path) -> list[Row]:
    """Compress a model in all ways, and test what comes out."""
    nbytes = sum(array.nbytes for array in arrays.values())
    common = {"model": name, "title": WORKLOADS[name].title, "dataset": RECIPES[name].dataset, "nbytes": nbytes}
    rows: list[Row] = [common | {"method": "itself", "bytes": nbytes} | tested(name, arrays, root)._asdict()]
    for way in ways_for(arrays, RECIPES[name]):
        began = time.perf_counter()
        file = way.compress()
        between = time.perf_counter()
        found = way.decompress(file)
        seconds = {"seconds": round(between - began, 3), "seconds_back": round(time.perf_counter() - between, 3)}
        rows.append(common | {"method": way.method, "bytes": len(file)} | tested(name, found, root)._asdict() | seconds)
        print(rows[-1], flush=True)
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Measure all models; write bench_models.json and bench_models.md."""
    parser = parser_of("simulations.benchmarks.models", __doc__)
    parser.add_argument("--models", nargs="+", choices=RECIPES, default=list(RECIPES), help="which models (all)")
    add_settings(parser, ("data_root", "seed"))
    add_out(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    root = data_root(options.data_root)
    rows: list[Row] = []
    for name in options.models:
        rows += measure(name, trained(name, root, options.seed), root)
    write(rows, models_table, options.out / "bench_models.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
