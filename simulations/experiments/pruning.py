"""Tables 1 and 2 of the paper at the scale of two cores: pruning of LeNet-5-Caffe, ResNet-20 and a small VGG.

    python -m simulations.experiments.pruning --out simulations/results/pruning

LeNet-5 on MNIST, the others on Fashion-MNIST; one-shot, in cycles with retraining, and trained sparse from the start.
A row that is there already is not run again; trained networks are kept in a folder of the user's.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from tqdm import tqdm

from simulations.app.datasets import data_root
from simulations.experiments.command_line import add_jobs, parser_of
from simulations.pruning.chains import Chain, accuracies
from simulations.pruning.methods import PRUNING, SPARSE_TRAINING
from simulations.pruning.networks import NETWORKS, Laboratory
from simulations.report import files, pruning

MODES: dict[str, list[str]] = {
    "one-shot": list(PRUNING),
    "iterative": list(PRUNING),
    "sparse": list(SPARSE_TRAINING),
}
_OFTEN = ("surp-induced", "surp-path", "lamp", "global")  # with three seeds where others have one


def seeds_of(network: str, method: str) -> int:
    """How many seeds a method is run with: five on LeNet-5; on the others three of what is quoted, one of the rest."""
    if network == "lenet5":
        return 5
    return 3 if method in _OFTEN else 1


def chains(networks: list[str], modes: list[str], methods: list[str] | None, most_seeds: int) -> Iterator[Chain]:
    """All chains, first seeds first."""
    for seed in range(most_seeds):
        for network in networks:
            for mode in modes:
                for method in MODES[mode]:
                    if seed < seeds_of(network, method) and (methods is None or method in methods):
                        yield Chain(network, mode, method, seed)


def measure(chain: Chain, root: Path, precision: str, held_out: int) -> pruning.Measured:
    """Run a chain on one core."""
    torch.set_num_threads(1)
    laboratory = Laboratory(NETWORKS[chain.network], root, precision, held_out)
    dense = laboratory.score(laboratory.dense(chain.seed)).accuracy
    found = {f"{sparsity:g}": round(accuracy, 5) for sparsity, accuracy in accuracies(chain, laboratory)}
    return pruning.Measured(chain.network, chain.mode, chain.method, chain.seed, round(dense, 5), found)


def main(arguments: list[str] | None = None) -> int:
    """Run the chains that are not there yet, and write the tables and plots."""
    parser = parser_of("simulations.experiments.pruning", __doc__)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), help="(all)")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES), help="(all)")
    parser.add_argument("--methods", nargs="+", choices=[*PRUNING, *SPARSE_TRAINING], help="(all)")
    parser.add_argument("--most-seeds", type=int, default=5, help="of those that the tables ask for (%(default)s)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="(%(default)s)")
    parser.add_argument("--held-out", type=int, default=0, help="training images to test on, to choose something (0)")
    parser.add_argument("--data-root", default="", help="folder of the datasets")
    add_jobs(parser)
    options = parser.parse_args(arguments)
    wanted = list(chains(options.networks, options.modes, options.methods, options.most_seeds))
    rows = pruning.load(options.out)
    there = {Chain(row.network, row.mode, row.method, row.seed) for row in rows}
    missing = [chain for chain in wanted if chain not in there]
    print(f"{len(wanted)} chains, {len(wanted) - len(missing)} of them in {options.out} already", flush=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, min(options.jobs, len(missing))), mp_context=context) as pool:
        root = data_root(options.data_root)
        running = [pool.submit(measure, chain, root, options.precision, options.held_out) for chain in missing]
        for done in tqdm(as_completed(running), total=len(running), unit="chain", disable=None):
            rows.append(done.result())
            pruning.save(rows, options.out)
            print(pruning.line(rows[-1]), flush=True)
    files.write(files.pruning_in(options.out))
    print("\n" + (options.out / "pruning.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
