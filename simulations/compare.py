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
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.managers import SyncManager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
from surp_fl.strategies import Traffic
from tqdm import tqdm

from simulations import results
from simulations.data import LOADERS, data_root, load
from simulations.results import Row
from simulations.schemes import SCHEMES, WITHOUT_BUDGET, scheme_of
from simulations.settings import Settings
from surp_fl import Layout

_Event = tuple[Settings, int, float, int]  # whose, round, test accuracy, largest payload


def in_process(settings: Settings, on_round: Any) -> Row:
    """Run the app over the in-process grid."""
    from simulations import client_app, server_app
    from simulations.engine import InProcessGrid, as_server

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
    codec = scheme_of(settings.scheme).codec
    codec.decode(codec.encode(np.ones(8, np.float32), layout, rng=np.random.default_rng(0)), layout)


def _work(settings: Settings, events: Queue[_Event | None]) -> Row:
    def tell(server_round: int, accuracy: float, traffic: Traffic | None) -> None:
        events.put((settings, server_round, accuracy, max(traffic.payload_bytes_up) if traffic else 0))

    return in_process(settings, tell)


def run_all(runs: list[Settings], jobs: int) -> list[Row]:
    """Run every row, `jobs` of them at a time in processes of their own, and show how far they are."""
    context = multiprocessing.get_context("spawn")
    with SyncManager(ctx=context) as manager:
        events: Queue[_Event | None] = manager.Queue()
        watcher = Thread(target=_show, args=(events, runs), daemon=True)
        watcher.start()
        with ProcessPoolExecutor(min(jobs, len(runs)), mp_context=context) as pool:
            rows = list(pool.map(partial(_work, events=events), runs))
        events.put(None)
        watcher.join()
    return rows


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
    for scheme in options.schemes:
        for budget in [None] if scheme in WITHOUT_BUDGET else options.budgets:
            for seed in options.seeds:
                yield replace(common, scheme=scheme if budget is None else f"{scheme}:{budget}", seed=seed)


def _parser() -> argparse.ArgumentParser:
    common = Settings()
    parser = argparse.ArgumentParser(prog="python -m simulations.compare", description=__doc__.split("\n")[0])
    parser.add_argument("--schemes", nargs="+", choices=sorted(SCHEMES), default=["dense", "surp"])
    parser.add_argument("--budgets", nargs="+", type=int, default=[218, 2050], help="bytes, whole message (218 2050)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--rounds", type=int, default=common.rounds, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=common.clients, help="default: %(default)s")
    parser.add_argument("--partition", default=common.partition, help="iid, or dirichlet:ALPHA (%(default)s)")
    parser.add_argument("--local-steps", type=int, default=common.local_steps, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=common.batch_size, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=common.learning_rate, help="default: %(default)s")
    parser.add_argument("--momentum", type=float, default=common.momentum, help="default: %(default)s")
    parser.add_argument("--dataset", choices=sorted(LOADERS), default="auto", help="default: %(default)s")
    parser.add_argument("--data-root", default="", help="folder of the datasets (SURP_FL_DATA, or data/)")
    parser.add_argument(
        "--held-out", type=int, default=0, help="tune: test on this many training images instead, kept from training"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="output folder (%(default)s)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the table and write results.json, table.md and accuracy_vs_bytes.png."""
    options = _parser().parse_args(arguments)
    began = time.perf_counter()
    dataset = load(options.dataset, data_root(options.data_root), options.held_out)
    names = ("rounds", "clients", "partition", "local_steps", "batch_size", "learning_rate", "momentum")
    given = {name: getattr(options, name) for name in (*names, "data_root", "held_out")}
    common = Settings(dataset=dataset.name, **given)
    runs = list(_runs(options, common))
    print(
        f"{len(runs)} rows on {dataset.name} ({len(dataset.train.labels):,} training images), {options.jobs} at a time",
        flush=True,
    )
    rows = run_all(runs, options.jobs)

    from simulations.plots import accuracy_vs_bytes

    results.write(rows, options.out)
    accuracy_vs_bytes(rows, options.out / "accuracy_vs_bytes.png")
    print(f"\n{results.table(rows)}\n{time.perf_counter() - began:.0f} s; written to {options.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
