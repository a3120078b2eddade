"""The ClientApp: trains the workload's model on its part of the data. The mod is the only trace of compression."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from simulations.app import training
from simulations.app.datasets import Dataset, Examples, data_root, partition
from simulations.app.schemes import fading, scheme_of
from simulations.app.settings import Settings
from surp_fl import CompressUpdates
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.records import arrays_of as arrays_in
from surp_fl.flower.records import record_of

_LAST = "last-round"


def compress(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Be CompressUpdates, with the scheme that this run's config names."""
    settings = Settings.from_run_config(context.run_config)
    if not settings.fading or message.metadata.message_type != MessageType.TRAIN:
        return _mod(settings, scheme_of(settings.scheme))(message, context, call_next)
    last = context.state.config_records.get(_LAST, {"round": 0})["round"]  # in which this client took part
    scheme = fading(settings.scheme, lambda now: settings.keep_in(now, int(last)))  # type: ignore[arg-type]
    reply = _mod(settings, scheme)(message, context, call_next)
    if not reply.has_error():
        context.state[_LAST] = ConfigRecord({"round": _round_of(message)})
    return reply


def _mod(settings: Settings, scheme: Scheme | Callable[[int], Scheme]) -> CompressUpdates:
    found = CompressUpdates(scheme, seed=settings.seed, initial=_initial if settings.known_initial else None)
    found.evaluates(evaluate)
    return found


def _initial(context: Context) -> ArrayRecord:
    """The model that the server starts from: a function of the seed."""
    settings = Settings.from_run_config(context.run_config)
    torch.set_num_threads(1)
    return record_of(training.initial_arrays(settings.kind, settings.seed, data_root(settings.data_root)))


app = ClientApp(mods=[compress])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received model for the local steps."""
    settings = Settings.from_run_config(context.run_config)
    node = int(context.node_config["partition-id"])
    torch.set_num_threads(1)  # sums in one order, so that every engine gives the same model
    root = data_root(settings.data_root)
    dataset, members = _share_of(settings, root, node)
    model = training.model_with(settings.kind, arrays_in(message.content.array_records["arrays"]), root)
    server_round = _round_of(message)
    loss = training.train(
        settings.kind,
        model,
        dataset.train,
        members,
        settings.hyperparameters_in(server_round),
        steps=settings.local_steps,
        batch_size=settings.batch_size,
        max_grad_norm=settings.max_grad_norm,
        precision=settings.precision,
        rng=np.random.default_rng([settings.seed, server_round, node]),
    )
    metrics = MetricRecord({"num-examples": 1 if settings.equal_weights else len(members), "loss": loss})
    return Message(RecordDict({"arrays": record_of(training.arrays_of(model)), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test the received model on some examples of this client, which it trains with too."""
    settings = Settings.from_run_config(context.run_config)
    torch.set_num_threads(1)
    root = data_root(settings.data_root)
    dataset, members = _share_of(settings, root, int(context.node_config["partition-id"]))
    model = training.model_with(settings.kind, arrays_in(message.content.array_records["arrays"]), root)
    found = training.score(model, dataset.train, settings.precision, members[:500])
    metrics = MetricRecord({"num-examples": len(members[:500]), "accuracy": found.accuracy, "loss": found.loss})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _share_of(settings: Settings, root: Path, node: int) -> tuple[Dataset[Examples], NDArray[np.int64]]:
    """The dataset, and which of its training examples a client holds."""
    which = (settings.workload, settings.dataset, root, settings.held_out)
    return training.load(*which), _parts_of(which, settings.clients, settings.partition, settings.seed)[node]


@lru_cache(maxsize=4)
def _parts_of(which: tuple[str, str, Path, int], clients: int, how: str, seed: int) -> list[NDArray[np.int64]]:
    """The training examples of each client."""
    return partition(training.load(*which).train.groups, clients, how, seed)


def _round_of(message: Message) -> int:
    return int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
