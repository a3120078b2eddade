"""The paper's theory by running its algorithms: rates and slopes of i.i.d. sources, refreshes, Theorem 1 on networks.

    python -m simulations.experiments.theory --out simulations/results/theory

Sources have λ = 1 and up to 10^7 coordinates; networks are random ones.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np

from simulations.experiments.command_line import add_out, parser_of
from simulations.experiments.theory_networks import measure
from simulations.experiments.theory_refreshes import first_step
from simulations.experiments.theory_sources import SOURCES, curve, floor, steps_for
from simulations.report import files
from simulations.report.theory import Curve, Floor, Measured, Network, Refreshes, save

SEEDS = {10**3: 64, 10**4: 32, 10**5: 8, 10**6: 2, 10**7: 1}  # by n
NATS = 3.0  # a symbol, where a curve ends
FLOORS, LONG = (10**3, 10**4, 10**5), 30.0  # n, and nats a symbol, of sources that are refined for long
BETAS = (1.0, 2.0, 3.0, 5.0)  # and ln n
TRIALS = {10**3: 200_000, 10**4: 20_000}  # by n
DEPTHS, WIDTHS, SPARSITIES, NETWORKS = (1, 2, 4, 8), (32, 128), (0.5, 0.9, 0.99), 3


def curves(seeds: dict[int, int], nats: float) -> list[Curve]:
    """Both algorithms at all sizes, each refined for so many nats a symbol."""
    found = []
    for algorithm, source in SOURCES.items():
        for n, count in seeds.items():
            began = time.perf_counter()
            steps = steps_for(algorithm, n, nats)
            found.append(curve([source(n, steps, np.random.default_rng([n, seed])) for seed in range(count)]))
            print(f"algorithm {algorithm}, n = {n:,}: {time.perf_counter() - began:.1f} s", flush=True)
    return found


def floors(sizes: tuple[int, ...], nats: float) -> list[Floor]:
    """Both algorithms, refined for so many nats a symbol."""
    return [floor(algorithm, n, nats, np.random.default_rng(n)) for algorithm in SOURCES for n in sizes]


def first_steps(trials: dict[int, int]) -> list[Refreshes]:
    """Both algorithms' first step at several β."""
    return [
        row
        for algorithm in SOURCES
        for n, count in trials.items()
        for row in first_step(algorithm, n, (*BETAS, math.log(n)), count, np.random.default_rng([algorithm, n]))
    ]


def networks(depths: tuple[int, ...], widths: tuple[int, ...], seeds: int) -> list[Network]:
    """Networks of all shapes at all sparsities, pruned by both algorithms."""
    return [
        measure(algorithm, depth, width, sparsity, seeds)
        for algorithm in SOURCES
        for depth in depths
        for width in widths
        for sparsity in SPARSITIES
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run all of it; write theory.json, table.md, rates.png and bounds.png."""
    parser = parser_of("simulations.experiments.theory", __doc__)
    parser.add_argument("--most", type=int, default=10**7, help="coordinates of the largest source (%(default)s)")
    add_out(parser)
    options = parser.parse_args(arguments)
    sizes = {n: count for n, count in SEEDS.items() if n <= options.most}
    trials = {n: count for n, count in TRIALS.items() if n <= options.most}
    long = floors(tuple(n for n in FLOORS if n <= options.most), LONG)
    measured: list[Measured] = [*curves(sizes, NATS), *long, *first_steps(trials), *networks(DEPTHS, WIDTHS, NETWORKS)]
    save(measured, options.out)
    files.write(files.theory_in(options.out))
    print("\n" + (options.out / "table.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
