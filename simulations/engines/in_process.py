"""Run the app in this process over an in-process grid; many rows in processes of their own, resumable."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.managers import SyncManager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from tqdm import tqdm

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.app.training import Score
from simulations.report import rows as results
from surp_fl.strategies import RoundStats

_Event = tuple[Settings, int, Score | None, int]  # whose, round, its test, largest payload


def in_process(settings: Settings, on_round: Any) -> Row:
    """Run the app over the in-process grid."""
    from simulations.app import client_app, server_app
    from surp_fl.testing import InProcessGrid, as_server

    quiet()
    with as_server():
        grid = InProcessGrid(client_app.app, settings.clients, settings.to_run_config())
        return server_app.federate(grid, settings, on_round)


def quiet() -> None:
    """Let Flower speak up for warnings only."""
    logging.getLogger("flwr").setLevel(logging.WARNING)


def _work(settings: Settings, events: Queue[_Event | None]) -> Row:
    def tell(server_round: int, score: Score | None, traffic: RoundStats | None) -> None:
        events.put((settings, server_round, score, max(traffic.payload_bytes_up) if traffic else 0))

    return in_process(settings, tell)


def run_all(runs: list[Settings], jobs: int, finished: Callable[[Row], None]) -> None:
    """Run every row, `jobs` of them at a time in processes of their own, and show how far they are; one job runs here.

    `finished` is told of each row as soon as it is there. A row that fails does not keep the others from it.

    Raises:
        Exception: what the first row failed with that did, after all others; or what `finished` raised, at once.
    """
    faults: list[Exception] = []
    if jobs == 1:
        with _shown(Queue(), runs) as events:
            for run in runs:
                try:
                    row = _work(run, events)
                except Exception as fault:
                    faults.append(fault)
                else:
                    finished(row)
    else:
        context = multiprocessing.get_context("spawn")
        with (
            SyncManager(ctx=context) as manager,
            _shown(manager.Queue(), runs) as events,
            ProcessPoolExecutor(min(jobs, len(runs)), mp_context=context) as pool,
        ):
            try:
                for done in as_completed([pool.submit(_work, run, events) for run in runs]):
                    if isinstance(failed := done.exception(), Exception):
                        faults.append(failed)
                    else:
                        finished(done.result())
            finally:
                pool.shutdown(cancel_futures=True)
    if faults:
        raise faults[0]


@contextmanager
def _shown(events: Queue[_Event | None], runs: list[Settings]) -> Iterator[Queue[_Event | None]]:
    """Show what comes in a queue, as long as this lasts."""
    watcher = Thread(target=_show, args=(events, runs), daemon=True)
    watcher.start()
    try:
        yield events
    finally:
        events.put(None)
        watcher.join()


def complete(runs: list[Settings], folder: Path, jobs: int) -> list[Row]:
    """Run what a folder's results.json does not hold yet, and write every row there as soon as it is finished.

    Returns:
        The rows of these runs, in their order. Rows of other runs stay in the folder.
    """
    before = results.load(folder)
    rows = {run: next((row for row in before if row.settings.same_run(run)), None) for run in runs}
    missing = [run for run, row in rows.items() if row is None]
    others = [row for row in before if not any(row.settings.same_run(run) for run in runs)]
    print(f"{len(runs)} rows, {len(runs) - len(missing)} of them in {folder} already, {jobs} at a time", flush=True)

    def finished(row: Row) -> None:
        rows[next(run for run in missing if row.settings.same_run(run))] = row
        results.save([*others, *(row for row in rows.values() if row is not None)], folder)

    if missing:
        run_all(missing, jobs, finished)
    return [row for row in rows.values() if row is not None]


def _show(events: Queue[_Event | None], runs: list[Settings]) -> None:
    """A bar with the remaining time on a terminal; a line every fifth of a row everywhere."""
    total = sum(run.rounds for run in runs)
    done = 0
    with tqdm(total=total, unit="round", smoothing=0.05, disable=None) as bar:
        while (event := events.get()) is not None:
            run, server_round, score, payload = event
            if server_round == 0:
                continue
            done += 1
            bar.update()
            if score is not None and (server_round % max(1, run.rounds // 5) == 0 or server_round == 1):
                bar.write(
                    f"{done:>5}/{total}  {run.scheme:>10}  seed {run.seed}  round {server_round:>3}/{run.rounds}  "
                    f"test accuracy {score.accuracy:7.2%}, loss {score.loss:.3f}  largest payload {payload:>9,} B",
                    file=sys.stdout,
                )
                sys.stdout.flush()
