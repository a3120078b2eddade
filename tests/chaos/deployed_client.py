"""The ClientApp of the deployment: it trains a tiny model, fails now and then, and notes what it says."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from surp_fl import CompressUpdates, ErrorFeedback, SuRP
from surp_fl.flower import client_mod
from surp_fl.flower.protocol import APPLIED, NAME, ROUND, SESSION
from surp_fl.flower.records import arrays_of, record_of
from tests.chaos.client_memory import stored
from tests.chaos.journal import Entry, write
from tests.chaos.models import Vector, learn, trained

SCHEME = SuRP(budget=50, memory=ErrorFeedback())
TROUBLES = {"nothing": 88, "app raises": 4, "disk full": 4, "killed before training": 2, "killed before it saved": 2}
_TURN = "turn"
_delta: list[Vector] = []  # of the training in this process
_raises: list[bool] = []


def noted(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Be CompressUpdates, meet with a trouble, and write down the message that was made."""
    told: dict[str, Any] = {
        key: value for each in message.content.config_records.values() for key, value in each.items()
    }
    client = int(context.node_config["partition-id"])
    what = _trouble(client, told, context) if message.metadata.message_type == "train" else "nothing"
    before = int(context.state.config_records.get(_TURN, ConfigRecord({_TURN: 0}))[_TURN])  # type: ignore[arg-type]
    if what == "killed before training":
        os.kill(os.getpid(), signal.SIGKILL)
    _raises[:] = [what == "app raises"]
    compress = CompressUpdates(SCHEME)
    if what == "disk full":
        full = mock.Mock(side_effect=OSError(28, "No space left on device"))
        with mock.patch.object(client_mod, "save", full):
            return compress(message, context, call_next)
    reply = compress(message, context, call_next)
    if reply.has_content() and NAME in reply.content.config_records.get(NAME, ConfigRecord()):
        if what == "killed before it saved":
            os.kill(os.getpid(), signal.SIGKILL)
        residual, _, sent = stored(context, _delta[-1].size)
        entry = Entry(
            client, context.node_id, told[SESSION], told[ROUND], told[APPLIED], before, time.time_ns(), _delta[-1],
            residual, sent,
        )  # fmt: skip
        context.state[_TURN] = ConfigRecord({_TURN: entry.turn})
        write(Path(str(context.run_config["journal"])), f"said-{entry.turn}-{client}", entry)
    return reply


def _trouble(client: int, told: dict[str, Any], context: Context) -> str:
    draw = random.Random(f"{context.run_config['seed']} {client} {context.run_config['begin']} {told[ROUND]}")
    calm = told[ROUND] == 1 or not context.run_config["troubles"]  # a server ends if its first round has no reply
    return "nothing" if calm else draw.choices(list(TROUBLES), list(TROUBLES.values()))[0]


app = ClientApp(mods=[noted])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train for a moment."""
    if any(_raises):
        raise RuntimeError("out of battery")
    arrays = arrays_of(message.content.array_records["arrays"])
    client, before = int(context.node_config["partition-id"]), trained(arrays)
    turn = 1000 * int(context.run_config["begin"]) + int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
    after = learn(arrays, client, turn)
    _delta.append(trained(after) - before)
    metrics = MetricRecord({"num-examples": 10 + client})
    return Message(RecordDict({"arrays": record_of(after), "metrics": metrics}), reply_to=message)
