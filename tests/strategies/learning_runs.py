"""Figures of every message in runs that learn: the committed settings of `simulations/results`, LeNet-5 on MNIST.

`learning.csv` beside this file holds them, and test_learning.py judges them. To measure them anew, which takes an hour:

    python -m tests.strategies.learning_runs
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from surp_fl.strategies.learning import LearningMonitor, SentMessage

FILE = Path(__file__).with_name("learning.csv")
RUNS = {  # folder of results, scheme, rounds that are run; where fewer than 100, those in which least is sent
    "quickstart": ("quickstart", "surp:218", 20),
    "iid": ("iid", "surp:218", 36),
    "dirichlet": ("dirichlet", "surp:218", 36),
    "sampled": ("sampled", "surp:218", 100),
    "sampled_dirichlet": ("sampled_dirichlet", "surp:218", 100),
    "iid at 80 B": ("iid", "surp:80", 7),
    "sampled_dirichlet at 80 B": ("sampled_dirichlet", "surp:80", 20),
}
_COLUMNS = ("run", "round", "node", "sent", "held", "residual_norm", "loss")


@dataclass(frozen=True)
class Measured:
    """One message in a run."""

    run: str
    server_round: int
    node: int
    message: SentMessage
    loss: float


def read() -> list[Measured]:
    """The committed figures, in the order in which they were measured."""
    with FILE.open() as file:
        return [
            Measured(
                run=row["run"],
                server_round=int(row["round"]),
                node=int(row["node"]),
                message=SentMessage(float(row["sent"]), float(row["held"]), float(row["residual_norm"]), 0.0),
                loss=float(row["loss"]),
            )
            for row in csv.DictReader(file)
        ]


class _EnoughError(Exception):
    """As many rounds were run as are wanted."""


def measured(run: str, rounds: int) -> list[Measured]:
    """Run the first rounds of a committed setting, seed 0, and keep what the server's monitor observes.

    Args:
        run: a name in `RUNS`.
        rounds: number of rounds; the learning rates are those of the whole run.
    """
    from simulations.engines.in_process import in_process  # what is read above needs no PyTorch
    from simulations.report import rows
    from simulations.report.render import RESULTS

    folder, scheme, _ = RUNS[run]
    settings = next(
        row.settings
        for row in rows.load(RESULTS / folder)
        if (row.settings.scheme, row.settings.seed, row.settings.downlink) == (scheme, 0, "")
    )
    found: list[Measured] = []
    ended = 0  # rounds

    def observe(monitor: LearningMonitor, node: int, message: SentMessage | None, loss: float | None) -> None:
        assert message is not None
        assert loss is not None
        found.append(Measured(run, ended + 1, node, message, loss))

    def on_round(server_round: int, accuracy: float, traffic: Any) -> None:
        nonlocal ended
        ended = server_round
        if ended == rounds:
            raise _EnoughError

    with mock.patch.object(LearningMonitor, "observe", observe), suppress(_EnoughError):
        in_process(settings, on_round)
    return sorted(found, key=lambda each: (each.server_round, each.node))


def write(figures: Iterable[Measured]) -> None:
    """Write the figures, with four digits."""
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for each in figures:
            message = each.message
            digits = (f"{x:.4g}" for x in (message.sent, message.held, message.residual_norm, each.loss))
            writer.writerow((each.run, each.server_round, each.node, *digits))


if __name__ == "__main__":
    write(each for run, (_, _, rounds) in RUNS.items() for each in measured(run, rounds))
