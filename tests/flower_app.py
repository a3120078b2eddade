"""A tiny Flower app and a way to run it over the in-process grid: four arrays, three clients, no data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Result, Strategy
from numpy.typing import NDArray

from surp_fl.flower.records import arrays_of, record_of
from surp_fl.flower.versions import Mod
from surp_fl.testing import Fault, InProcessGrid, as_server

Arrays = dict[str, NDArray[Any]]

FLOWER = tuple(map(int, version("flwr").split(".")[:2]))
needs_scalars = pytest.mark.skipif(
    FLOWER < (1, 28),
    reason="before Flower 1.28, its own medians and clipping fail on arrays of shape (), without surp-fl too",
)


def initial() -> Arrays:
    rng = np.random.default_rng(0)
    return {
        "weight": rng.normal(size=(30, 20)).astype(np.float32),
        "bias": rng.normal(size=20).astype(np.float32),
        "wide": rng.normal(size=5),
        "batches": np.array(0, np.int64),
    }


def learn(arrays: Arrays, node: int, server_round: int) -> Arrays:
    """A heavy-tailed change that depends on node and round, made in place as training does."""
    rng = np.random.default_rng([node, server_round])
    for array in arrays.values():
        if array.dtype.kind == "f":
            array += rng.standard_t(2, size=array.shape).astype(array.dtype) * 0.01
        else:
            array += 30
    return arrays


def app_with(
    mods: list[Mod], learn: Callable[[Arrays, int, int], Arrays] = learn, reply: Callable[..., RecordDict] | None = None
) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        node = int(context.node_config["partition-id"])
        server_round = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
        arrays = learn(arrays_of(message.content.array_records["arrays"]), node, server_round)
        if reply is not None:
            return Message(reply(arrays), reply_to=message)
        metrics = MetricRecord({"num-examples": 10 + node, "loss": 0.5})
        return Message(RecordDict({"arrays": record_of(arrays), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        arrays = arrays_of(message.content.array_records["arrays"])
        metrics = MetricRecord({"num-examples": 1, "norm": float(np.linalg.norm(arrays["weight"]))})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def fedavg(nodes: int = 3, **options: Any) -> FedAvg:
    return FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes, **options)


@dataclass
class Run:
    result: Result
    grid: InProcessGrid
    models: list[Arrays]  # before each round, and after the last


def run(
    app: ClientApp,
    strategy: Strategy,
    rounds: int = 3,
    nodes: int = 3,
    fault: Fault | None = None,
    start: Callable[[], Arrays] = initial,
    **run_config: Any,
) -> Run:
    models: list[Arrays] = []
    with as_server():
        grid = InProcessGrid(app, nodes, run_config, fault)

        def remember(server_round: int, record: ArrayRecord) -> MetricRecord:
            models.append(arrays_of(record))
            return MetricRecord({"round": server_round})

        result = strategy.start(grid=grid, initial_arrays=record_of(start()), num_rounds=rounds, evaluate_fn=remember)
    return Run(result, grid, models)
