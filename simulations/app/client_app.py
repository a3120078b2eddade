"""The ClientApp: trains LeNet-5 on its part of the images. The mod is the only trace of compression."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from simulations.app import data, training
from simulations.app.models import arrays_of, model_with
from simulations.app.schemes import fading, scheme_of
from simulations.app.settings import Settings
from surp_fl import CompressUpdates
from surp_fl.flower.records import arrays_of as arrays_in
from surp_fl.flower.records import record_of

_LAST = "last-round"


def compress(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Be CompressUpdates, with the scheme that this run's config names."""
    settings = Settings.from_run_config(context.run_config)
    if not settings.fading or message.metadata.message_type != MessageType.TRAIN:
        return CompressUpdates(scheme_of(settings.scheme), seed=settings.seed)(message, context, call_next)
    last = context.state.config_records.get(_LAST, {"round": 0})["round"]  # in which this client took part
    scheme = fading(settings.scheme, lambda now: settings.keep_in(now, int(last)))  # type: ignore[arg-type]
    reply = CompressUpdates(scheme, seed=settings.seed)(message, context, call_next)
    if not reply.has_error():
        context.state[_LAST] = ConfigRecord({"round": _round_of(message)})
    return reply


app = ClientApp(mods=[compress])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received model for the local steps."""
    settings = Settings.from_run_config(context.run_config)
    node = int(context.node_config["partition-id"])
    torch.set_num_threads(1)  # sums in one order, so that every engine gives the same model
    dataset = data.load(settings.dataset, data.data_root(settings.data_root), settings.held_out)
    members = data.partition(dataset.train.labels, settings.clients, settings.partition, settings.seed)[node]
    model = model_with(arrays_in(message.content.array_records["arrays"]), training.device())
    server_round = _round_of(message)
    loss = training.train(
        model,
        dataset,
        members,
        steps=settings.local_steps,
        batch_size=settings.batch_size,
        learning_rate=settings.rate_in(server_round),
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        clipping=settings.clipping,
        precision=settings.precision,
        rng=np.random.default_rng([settings.seed, server_round, node]),
    )
    metrics = MetricRecord({"num-examples": len(members), "loss": loss})
    return Message(RecordDict({"arrays": record_of(arrays_of(model)), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test the received model on some images of this client, which it trains with too."""
    settings = Settings.from_run_config(context.run_config)
    torch.set_num_threads(1)
    dataset = data.load(settings.dataset, data.data_root(settings.data_root), settings.held_out)
    node = int(context.node_config["partition-id"])
    members = data.partition(dataset.train.labels, settings.clients, settings.partition, settings.seed)[node][:500]
    model = model_with(arrays_in(message.content.array_records["arrays"]), training.device())
    share = training.accuracy(model, dataset, settings.precision, members)
    metrics = MetricRecord({"num-examples": len(members), "accuracy": share})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _round_of(message: Message) -> int:
    return int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
