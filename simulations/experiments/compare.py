"""Compare schemes at equal work: the same weights, batches and local steps for each, real bytes for all.

python -m simulations.experiments.compare --schemes dense surp --budgets 218 2050 --rounds 20
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from simulations.app.datasets import DataMissing
from simulations.app.schemes import known, named, parse, takes_ratio
from simulations.app.settings import Settings
from simulations.engines.in_process import complete
from simulations.experiments.command_line import (
    add_jobs,
    add_seeds,
    add_settings,
    downlink_of,
    parsed,
    parser_of,
    settings_of,
)
from simulations.report import files, tables

_SETTINGS = [name for name in Settings.of_the_run() if name not in ("scheme", "downlink", "seed")] + ["data_root"]


def runs_of(options: argparse.Namespace, common: Settings) -> Iterator[Settings]:
    """Every scheme at every budget, both ways or one, with every seed.

    Raises:
        ValueError: no such scheme.
    """
    for text in options.schemes:
        name, *rest = text.split(":")
        fixed = name not in known() or not named(name).has_budget or any("=" not in part for part in rest)
        fixed = fixed or (takes_ratio(name) and any(part.startswith("ratio=") for part in rest))
        for budget in [None] if fixed else options.budgets:
            scheme = text if budget is None else ":".join([name, str(budget), *rest])
            parse(scheme)
            for downlink in options.downlinks if name != "dense" else ["none"]:
                for seed in options.seeds:
                    yield replace(common, scheme=scheme, seed=seed, downlink=downlink_of(downlink))


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("simulations.experiments.compare", __doc__)
    parser.add_argument(
        "--schemes", nargs="+", default=["dense", "surp"],
        help=f"of {', '.join(known())}; with a budget and options of its own as in rtop-k:2050:ratio=2",
    )  # fmt: skip
    parser.add_argument(
        "--budgets", nargs="+", type=int, default=[218, 2050],
        help="bytes, whole message, for schemes that name none themselves, as surp:ratio=1000 (218 2050)",
    )  # fmt: skip
    parser.add_argument(
        "--downlinks", nargs="+", default=["none"],
        help="what goes down: none for the whole model, or schemes with budgets as in surp:2000; not for dense (none)",
    )  # fmt: skip
    add_seeds(parser, 0)
    add_settings(parser, _SETTINGS)
    add_jobs(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the table; write results.json, and the tables and plots of it."""
    parser = _parser()
    options = parsed(parser, arguments)
    began = time.perf_counter()
    try:
        common = settings_of(options)
        runs = list(runs_of(options, common))
        rows = complete(runs, options.out, options.jobs)
    except (DataMissing, ValueError) as fault:
        parser.error(str(fault))
    files.write(files.comparison(options.out))
    print(f"\n{tables.table(rows)}\n{time.perf_counter() - began:.0f} s; written to {options.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
