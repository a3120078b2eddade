"""An in-process grid of Flower's in which messages, replies and states meet with troubles, and what arrives is known.

Replies that come late are kept as Flower keeps them: under the id of their message, for which nobody asks any more.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from surp_fl.flower import client_mod
from surp_fl.flower.client_state import save as save_state
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import arrays_of, record_of
from surp_fl.flower.versions import Mod, address, through_bytes
from surp_fl.testing import InProcessGrid
from tests.chaos.client_memory import stored
from tests.chaos.clock import Clock
from tests.chaos.ledger import Ledger, Said, State, Told
from tests.chaos.models import Arrays, Vector, learn, trained
from tests.chaos.troubles import NOTHING, Troubles

_STATES = 6  # older states of a client that it may restart with


class ServerKilled(Exception):  # noqa: N818
    """The server's process ends here."""


@dataclass
class Client:
    """A client: its number stays, its node id may change.

    Attributes:
        states: older ones, and what the ledger knows of each.
        paused: messages that it has received, and not handled yet.
    """

    number: int
    node: int
    states: list[tuple[RecordDict, State | None]] = field(default_factory=list)
    paused: list[Message] = field(default_factory=list)


@dataclass(frozen=True)
class Arrived:
    """A usable reply: what was said, its weight, and the arrays that are not trained."""

    said: Said
    weight: float
    trained: Arrays


class ChaosGrid(InProcessGrid):
    """Clients 0, 1, …, each with a context of its own.

    Args:
        mods: of the ClientApp.
        clients: how many.
        troubles: what goes wrong.
        ledger: is told of every message that is made.
        clock: that jumps.

    Attributes:
        arrived: the replies of this round that a server has to use.
        received: by round, the models that apps were given, as bytes.
        evaluated: the same for evaluation.
    """

    def __init__(self, mods: list[Mod], clients: int, troubles: Troubles, ledger: Ledger, clock: Clock) -> None:
        super().__init__(self._make_app(mods), clients)
        self._troubles, self._ledger, self._clock = troubles, ledger, clock
        self.clients = {node: Client(node - 1, node) for node in self.contexts}
        self.away: list[tuple[Client, Context]] = []
        self.arrived: list[Arrived] = []
        self.received: dict[int, set[bytes]] = {}
        self.server_round = 0  # begun so far, those that a killed server did not end among them
        self.kill = NOTHING
        self._told: dict[str, Told] = {}  # by id of the message
        self._trainings = 0
        self._messages = 0
        self._nodes = clients
        self._app_raises = False
        self._trained: tuple[Vector, Arrays] = (np.zeros(0), {})  # delta and arrays of the last training

    def _make_app(self, mods: list[Mod]) -> ClientApp:
        app = ClientApp(mods=mods)

        @app.train()
        def train(message: Message, context: Context) -> Message:
            if self._app_raises:
                raise RuntimeError("out of battery")
            arrays = self._given(message)
            client = int(context.node_config["partition-id"])
            before = trained(arrays)
            self._trainings += 1
            after = learn(arrays, client, self._trainings)
            self._trained = trained(after) - before, after
            content = {"arrays": record_of(after), "metrics": MetricRecord({"num-examples": 10 + client, "loss": 0.5})}
            return Message(RecordDict(content), reply_to=message)  # type: ignore[arg-type]

        @app.evaluate()
        def evaluate(message: Message, context: Context) -> Message:
            if self._app_raises:
                raise RuntimeError("out of battery")
            metrics = MetricRecord({"num-examples": 1, "norm": float(np.linalg.norm(trained(self._given(message))))})
            return Message(RecordDict({"metrics": metrics}), reply_to=message)

        return app

    def _given(self, message: Message) -> Arrays:
        """The arrays that an app is given; noted under the round in which they were sent."""
        arrays = arrays_of(message.content.array_records["arrays"])
        if message.metadata.message_type == "train":
            whole = b"".join(array.tobytes() for array in arrays.values())
            self.received.setdefault(self._told[message.metadata.message_id].server_round, set()).add(whole)
        return arrays

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Bring messages to their clients, and give the replies that arrive, in any order."""
        found, replies = list(messages), []
        training = any(message.metadata.message_type == "train" for message in found)
        if training and self.kill == "killed before it sends":
            raise ServerKilled(self.kill)
        for message in found:
            self._messages += 1
            address(message, f"message {self._messages}", self.run.run_id)
            node = message.metadata.dst_node_id
            self._told[message.metadata.message_id] = self._ledger.told(node, self.server_round)
            replies += self._deliver(self.clients[node], through_bytes(message))
        if training and self.kill == "killed with replies":
            raise ServerKilled(self.kill)
        self._troubles.random.shuffle(replies)
        return [through_bytes(reply) for reply in replies]

    def _deliver(self, client: Client, message: Message) -> list[Message]:
        """Let a client handle a message; give the replies that arrive in time."""
        evaluation = message.metadata.message_type != "train"
        what = self._troubles.of_message(client.number, evaluation)
        if what == "killed before training":
            return []
        if what == "paused":
            client.paused.append(message)
            return []
        for waiting in client.paused:
            self._handled(client, waiting, NOTHING)
        client.paused = []
        reply, said = self._handled(client, message, what)
        if reply.metadata.ttl <= 0 or what in ("reply lost", "late", "killed before it saved"):
            return []  # Flower refuses a reply whose time is over
        if said is not None:
            record = reply.content.config_records[NAME]
            if what in ("damaged", "cut"):
                record[NAME] = self._damaged(record, what)
            else:
                weight = float(record["num-examples"])  # type: ignore[arg-type]
                self.arrived.append(Arrived(said, weight, self._trained[1]))
        return [reply, copy.deepcopy(reply)] if what == "twice" else [reply]

    def _damaged(self, record: ConfigRecord, what: str) -> bytes:
        message, place = record[NAME], self._troubles.random.random()
        assert isinstance(message, bytes)
        at = int(place * len(message))
        if what == "cut":
            return message[: max(at, 1)]
        return message[:at] + bytes([message[at] ^ 1 << self._troubles.random.randrange(8)]) + message[at + 1 :]

    def _handled(self, client: Client, message: Message, what: str) -> tuple[Message, Said | None]:
        """A client handles a message; gives its reply, and what it said if that is an update."""
        context = self.contexts[client.node]
        before, known = copy.deepcopy(context.state), self._ledger.account(client.number).state
        self._app_raises = what == "app raises"
        save: Any = mock.Mock(side_effect=OSError(28, "No space left on device")) if what == "disk full" else save_state
        with mock.patch.object(client_mod, "save", save):
            if what == "clock jumps":
                self._clock.jump(self._troubles.jump())
            reply = self._handle(message)
        record = reply.content.config_records.get(NAME, ConfigRecord()) if reply.has_content() else ConfigRecord()
        saved = what not in ("killed before it saved", "state not saved")
        said = None
        if NAME in record:
            told = self._told[message.metadata.message_id]
            after = stored(context, self._trained[0].size)
            said = self._ledger.made(client.number, client.node, told, self._trained[0], after, saved)
        if not saved:
            context.state = copy.deepcopy(before)
        client.states = [*client.states, (before, known)][-_STATES:]
        return reply, said

    def between_rounds(self) -> None:
        """A client restarts, leaves or joins; or the server's clock jumps."""
        client = self._troubles.random.choice(list(self.clients.values()))
        what = self._troubles.between(client.number)
        if what == "clock jumps":
            self._clock.jump(self._troubles.jump())
        elif what == "state lost":
            self._restart(client, client.node, RecordDict(), None)
        elif what == "older state" and client.states:
            self._restart(client, client.node, *self._troubles.random.choice(client.states))
        elif what == "another node without a state":
            self._restart(client, self._new_node(), RecordDict(), None)
        elif what == "another node with its state":
            state = self._ledger.account(client.number).state
            self._restart(client, self._new_node(), self.contexts[client.node].state, state)
        elif what == "leaves" and len(self.clients) > 4:
            self.away.append((self.clients.pop(client.node), self.contexts.pop(client.node)))
        elif what == "joins" and self.away:
            back, context = self.away.pop(0)
            self.clients[back.node], self.contexts[back.node] = back, context

    def nodes(self) -> dict[int, int]:
        """The node id of every client, by its number."""
        everyone = [*self.clients.values(), *(client for client, _ in self.away)]
        return {client.number: client.node for client in everyone}

    def _new_node(self) -> int:
        self._nodes += 1
        return self._nodes

    def _restart(self, client: Client, node: int, state: RecordDict, known: State | None) -> None:
        before = self.contexts.pop(client.node)
        del self.clients[client.node]
        self._ledger.replace_state(client.number, client.node, known, node)
        client.node, client.paused = node, []
        self.contexts[node] = Context(before.run_id, node, before.node_config, copy.deepcopy(state), before.run_config)
        self.clients[node] = client
