"""A convolutional network with batch normalization in a Flower app: its running statistics travel with its weights.

scikit-learn's 8x8 digits, five clients that hold like shares of them. The arrays are torch's state_dict, or the same
arrays under the names that Keras and flax give them, or under none that tell anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from simulations.app.training import batches
from surp_fl import CompressUpdates
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.strategies import DecodeUpdates
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import fedavg

Arrays = dict[str, NDArray[Any]]
Naming = Mapping[str, str]  # the name in torch's state_dict -> the name that is sent; other arrays are not sent

CLIENTS = 5
TEST = 360  # digits that nobody trains on
BATCH, LEARNING_RATE, MOMENTUM = 32, 0.05, 0.9


def network() -> nn.Sequential:
    """56,394 weights and 192 running statistics, in two layers of batch normalization."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)),
    ).to(memory_format=torch.channels_last)  # which takes a fifth less time


def _renamed(layers: Mapping[str, str], parts: Mapping[str, str], statistics: Mapping[str, str]) -> Naming:
    """Names as layer/part; `statistics` are those of the two running statistics, with the place of {layer}."""
    names: dict[str, str] = {}
    for key in network().state_dict():
        layer, part = key.split(".")
        if part.startswith("running"):
            names[key] = statistics[part].format(layer=layers[layer])
        elif part != "num_batches_tracked":  # neither Keras nor flax counts them
            normalizes = layer in ("1", "5")
            names[key] = f"{layers[layer]}/{parts['scale' if normalizes and part == 'weight' else part]}"
    return names


TORCH: Naming = {key: key for key in network().state_dict()}
KERAS = _renamed(
    {"0": "conv2d", "1": "batch_normalization", "4": "conv2d_1", "5": "batch_normalization_1", "9": "dense"}
    | {"11": "dense_1"},
    {"weight": "kernel", "bias": "bias", "scale": "gamma"},
    {"running_mean": "{layer}/moving_mean", "running_var": "{layer}/moving_variance"},
)
FLAX = _renamed(
    {"0": "Conv_0", "1": "BatchNorm_0", "4": "Conv_1", "5": "BatchNorm_1", "9": "Dense_0", "11": "Dense_1"},
    {"weight": "kernel", "bias": "bias", "scale": "scale"},
    {"running_mean": "batch_stats/{layer}/mean", "running_var": "batch_stats/{layer}/var"},
)
NUMBERS: Naming = {key: str(place) for place, key in enumerate(TORCH)}


@dataclass
class Case:
    """What a run gave.

    Attributes:
        accuracy: of the test digits, in evaluation mode; before the first round, and after each.
        finite: whether every output of the last model for them is a number.
        least_on_server: the least running variance of the model before the first round, and after each.
        least_on_clients: the least of each round, of what clients were given and of what they trained.
        bytes: by round and partition: all that a reply says of the model, the message and everything beside it.
        failures: replies that could not be used, by round.
        models: before the first round, and after each; under torch's names.
    """

    accuracy: list[float] = field(default_factory=list)
    finite: bool = True
    least_on_server: list[float] = field(default_factory=list)
    least_on_clients: list[float] = field(default_factory=list)
    bytes: list[dict[int, int]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    models: list[Arrays] = field(default_factory=list)

    @property
    def first_negative(self) -> int | None:
        """The first round with a running variance that is negative, or no number; None for none."""
        worst = zip([*self.least_on_clients, 0.0], [*self.least_on_server[1:], 0.0], strict=False)
        return next((place for place, pair in enumerate(worst, 1) if not min(pair) >= 0 or np.isnan(pair).any()), None)


@cache
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images of shape (1797, 1, 8, 8) in an order of their own; the last `TEST` are for testing."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return (images[order].reshape(-1, 1, 8, 8) / 16 - 0.3).astype(np.float32), labels[order].astype(np.int64)


def run_case(
    scheme: Scheme | None,
    rounds: int = 20,
    downlink: Scheme | None = None,
    seed: int = 0,
    *,
    steps: int = 20,
    naming: Naming = TORCH,
    inner: Callable[[], Strategy] = lambda: fedavg(CLIENTS, fraction_evaluate=0.0),
    mod: Mapping[str, Any] | None = None,
    strategy: Mapping[str, Any] | None = None,
) -> Case:
    """Train over the in-process grid; the same arguments give the same numbers.

    Args:
        scheme: of the messages; None trains without compression, and with nothing around the strategy.
        rounds: how many.
        downlink: of the changes that go down; None sends models.
        seed: of the first model and of the batches.
        steps: of each client in a round.
        naming: of the arrays that travel.
        inner: makes the strategy.
        mod: further arguments of `CompressUpdates`.
        strategy: further arguments of `DecodeUpdates`.
    """
    with _repeatable(seed):
        model = network()
        case = Case()
        mods = [] if scheme is None else [CompressUpdates(scheme, **(mod or {}))]
        app = _app(model, case, seed, steps, naming, mods)
        outer = inner() if scheme is None else DecodeUpdates(inner(), downlink=downlink, **(strategy or {}))

        def test(server_round: int, record: ArrayRecord) -> MetricRecord:
            found = _take(model, arrays_of(record), naming)
            case.models.append(found)
            case.least_on_server.append(_least(found))
            outputs = _outputs(model)
            case.finite = bool(np.isfinite(outputs).all())
            case.accuracy.append(float((outputs.argmax(1) == digits()[1][-TEST:]).mean()))
            return MetricRecord({"accuracy": case.accuracy[-1]})

        def weigh(reply: Message) -> Message:
            if reply.has_content() and reply.metadata.message_type == "train":
                case.bytes[-1][reply.metadata.src_node_id - 1] = _model_bytes(reply.content)
            return reply

        with as_server():
            initial = _give(model, naming)
            grid = InProcessGrid(app, CLIENTS, fault=weigh)
            outer.start(grid=grid, initial_arrays=record_of(initial), num_rounds=rounds, evaluate_fn=test)
        case.failures = [traffic.failures for traffic in outer.traffic] if isinstance(outer, DecodeUpdates) else []
    return case


def _app(model: nn.Module, case: Case, seed: int, steps: int, naming: Naming, mods: list[Any]) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        partition = int(context.node_config["partition-id"])
        server_round = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
        received = _take(model, arrays_of(message.content.array_records["arrays"]), naming)
        members = np.arange(len(digits()[1]) - TEST)[partition::CLIENTS]
        loss = _learn(model, members, steps, np.random.default_rng([seed, server_round, partition]))
        trained = _give(model, naming)
        if len(case.bytes) < server_round:
            case.bytes.append({})
            case.least_on_clients.append(np.inf)
        seen = [case.least_on_clients[-1], _least(received), _least({key: trained[naming[key]] for key in naming})]
        case.least_on_clients[-1] = float(np.min(seen))
        metrics = MetricRecord({"num-examples": len(members), "loss": loss})
        return Message(RecordDict({"arrays": record_of(trained), "metrics": metrics}), reply_to=message)

    return app


def _learn(model: nn.Module, members: NDArray[np.int64], steps: int, rng: np.random.Generator) -> float:
    images, labels = map(torch.from_numpy, digits())
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    model.train()
    for batch in batches(members, BATCH, steps, rng):
        optimizer.zero_grad()
        loss = cross_entropy(model(images[batch]), labels[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def _outputs(model: nn.Module) -> NDArray[np.float32]:
    model.eval()
    found: NDArray[np.float32] = model(torch.from_numpy(digits()[0][-TEST:])).numpy()
    return found


def _give(model: nn.Module, naming: Naming) -> Arrays:
    state = model.state_dict()
    return {travels: state[key].numpy().copy() for key, travels in naming.items()}


def _take(model: nn.Module, arrays: Arrays, naming: Naming) -> Arrays:
    """Load arrays that travelled, and give them under torch's names."""
    found = {key: arrays[travels] for key, travels in naming.items()}
    model.load_state_dict({key: torch.from_numpy(np.array(array)) for key, array in found.items()}, strict=False)
    return found


def _least(arrays: Arrays) -> float:
    """The least running variance; no number where one of them is none."""
    return float(np.min([array.min() for key, array in arrays.items() if key.endswith("running_var")]))


def _model_bytes(content: RecordDict) -> int:
    """Bytes that a reply has for the model: all values that are bytes, but for what the client measured; and arrays."""
    ours = content.config_records.get(NAME, ConfigRecord())
    values = sum(len(value) for key, value in ours.items() if isinstance(value, bytes) and key != f"{NAME}:stats")
    return values + sum(array.numpy().nbytes for record in content.array_records.values() for array in record.values())


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """One thread and seeded generators, torch's and the one with which Flower orders clients; then as it was."""
    threads, state = torch.get_num_threads(), random.getstate()
    random.seed(seed)
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(state)
