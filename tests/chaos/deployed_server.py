"""The ServerApp of the deployment: it goes on from the last model in the journal, and saves one after every round."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from surp_fl.flower.records import arrays_of, record_of
from surp_fl.strategies import DecodeUpdates
from tests.chaos.journal import Round, write
from tests.chaos.models import Arrays, Vector, plain, trained

PID = "server.pid"
app = ServerApp()


class Observed(FedAvg):
    """FedAvg that notes what it is handed: for each node the update that was decoded."""

    used: dict[int, Vector]
    model: Vector

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Note the updates, and aggregate."""
        found = list(replies)
        self.used = {
            each.metadata.src_node_id: trained(arrays_of(each.content.array_records["arrays"])) - self.model
            for each in found
            if each.has_content()
        }
        return super().aggregate_train(server_round, found)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds that are left."""
    config = context.run_config
    folder = Path(str(config["journal"]))
    (folder / PID).write_text(str(os.getpid()))
    model, done = saved(folder)
    inner = Observed(fraction_evaluate=0.0, min_train_nodes=2, min_available_nodes=int(config["clients"]) - 1)
    strategy = DecodeUpdates(inner, mean_alone=False, patience=10)
    inner.used, inner.model = {}, trained(model)
    began = time.monotonic()

    def save(number: int, record: ArrayRecord) -> None:
        nonlocal began
        arrays = arrays_of(record)
        if number:
            session = strategy._session
            entry = Round(
                done + number, session.id, session.round, strategy.traffic[-1].failures, time.monotonic() - began,
                list(inner.used), np.array(list(inner.used.values())).reshape(-1, inner.model.size),
            )  # fmt: skip
            model = {f"model:{name}": array for name, array in arrays.items()}
            write(folder, f"round-{entry.number:06}", entry, **model)
        inner.used, inner.model, began = {}, trained(arrays), time.monotonic()

    strategy.start(
        grid=grid,
        initial_arrays=record_of(model),
        num_rounds=int(config["rounds"]) - done,
        timeout=float(config["timeout"]),
        evaluate_fn=save,
    )


def saved(folder: Path) -> tuple[Arrays, int]:
    """The last saved model, and how many rounds led to it."""
    rounds = sorted(folder.glob("round-*.npz"))
    if not rounds:
        return plain(), 0
    with np.load(rounds[-1]) as file:
        arrays = {name.removeprefix("model:"): file[name] for name in file.files if name.startswith("model:")}
    return arrays, int(rounds[-1].stem.removeprefix("round-"))
