"""Peers on the protocol's first part, all clients and IID images, tuned as all others are; in float32.

    python -m simulations.experiments.peers --out simulations/results/peers

Each scheme is tuned on held-out training images, then run with three seeds. Goes on where it stopped. The rows of the
protocol (`experiments.reproduce`) are in bfloat16, which machines without it run far more slowly.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from simulations.engines.in_process import complete
from simulations.experiments import protocol, tune
from simulations.experiments.command_line import add_jobs, add_seeds, add_settings, parsed, parser_of, settings_of
from simulations.experiments.protocol import GRID, PARTS, trial
from simulations.report import files

SCHEMES = ("power-sgd:rank=1", "signsgd", "eden:ratio=32")  # messages of 6, 54 and 54 kB
TUNING_ROUNDS = 50


def main(arguments: list[str] | None = None) -> int:
    """Tune where it is not done yet, run all seeds, and write tables and plots."""
    parser = parser_of("simulations.experiments.peers", __doc__)
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES), help="to run (all)")
    add_seeds(parser, 0, 1, 2)
    add_settings(parser, ("rounds", "clients", "local_steps", "dataset", "data_root"), rounds=100)
    add_jobs(parser)
    options = parsed(parser, arguments)
    base = replace(settings_of(options), precision="float32", **PARTS["iid"])
    tuned = tune.tuned(
        options.schemes,
        replace(base, rounds=min(TUNING_ROUNDS, options.rounds), held_out=protocol.HELD_OUT),
        [0],
        options.out / "tuning",
        options.jobs,
        grid=GRID,
        full_length=options.rounds,
    )
    runs = [
        trial(replace(base, scheme=scheme, seed=seed), tuned[scheme])
        for scheme in options.schemes
        for seed in options.seeds
    ]
    complete(runs, options.out, options.jobs)
    files.write(files.comparison_without_marks(options.out))
    print(f"\n{(options.out / 'summary.md').read_text()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
