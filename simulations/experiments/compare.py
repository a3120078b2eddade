"""Compare schemes at equal work: the same weights, batches and local steps for each, real bytes for all.

python -m simulations.experiments.compare --schemes dense surp --budgets 218 2050 --rounds 20
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

from simulations.app.data import LOADERS, DataMissing, data_root, load
from simulations.app.schemes import SCHEMES, WITHOUT_BUDGET, parse
from simulations.app.settings import Settings
from simulations.app.training import PRECISIONS
from simulations.engines.in_process import complete
from simulations.report import tables


def _runs(options: argparse.Namespace, common: Settings) -> Iterator[Settings]:
    for text in options.schemes:
        name, *rest = text.split(":")
        fixed = name in WITHOUT_BUDGET or any("=" not in part for part in rest)
        for budget in [None] if fixed else options.budgets:
            scheme = text if budget is None else ":".join([name, str(budget), *rest])
            parse(scheme)
            for downlink in options.downlinks if name != "dense" else ["none"]:
                for seed in options.seeds:
                    yield replace(common, scheme=scheme, seed=seed, downlink="" if downlink == "none" else downlink)


def _parser() -> argparse.ArgumentParser:
    common = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m simulations.experiments.compare", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--schemes", nargs="+", default=["dense", "surp"],
        help=f"of {', '.join(SCHEMES)}; with a budget of its own and options as in rtop-k:2050:ratio=2 (dense surp)",
    )  # fmt: skip
    parser.add_argument(
        "--budgets", nargs="+", type=int, default=[218, 2050],
        help="bytes, whole message, for schemes that name none themselves (218 2050)",
    )  # fmt: skip
    parser.add_argument(
        "--downlinks", nargs="+", default=["none"],
        help="what goes down: none for the whole model, or schemes with budgets as in surp:2000; not for dense (none)",
    )  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--rounds", type=int, default=common.rounds, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=common.clients, help="default: %(default)s")
    parser.add_argument("--sampled", type=int, default=0, help="clients that take part in a round; 0 for all")
    parser.add_argument("--partition", default=common.partition, help="iid, or dirichlet:ALPHA (%(default)s)")
    parser.add_argument("--local-steps", type=int, default=common.local_steps, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=common.batch_size, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=common.learning_rate, help="default: %(default)s")
    parser.add_argument("--momentum", type=float, default=common.momentum, help="default: %(default)s")
    parser.add_argument("--fading", action="store_true", help="what clients owe fades as the learning rate falls")
    parser.add_argument("--weight-decay", type=float, default=0.0, help="of the local SGD (%(default)s)")
    parser.add_argument("--clipping", type=float, default=0.0, help="largest norm of a step's gradient; 0 for any")
    parser.add_argument(
        "--precision", choices=sorted(PRECISIONS), default=common.precision,
        help="of the local products; bfloat16 takes half the time where the processor has it (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--warm-up", type=int, default=0, help="rounds in which the learning rate rises (%(default)s)")
    parser.add_argument(
        "--final-rate", type=float, default=1.0, help="share of the learning rate left in the last round (%(default)s)"
    )
    parser.add_argument("--server-learning-rate", type=float, default=1.0, help="FedAvgM's (%(default)s)")
    parser.add_argument("--server-momentum", type=float, default=0.0, help="FedAvgM's (%(default)s)")
    parser.add_argument("--evaluation", type=float, default=0.0, help="share of clients that evaluate (%(default)s)")
    parser.add_argument(
        "--averaging",
        type=float,
        default=0.0,
        help="test the running average of the models, of which a round leaves so much",
    )
    parser.add_argument("--dataset", choices=sorted(LOADERS), default="auto", help="default: %(default)s")
    parser.add_argument("--data-root", default="", help="folder of the datasets (SURP_FL_DATA, or data/)")
    parser.add_argument(
        "--held-out", type=int, default=0, help="tune: test on this many training images instead, kept from training"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results"),
                        help="output folder; a row that is there already is not run again (%(default)s)")  # fmt: skip
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the table and write results.json, table.md, summary.md and two plots."""
    parser = _parser()
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    try:
        dataset = load(options.dataset, data_root(options.data_root), options.held_out)
        given = {field.name: getattr(options, field.name) for field in fields(Settings) if hasattr(options, field.name)}
        runs = list(_runs(options, Settings(**(given | {"dataset": dataset.name, "out": ""}))))
    except (DataMissing, ValueError) as fault:
        parser.error(str(fault))
    print(f"{dataset.name}: {len(dataset.train.labels):,} training images", flush=True)
    try:
        rows = complete(runs, options.out, options.jobs)
    except ValueError as fault:
        parser.error(str(fault))

    from simulations.report.plots import accuracy_vs_bytes, bytes_to_accuracy

    accuracy_vs_bytes(rows, options.out / "accuracy_vs_bytes.png")
    bytes_to_accuracy(rows, options.out / "bytes_to_accuracy.png")
    print(f"\n{tables.table(rows)}\n{time.perf_counter() - began:.0f} s; written to {options.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
