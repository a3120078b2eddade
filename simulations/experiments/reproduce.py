"""The comparison that the README quotes: every scheme as it was tuned, three seeds, four ways to share the work.

    python -m simulations.experiments.reproduce --out simulations/results        # or make reproduce

Four parts: all clients a round or 3 of 10, with IID images or Dirichlet(0.5) ones. Every scheme is tuned first, on
images held out of the training ones (experiments.tune), and then run with what it was best with; with all clients,
Dirichlet(0.5) is run as IID images tuned it. A row that is there already is not run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from simulations.app.data import LOADERS, data_root, load
from simulations.app.settings import Settings
from simulations.app.training import PRECISIONS
from simulations.engines.in_process import complete
from simulations.experiments import tune
from simulations.report import rows as results
from simulations.report.overview import accuracy_at_budgets, overview
from simulations.report.plots import accuracy_vs_bytes, bytes_to_accuracy

TUNED = ("dense", "surp:218", "surp:109", "stc:218", "top-k:2050", "rtop-k:2050:ratio=2", "dgc:2050")
SCHEMES = {  # what is run, and whose tuning it gets
    "dense": "dense",
    "qsgd": "dense",
    "surp:80": "surp:109",
    "surp:95": "surp:109",
    "surp:109": "surp:109",
    "surp:128": "surp:218",
    "surp:150": "surp:218",
    "surp:218": "surp:218",
    "surp:700": "surp:218",
    "surp:1000": "surp:218",
    "surp:1500": "surp:218",
    "stc:218": "stc:218",
    "stc:1000": "stc:218",
    "top-k:2050": "top-k:2050",
    "rtop-k:2050:ratio=1": "rtop-k:2050:ratio=2",
    "rtop-k:2050:ratio=2": "rtop-k:2050:ratio=2",
    "rtop-k:2050:ratio=10": "rtop-k:2050:ratio=2",
    "rtop-k:2050:ratio=100": "rtop-k:2050:ratio=2",
    "dgc:2050": "dgc:2050",
}
BOTH_WAYS = {"surp:218": "surp:2000", "surp:700": "surp:1700"}  # what comes up, and what then goes down for models
WITH_MORE = {"surp:1000": "surp:1500", "surp:1500": "surp:2000"}  # the same, where most clients rest in a round
PARTS: dict[str, dict[str, str | int]] = {
    "iid": {},
    "dirichlet": {"partition": "dirichlet:0.5"},
    "sampled": {"sampled": 3},
    "sampled_dirichlet": {"sampled": 3, "partition": "dirichlet:0.5"},
}
TUNED_ON = {"dirichlet": "iid"}  # a part that gets the tuning of another one
MORE_POINTS: dict[str, tune.Grid] = {
    "sampled": tune.TAKING_TURNS,
    "sampled_dirichlet": (*tune.TAKING_TURNS, *tune.CLIPPED),
}


def rows_of(part: str, seeds: list[int], base: Settings, chosen: dict[str, dict[str, float]]) -> Iterator[Settings]:
    """The runs of a part of the protocol, seed by seed."""
    both_ways = BOTH_WAYS | WITH_MORE if "sampled" in PARTS[part] else BOTH_WAYS
    for seed in seeds:
        for scheme, tuned in SCHEMES.items():
            row = replace(base, scheme=scheme, seed=seed, **PARTS[part])  # type: ignore[arg-type]
            row = tune.point(row, chosen[tuned])
            yield row
            if scheme in both_ways:
                yield replace(row, downlink=both_ways[scheme])


def main(arguments: list[str] | None = None) -> int:
    """Tune where it is not done yet, run all parts, and write tables and plots."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations.experiments.reproduce", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--tuning-rounds", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--local-steps", type=int, default=30, help="default: %(default)s")
    parser.add_argument(
        "--precision", choices=sorted(PRECISIONS), default="bfloat16", help="of local products (%(default)s)"
    )
    parser.add_argument("--dataset", choices=sorted(LOADERS), default="auto", help="default: %(default)s")
    parser.add_argument("--data-root", default="", help="folder of the datasets (SURP_FL_DATA, or data/)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="output folder (%(default)s)")
    options = parser.parse_args(arguments)
    dataset = load(options.dataset, data_root(options.data_root)).name
    base = Settings(
        rounds=options.rounds, clients=options.clients, local_steps=options.local_steps, dataset=dataset,
        data_root=options.data_root, precision=options.precision,
    )  # fmt: skip
    for part in options.parts:
        folder, tuned_on = options.out / part, TUNED_ON.get(part, part)
        chosen = tune.tuned(
            list(TUNED),
            replace(base, rounds=options.tuning_rounds, held_out=tune.HELD_OUT, **PARTS[tuned_on]),  # type: ignore[arg-type]
            [0],
            options.out / tuned_on / "tuning",
            options.jobs,
            grid=(*tune.GRID, *MORE_POINTS.get(tuned_on, ())),
            rehearsal=options.rounds,
        )
        rows = complete(list(rows_of(part, options.seeds, base, chosen)), folder, options.jobs)
        accuracy_vs_bytes(rows, folder / "accuracy_vs_bytes.png")
        bytes_to_accuracy(rows, folder / "bytes_to_accuracy.png")
        print(f"\n{(folder / 'summary.md').read_text()}")
    parts = {part: rows for part in PARTS if (rows := results.load(options.out / part))}
    (options.out / "overview.md").write_text(overview(parts))
    accuracy_at_budgets(parts, options.out / "overview.png")
    print(f"\n{(options.out / 'overview.md').read_text()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
