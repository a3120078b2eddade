"""The ServerApp: FedAvgM inside the decoding wrapper, evaluation on the test images, one row of results."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvgM
from numpy.typing import NDArray

from simulations.app import data, training
from simulations.app.models import PARAMETERS, initial_arrays, model_with
from simulations.app.row import Row, row_of
from simulations.app.schemes import last_scheme_of
from simulations.app.settings import Settings
from surp_fl.flower.records import arrays_of as arrays_in
from surp_fl.flower.records import record_of
from surp_fl.strategies import DecodeUpdates, NoUsableReplyError, RoundStats

Arrays = dict[str, NDArray[np.float32]]
OnRound = Callable[[int, float, RoundStats | None], None]  # round, test accuracy, what the round cost

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run what the run config says, and write the row where it says."""
    settings = Settings.from_run_config(context.run_config)

    def say(server_round: int, accuracy: float, traffic: RoundStats | None) -> None:
        up = f", {max(traffic.payload_bytes_up):,} B up at most" if traffic else ""
        print(f"round {server_round}/{settings.rounds}: test accuracy {accuracy:.2%}{up}", flush=True)

    row = federate(grid, settings, say)
    if settings.out:
        Path(settings.out).write_text(json.dumps(row.to_json()) + "\n")


def federate(grid: Grid, settings: Settings, on_round: OnRound) -> Row:
    """Train federated over a grid's nodes.

    Args:
        grid: Flower's connection to the nodes; real or in-process.
        settings: of this run.
        on_round: told of round 0 and of every round after it.

    Returns:
        The row of this run; up to the round in which it diverged, if it did.
    """
    torch.set_num_threads(1)
    random.seed(settings.seed)  # Flower samples clients with it
    dataset = data.load(settings.dataset, data.data_root(settings.data_root), settings.held_out)
    strategy = DecodeUpdates(
        FedAvgM(
            fraction_train=settings.taking_part / settings.clients,
            fraction_evaluate=settings.fraction_evaluate,  # usually 0: clients would be sent the model a second time
            min_evaluate_nodes=math.ceil(settings.fraction_evaluate * settings.clients),
            min_train_nodes=settings.taking_part,
            min_available_nodes=settings.clients,
            server_learning_rate=settings.server_learning_rate,
            server_momentum=settings.server_momentum,
        ),
        patience=0,  # replies all fail where training diverged
        downlink=last_scheme_of(settings.downlink) if settings.downlink else None,
        packed=settings.scheme != "dense",  # which stands for FedAvg as it is
    )
    arrays = initial_arrays(settings.seed)
    if (found := sum(array.size for array in arrays.values())) != PARAMETERS:
        raise RuntimeError(f"the model has {found} parameters; LeNet-5-Caffe has {PARAMETERS}")
    accuracies: list[float] = []
    average = _Average(settings.ema_decay)

    def evaluate(server_round: int, record: ArrayRecord) -> MetricRecord:
        model = model_with(average.of(arrays_in(record)), training.device())
        accuracies.append(training.accuracy(model, dataset, settings.precision))
        on_round(server_round, accuracies[-1], strategy.traffic[-1] if strategy.traffic else None)
        return MetricRecord({"accuracy": accuracies[-1]})

    digest, failed = "", ""
    try:
        result = strategy.start(
            grid=grid, initial_arrays=record_of(arrays), num_rounds=settings.rounds, evaluate_fn=evaluate
        )
        digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays_in(result.arrays).values())).hexdigest()
    except NoUsableReplyError as fault:
        if len(accuracies) <= 1:
            raise
        failed = str(fault).split("Traceback")[0].strip()
    return row_of(settings, dataset.name, accuracies, strategy.traffic[: len(accuracies) - 1], digest, failed)


class _Average:
    """The running average of the models of all rounds; it begins with the first that is trained."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._seen = 0
        self._mean: dict[str, NDArray[np.float64]] = {}

    def of(self, arrays: Arrays) -> Arrays:
        """Take in the next model and give the average."""
        self._seen += 1
        share = 0.0 if self._seen <= 2 else self._share  # the untrained one is left out
        self._mean = {
            name: share * self._mean[name] + (1 - share) * array if share else np.asarray(array, np.float64)
            for name, array in arrays.items()
        }
        return {name: array.astype(np.float32) for name, array in self._mean.items()}
