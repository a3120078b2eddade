"""The variance of unbiased schemes at equal bytes, on updates recorded from federated training without compression.

    python -m simulations.experiments.variance --out simulations/results/variance

Four models; shown is the mean of ‖v − decoded‖² / ‖v‖² over updates of early and late rounds and seeds of the rotation.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from statistics import fmean

import numpy as np

from simulations.app.schemes import last_scheme_of
from simulations.experiments.command_line import add_out, add_settings, parsed, parser_of, settings_of
from simulations.experiments.messages import ROUNDS, Recorded, error_of, record
from simulations.report import files, json_rows
from simulations.report.variance import Measured

WORKLOADS = ("lenet5", "resnet20", "transformer", "lora")
RATIOS = (8000, 1000, 100, 32)
SCHEMES = ("surp-unbiased", "eden")
SEEDS = 3


def variance_of(scheme: str, update: Recorded) -> float:
    """The mean of ‖v − decoded‖² / ‖v‖² over rotations."""
    codec = last_scheme_of(scheme).codec
    messages = [
        codec.encode(update.vector, update.layout, rng=np.random.default_rng([update.server_round, seed]))
        for seed in range(SEEDS)
    ]
    return fmean(error_of(update, message, codec) ** 2 for message in messages)


def measure(workload: str, updates: list[Recorded]) -> list[Measured]:
    """Every scheme at every share of the model's bytes."""
    n = updates[0].layout.size
    return [
        Measured(
            workload, 4 * n // ratio, ratio,
            {name: [round(variance_of(f"{name}:ratio={ratio}", each), 5) for each in updates] for name in SCHEMES},
        )
        for ratio in RATIOS
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Record, measure, and write variance.json and table.md."""
    parser = parser_of("simulations.experiments.variance", __doc__)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS, help="(all)")
    add_settings(parser, ("data_root", "rounds", "precision"), rounds=max(ROUNDS), precision="bfloat16")
    add_out(parser)
    options = parsed(parser, arguments)
    found: list[Measured] = []
    for workload in options.workloads:
        settings = replace(settings_of(options, workload=workload), scheme="dense", test_every=max(ROUNDS))
        print(f"recording {workload}: {settings.rounds} rounds ...", flush=True)
        found += measure(workload, record(settings))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "variance.json").write_text(json_rows.text_of(map(asdict, found)))
    files.write(files.variance_in(options.out))
    print("\n" + (options.out / "table.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
