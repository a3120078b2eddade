"""A tiny legacy app, with `NumPyClient` and `server_fn`, and a way to run it over the in-process grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Context, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.common import Parameters, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import History, Server, ServerAppComponents, ServerConfig, SimpleClientManager
from flwr.server.strategy import FedAvg, Strategy
from flwr.serverapp import ServerApp
from numpy.typing import NDArray

from surp_fl.testing import Fault, InProcessGrid, as_server

Model = list[NDArray[Any]]
Learn = Callable[[Model, int, int], Model]


def initial() -> Model:
    """Weights, biases, a float64 array, and a batch normalization's mean, variance and counter."""
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=(30, 20)).astype(np.float32),
        rng.normal(size=20).astype(np.float32),
        rng.normal(size=5),
        np.zeros(20, np.float32),
        np.ones(20, np.float32),
        np.array(0, np.int64),
    ]


def learn(model: Model, node: int, server_round: int) -> Model:
    """A heavy-tailed change that depends on node and round, made in place as training does."""
    rng = np.random.default_rng([node, server_round])
    for array in model:
        if array.dtype.kind == "f":
            array += rng.standard_t(2, size=array.shape).astype(array.dtype) * 0.01
        else:
            array += 30
    return model


def in_64ths(model: Model, node: int, server_round: int) -> Model:
    """A change by multiples of 1/64, so that all sums and differences are exact."""
    rng = np.random.default_rng([node, server_round])
    for array in model:
        if array.dtype.kind == "f":
            array += (rng.integers(-8, 9, size=array.shape) / 64).astype(array.dtype)
    return model


def start_in_64ths() -> Model:
    return [
        (np.round(array * 64) / 64).astype(array.dtype) if array.dtype.kind == "f" else array for array in initial()
    ]


class Client(NumPyClient):
    """Trains by `learn`, and notes the configs that it is given."""

    def __init__(self, node: int, learn: Learn, configs: list[dict[str, Any]], examples: int) -> None:
        self.node, self.learn, self.configs, self.examples = node, learn, configs, examples

    def get_parameters(self, config: dict[str, Any]) -> Model:
        return initial()

    def fit(self, parameters: Model, config: dict[str, Any]) -> tuple[Model, int, dict[str, Any]]:
        self.configs.append(dict(config))
        model = self.learn([array.copy() for array in parameters], self.node, config["round"])
        return model, self.examples, {"loss": 0.5 + self.node, "name": f"client {self.node}"}

    def evaluate(self, parameters: Model, config: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
        self.configs.append(dict(config))
        return float(np.linalg.norm(parameters[0])), 10 + self.node, {"node": self.node}


@dataclass
class LegacyApp:
    """The app's ClientApp, and the configs that its clients were given."""

    mods: list[Any]
    learn: Learn = learn
    examples: Callable[[int], int] = lambda node: 10 + node
    configs: list[dict[str, Any]] = field(default_factory=list)

    def client_app(self) -> ClientApp:
        def client_fn(context: Context) -> Any:
            node = int(context.node_config["partition-id"])
            return Client(node, self.learn, self.configs, self.examples(node)).to_client()

        return ClientApp(client_fn=client_fn, mods=self.mods)


def options(nodes: int = 4, **others: Any) -> dict[str, Any]:
    """Options of a strategy in which all nodes take part."""
    return {
        "min_fit_clients": nodes,
        "min_evaluate_clients": nodes,
        "min_available_clients": nodes,
        "on_fit_config_fn": lambda server_round: {"round": server_round},
        "initial_parameters": ndarrays_to_parameters(initial()),
        **others,
    }


class Keeping(FedAvg):
    """FedAvg that keeps each model that it evaluates; its `aggregate_fit` is FedAvg's."""

    def __init__(self, **others: Any) -> None:
        super().__init__(**options(**others))
        self.models: list[Model] = []

    def evaluate(self, server_round: int, parameters: Parameters) -> None:
        self.models.append(parameters_to_ndarrays(parameters))


class RecordingServer(Server):
    """Flower's server, which keeps its History."""

    history = History()

    def fit(self, num_rounds: int, timeout: float | None) -> tuple[History, float]:
        self.history, elapsed = super().fit(num_rounds, timeout)
        return self.history, elapsed


@dataclass
class Run:
    history: History
    grid: InProcessGrid
    model: Model


def run(
    app: ClientApp,
    strategy: Strategy,
    rounds: int = 3,
    nodes: int = 4,
    fault: Fault | None = None,
    grid: InProcessGrid | None = None,
) -> Run:
    """Run an app through `ServerApp(server_fn=...)` in this process."""
    server = RecordingServer(client_manager=SimpleClientManager(), strategy=strategy)

    def server_fn(context: Context) -> ServerAppComponents:
        return ServerAppComponents(server=server, config=ServerConfig(num_rounds=rounds))

    with as_server():
        grid = grid or InProcessGrid(app, nodes, fault=fault)
        ServerApp(server_fn=server_fn)(grid, Context(1, 1, {}, RecordDict(), {}))
    return Run(server.history, grid, parameters_to_ndarrays(server.parameters))
