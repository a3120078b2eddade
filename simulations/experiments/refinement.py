"""Algorithm 2 on trained networks: Table 3, Figures 3 and 5 to 7, and Figure 2 with appendices C and I of the paper.

    python -m simulations.experiments.refinement --out simulations/results/refinement

Table 3: what β does to accuracy, iterations and refreshes at 95 % sparsity. Figures 3 and 5 to 7: sparsity, l1
distortion and accuracy along the iterations, in three cycles with retraining between. Figure 2: Laplacian or Gaussian,
for weights and for updates of federated training, by layer and whole.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from simulations.app.datasets import data_root
from simulations.app.settings import Settings
from simulations.experiments.command_line import add_out, parser_of
from simulations.experiments.messages import record
from simulations.pruning.densities import fits_of
from simulations.pruning.networks import NETWORKS, Laboratory, as_tensors
from simulations.pruning.walk import Walk, walk_of
from simulations.report import files, refinement
from simulations.report.refinement import Along, Beta, Densities
from surp_fl.codecs.surp_paper.scales import induced_l1
from surp_fl.codecs.surp_paper.schedule import Limits
from surp_fl.types import Arrays

SPARSITY = 0.95  # of Table 3
CYCLES = (0.8, 0.95, 0.99)  # sparsities of Figures 6 and 7
POINTS = 24  # along each cycle
UPDATES_AT = 10  # round of federated training
BETAS: dict[str, Callable[[int], float]] = {
    "√ln n": lambda n: math.sqrt(math.log(n)),
    "½ ln n": lambda n: math.log(n) / 2,
    "ln n": math.log,
    "2 ln n": lambda n: 2 * math.log(n),
    "(ln n)²": lambda n: math.log(n) ** 2,
}


def betas(name: str, laboratory: Laboratory, dense: Arrays, seed: int) -> Iterator[Beta]:
    """Table 3 for one network: one run of the algorithm for each β, without retraining."""
    n = sum(array.size for array in dense.values() if array.ndim >= 2)
    limits = Limits(distinct=round((1 - SPARSITY) * n))
    for text, beta in BETAS.items():
        walk = walk_of(dense, induced_l1, limits, np.random.default_rng(seed), beta(n))
        yield Beta(
            name, text, seed, round(beta(n), 3), SPARSITY, walk.steps, walk.refreshes,
            round(walk.distortion(walk.steps), 5),
            laboratory.score(walk.reconstruction(walk.steps)).accuracy,
            laboratory.score(walk.pruned(walk.steps)).accuracy,
        )  # fmt: skip


def cycles(name: str, laboratory: Laboratory, dense: Arrays, seed: int) -> Iterator[Along]:
    """Figures 3 and 5 to 7 for one network: what each cycle's reconstruction is worth as it grows."""
    arrays, rng = dense, np.random.default_rng(seed)
    for cycle, sparsity in enumerate(CYCLES):
        n = sum(array.size for array in arrays.values() if array.ndim >= 2)
        left = sum(int(np.count_nonzero(array)) for array in arrays.values() if array.ndim >= 2)
        whole = walk_of(arrays, induced_l1, Limits(distinct=left), rng)  # until every weight has been named
        yield Along(name, cycle + 1, sparsity, tuple(_points(whole, laboratory)))
        walk = walk_of(arrays, induced_l1, Limits(distinct=round((1 - sparsity) * n)), rng)
        masks = as_tensors(walk.masks(walk.steps))
        arrays = laboratory.trained(walk.pruned(walk.steps), laboratory.network.retraining, rng, masks)


def _points(walk: Walk, laboratory: Laboratory) -> Iterator[tuple[int, float, float, float]]:
    """Steps, sparsity, distortion, accuracy."""
    for steps in np.unique(np.geomspace(1, walk.steps, POINTS).astype(int)).tolist():
        accuracy = laboratory.score(walk.reconstruction(steps)).accuracy
        yield steps, round(walk.sparsity(steps), 5), round(walk.distortion(steps), 5), round(accuracy, 4)


def densities(name: str, dense: Arrays, root: Path) -> Iterator[Densities]:
    """Figure 2 and appendices C and I for one network: its weights, and an update of federated training."""
    weights = {each: array for each, array in dense.items() if array.ndim >= 2}
    yield Densities(name, "weights", tuple(fits_of(weights, {each: induced_l1(w) for each, w in weights.items()})))
    network = NETWORKS[name]
    settings = Settings(workload=network.workload, dataset=network.dataset, data_root=str(root), scheme="dense")
    found = record(replace(settings, rounds=UPDATES_AT, test_every=UPDATES_AT))[-1]
    layout = found.layout
    parts = np.split(found.vector, layout.ends[:-1])
    changes = {
        spec.name: part.reshape(spec.shape)
        for spec, part in zip(layout.floats, parts, strict=True)
        if len(spec.shape) >= 2
    }
    yield Densities(name, "updates", tuple(fits_of(changes, {each: induced_l1(w) for each, w in changes.items()})))


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the tables and plots."""
    parser = parser_of("simulations.experiments.refinement", __doc__)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), help="(all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of Table 3 (0 1 2)")
    parser.add_argument("--data-root", default="", help="folder of the datasets")
    add_out(parser)
    options = parser.parse_args(arguments)
    root = data_root(options.data_root)
    kept = refinement.load(options.out)
    for name in options.networks:
        laboratory = Laboratory(NETWORKS[name], root, "bfloat16")
        if not any(row.network == name for row in kept.betas):
            found = [each for seed in options.seeds for each in betas(name, laboratory, laboratory.dense(seed), seed)]
            kept = replace(kept, betas=[*kept.betas, *found])
            refinement.save(kept, options.out)
            print(f"{name}: β done", flush=True)
        dense = laboratory.dense(options.seeds[0])
        if not any(row.network == name for row in kept.densities):
            kept = replace(kept, densities=[*kept.densities, *densities(name, dense, root)])
            refinement.save(kept, options.out)
            print(f"{name}: densities done", flush=True)
        if not any(row.network == name for row in kept.cycles):
            kept = replace(kept, cycles=[*kept.cycles, *cycles(name, laboratory, dense, options.seeds[0])])
            refinement.save(kept, options.out)
            print(f"{name}: cycles done", flush=True)
    files.write(files.refinement_in(options.out))
    print("\n" + (options.out / "refinement.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
