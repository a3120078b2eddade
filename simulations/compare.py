"""Compare schemes at equal work: the same weights, batches and local steps for each, real bytes for all.

python -m simulations.compare --schemes dense surp --budgets 218 2050 --rounds 20
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields, replace
from multiprocessing.managers import SyncManager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
from tqdm import tqdm

from simulations import results, tables
from simulations.data import LOADERS, DataMissing, data_root, load
from simulations.results import Row
from simulations.schemes import SCHEMES, WITHOUT_BUDGET, last_scheme_of, parse
from simulations.settings import Settings
from simulations.training import PRECISIONS
from surp_fl import Layout
from surp_fl.strategies import Traffic

_Event = tuple[Settings, int, float, int]  # whose, round, test accuracy, largest payload


def in_process(settings: Settings, on_round: Any) -> Row:
    """Run the app over the in-process grid."""
    from simulations import client_app, server_app
    from surp_fl.testing import InProcessGrid, as_server

    quiet()
    _compile(settings)
    with as_server():
        grid = InProcessGrid(client_app.app, settings.clients, settings.to_run_config())
        return server_app.federate(grid, settings, on_round)


def quiet() -> None:
    """Let Flower speak up for warnings only."""
    logging.getLogger("flwr").setLevel(logging.WARNING)


def _compile(settings: Settings) -> None:
    """Load the compiled loops before any of them is timed."""
    layout = Layout.of({"weight": np.ones(8, np.float32)})
    codec = last_scheme_of(settings.scheme).codec
    codec.decode(codec.encode(np.ones(8, np.float32), layout, rng=np.random.default_rng(0)), layout)


def _work(settings: Settings, events: Queue[_Event | None]) -> Row:
    def tell(server_round: int, accuracy: float, traffic: Traffic | None) -> None:
        events.put((settings, server_round, accuracy, max(traffic.payload_bytes_up) if traffic else 0))

    return in_process(settings, tell)


def run_all(runs: list[Settings], jobs: int, finished: Callable[[Row], None]) -> None:
    """Run every row, `jobs` of them at a time in processes of their own, and show how far they are.

    `finished` is told of each row as soon as it is there. A row that fails does not keep the others from it.

    Raises:
        Exception: what the first row failed with that did, after all others; or what `finished` raised, at once.
    """
    faults: list[Exception] = []
    context = multiprocessing.get_context("spawn")
    with SyncManager(ctx=context) as manager:
        events: Queue[_Event | None] = manager.Queue()
        watcher = Thread(target=_show, args=(events, runs), daemon=True)
        watcher.start()
        with ProcessPoolExecutor(min(jobs, len(runs)), mp_context=context) as pool:
            try:
                for done in as_completed([pool.submit(_work, run, events) for run in runs]):
                    if isinstance(fault := done.exception(), Exception):
                        faults.append(fault)
                    else:
                        finished(done.result())
            finally:
                pool.shutdown(cancel_futures=True)
        events.put(None)
        watcher.join()
    if faults:
        raise faults[0]


def complete(runs: list[Settings], folder: Path, jobs: int) -> list[Row]:
    """Run what a folder's results.json does not hold yet, and write every row there as soon as it is finished.

    Returns:
        The rows of these runs, in their order. Rows of other runs stay in the folder.
    """
    before = results.load(folder)
    rows = {run: next((row for row in before if results.is_of(row, run)), None) for run in runs}
    missing = [run for run, row in rows.items() if row is None]
    others = [row for row in before if not any(results.is_of(row, run) for run in runs)]
    print(f"{len(runs)} rows, {len(runs) - len(missing)} of them in {folder} already, {jobs} at a time", flush=True)

    def finished(row: Row) -> None:
        rows[next(run for run in missing if results.is_of(row, run))] = row
        tables.write([*others, *(row for row in rows.values() if row is not None)], folder)

    if missing:
        run_all(missing, jobs, finished)
    return [row for row in rows.values() if row is not None]


def _show(events: Queue[_Event | None], runs: list[Settings]) -> None:
    """A bar with the remaining time on a terminal; a line every fifth of a row everywhere."""
    total = sum(run.rounds for run in runs)
    done = 0
    with tqdm(total=total, unit="round", smoothing=0.05, disable=None) as bar:
        while (event := events.get()) is not None:
            run, server_round, accuracy, payload = event
            if server_round == 0:
                continue
            done += 1
            bar.update()
            if server_round % max(1, run.rounds // 5) == 0 or server_round == 1:
                bar.write(
                    f"{done:>5}/{total}  {run.scheme:>10}  seed {run.seed}  round {server_round:>3}/{run.rounds}  "
                    f"test accuracy {accuracy:7.2%}  largest payload {payload:>9,} B",
                    file=sys.stdout,
                )
                sys.stdout.flush()


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
    parser = argparse.ArgumentParser(prog="python -m simulations.compare", description=__doc__.split("\n")[0])
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

    from simulations.plots import accuracy_vs_bytes, bytes_to_accuracy

    accuracy_vs_bytes(rows, options.out / "accuracy_vs_bytes.png")
    bytes_to_accuracy(rows, options.out / "bytes_to_accuracy.png")
    print(f"\n{tables.table(rows)}\n{time.perf_counter() - began:.0f} s; written to {options.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
