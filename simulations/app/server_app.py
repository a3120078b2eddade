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

from simulations.app import training
from simulations.app.datasets import data_root
from simulations.app.row import Row, row_of
from simulations.app.schemes import scheme_of_round
from simulations.app.settings import Settings
from simulations.app.training import Score
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.records import arrays_of as arrays_in
from surp_fl.flower.records import record_of
from surp_fl.layout import Layout
from surp_fl.strategies import DecodeUpdates, NoUsableReplyError, RoundStats
from surp_fl.strategies.downlink.delivery import LOSSLESS, Lossless
from surp_fl.types import Arrays

OnRound = Callable[[int, Score | None, RoundStats | None], None]  # round, its test, what the round cost

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run what the run config says, and write the row where it says."""
    settings = Settings.from_run_config(context.run_config)

    def say(server_round: int, score: Score | None, traffic: RoundStats | None) -> None:
        up = f", {max(traffic.payload_bytes_up):,} B up at most" if traffic else ""
        found = f"test accuracy {score.accuracy:.2%}, loss {score.loss:.3f}" if score else "not tested"
        print(f"round {server_round}/{settings.rounds}: {found}{up}", flush=True)

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
    root = data_root(settings.data_root)
    dataset = training.load(settings.workload, settings.dataset, root, settings.held_out)
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
        downlink=_downlink_of(settings),
        packed=settings.scheme != "dense",  # which stands for FedAvg as it is
        initial=settings.workload if settings.known_initial else None,
        evaluate_with_train=settings.evaluate_with_train,
    )
    arrays = training.initial_arrays(settings.kind, settings.seed, root)
    scores: list[Score] = []
    rounds = 0
    average = _Average(settings.ema_decay)

    def evaluate(server_round: int, record: ArrayRecord) -> MetricRecord:
        nonlocal rounds
        rounds = server_round
        averaged = average.of(arrays_in(record))
        score = None
        if settings.tested(server_round):
            model = training.model_with(settings.kind, averaged, root)
            score = training.score(model, dataset.test, settings.precision)
            scores.append(score)
        on_round(server_round, score, strategy.traffic[-1] if strategy.traffic else None)
        return MetricRecord({} if score is None else score._asdict())

    digest, failed = "", ""
    try:
        result = strategy.start(
            grid=grid, initial_arrays=record_of(arrays), num_rounds=settings.rounds, evaluate_fn=evaluate
        )
        digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays_in(result.arrays).values())).hexdigest()
    except NoUsableReplyError as fault:
        if rounds == 0:
            raise
        failed = str(fault).split("Traceback")[0].strip()
    size = Layout.of(arrays).size
    return row_of(settings, dataset.name, size, scores, strategy.traffic[:rounds], digest, failed)


def _downlink_of(settings: Settings) -> Scheme | Callable[[int], Scheme] | Lossless | None:
    if settings.downlink == LOSSLESS:
        return LOSSLESS
    return scheme_of_round(settings.downlink, settings.rounds) if settings.downlink else None


class _Average:
    """The running average of the models of all rounds; it begins with the first that is trained."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._seen = 0
        self._mean: dict[str, NDArray[np.float64]] = {}  # of all floating-point arrays

    def of(self, arrays: Arrays) -> Arrays:
        """Take in the next model and give the average."""
        self._seen += 1
        share = 0.0 if self._seen <= 2 else self._share  # the untrained one is left out
        self._mean = {
            name: share * self._mean[name] + (1 - share) * array if share else np.asarray(array, np.float64)
            for name, array in arrays.items()
            if array.dtype.kind == "f"
        }
        return {
            name: self._mean[name].astype(array.dtype) if name in self._mean else array
            for name, array in arrays.items()
        }
