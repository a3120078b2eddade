"""Trained models as few bytes, without retraining: SuRP's files beside what one would use instead.

    python -m simulations.experiments.model_files --out simulations/results/model_files

Of each way the curve of test accuracy against bytes is measured, finely where half a point of accuracy is lost. What
has rows already is not run again. `--nncodec` names the Python of the environment that has NNCodec, which `make peers`
makes; without it that peer is left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from pathlib import Path

import torch

from simulations.app.datasets import data_root
from simulations.experiments.command_line import add_out, add_seeds, parser_of
from simulations.model_files.curve import tried
from simulations.model_files.models import KINDS, Trained
from simulations.model_files.nncodec_peer import VARIANTS, NNCodec
from simulations.model_files.ways import METHODS, Way, ways_for
from simulations.report import files, model_files
from simulations.report.model_files import ITSELF, LOSS, Measured


def measure(name: str, seed: int, root: Path, nncodec: Path | None, there: Collection[str]) -> Iterator[Measured]:
    """Compress a model in all ways but those that are there, and test what comes out."""
    if {ITSELF, *METHODS, *(VARIANTS if nncodec else ())} <= set(there):
        return
    trained = KINDS[name].train(root, seed)
    itself = trained.tested(trained.arrays)
    if ITSELF not in there:
        nbytes = sum(array.nbytes for array in trained.arrays.values())
        yield Measured(name, seed, ITSELF, 0, nbytes, round(itself.accuracy, 5), round(itself.loss, 4), 0, 0)
    with NNCodec(nncodec, trained.arrays) if nncodec else nullcontext() as peer:
        for way in [*ways_for(trained.arrays, KINDS[name]), *(peer.ways() if peer else [])]:
            if way.method not in there:
                yield from _curve(name, seed, trained, way, itself.accuracy - LOSS)


def _curve(name: str, seed: int, trained: Trained, way: Way, least_accuracy: float) -> Iterator[Measured]:
    found: dict[int, Measured] = {}

    def is_enough(place: int) -> bool:
        began = time.perf_counter()
        file = way.compress(way.settings[place])
        between = time.perf_counter()
        arrays = way.decompress(file)
        seconds, seconds_back = between - began, time.perf_counter() - between
        accuracy, loss = trained.tested(arrays)
        found[place] = Measured(
            name, seed, way.method, float(f"{way.settings[place]:.6g}"), len(file), round(accuracy, 5), round(loss, 4),
            round(seconds, 2), round(seconds_back, 2),
        )  # fmt: skip
        return found[place].accuracy >= least_accuracy

    for place in tried(len(way.settings), is_enough):
        yield found[place]


def main(arguments: list[str] | None = None) -> int:
    """Measure the models whose rows are not there yet, and write the tables and the plot."""
    parser = parser_of("simulations.experiments.model_files", __doc__)
    parser.add_argument("--models", nargs="+", choices=list(KINDS), default=list(KINDS), help="which models (all)")
    add_seeds(parser, 0, 1, 2)
    parser.add_argument("--nncodec", type=Path, help="Python of an environment that has NNCodec")
    parser.add_argument("--data-root", default="", help="folder of the datasets")
    add_out(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    root, rows = data_root(options.data_root), model_files.load(options.out)
    for name in options.models:
        for seed in KINDS[name].seeds:
            if seed in options.seeds:
                there = {row.method for row in rows if (row.model, row.seed) == (name, seed)}
                for row in measure(name, seed, root, options.nncodec, there):
                    rows.append(row)
                    print(f"{name} seed {seed} {row.method}: {row.bytes:,} B, {row.accuracy:.2%}", flush=True)
                model_files.save(rows, options.out)
    files.write(files.model_files_in(options.out))
    print("\n" + (options.out / "equal_accuracy.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
