"""A Flower Grid inside this process: real Messages, really serialised, and no Ray.

Each node is a Context of its own; messages and replies are serialised and parsed again, so that no object is shared by
accident. Flower's undocumented names come from `surp_fl/flower/versions.py`.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from surp_fl.flower.versions import ErrorCode, Run, address, server_identity, through_bytes

RunConfig = dict[str, str | int | float | bool]
Fault = Callable[[Message], Message | None]  # a reply → the reply that arrives; None: it is lost


class InProcessGrid(Grid):
    """Nodes that run a ClientApp in this process, one after the other.

    Args:
        app: that every node runs.
        nodes: number of nodes; their ids are 1 to `nodes`, their partition ids 0 to `nodes` − 1.
        run_config: that every node's Context has.
        fault: is applied to every reply before it arrives, to simulate a faulty network; None for a network without.

    Attributes:
        contexts: by node id; `contexts[1].state` is what node 1 stores between rounds.

    Use it within `as_server()`:

        with as_server():
            strategy.start(grid=InProcessGrid(app, nodes=3), initial_arrays=arrays, num_rounds=2)
    """

    def __init__(self, app: ClientApp, nodes: int, run_config: RunConfig | None = None, fault: Fault | None = None):
        self._run = Run.create_empty(run_id=1)
        self._app = app
        self._fault = fault
        self._replies: dict[str, Message] = {}
        self._lock = threading.Lock()  # legacy servers push the messages of a round in threads
        self.contexts = {
            node: Context(
                run_id=1,
                node_id=node,
                node_config={"partition-id": node - 1, "num-partitions": nodes},
                state=RecordDict(),
                run_config=dict(run_config or {}),
            )
            for node in range(1, nodes + 1)
        }

    @property
    def run(self) -> Run:
        """The run: number 1."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Set the run."""
        self._run = run

    def get_node_ids(self) -> list[int]:
        """The ids of all nodes, from 1."""
        return list(self.contexts)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Make a message to a node; arguments are those of Flower's `Grid.create_message`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Let each node handle its message; give the ids by which `pull_messages` finds the replies."""
        pushed = []
        for message in messages:
            address(message, uuid4().hex, self._run.run_id)
            pushed.append(message.metadata.message_id)
            with self._lock:
                reply = self._handle(through_bytes(message))
            if self._fault is not None and (faulty := self._fault(reply)) is not reply:
                if faulty is None:
                    continue
                reply = faulty
            self._replies[message.metadata.message_id] = through_bytes(reply)
        return pushed

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Give the replies to messages of these ids, once; lost ones are missing."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Push the messages, and pull their replies; `timeout` is not used."""
        return self.pull_messages(self.push_messages(messages))

    def _handle(self, message: Message) -> Message:
        context = self.contexts[message.metadata.dst_node_id]
        try:
            return self._app(message, context)
        except Exception as fault:
            reason = f"{type(fault).__name__}: {fault}\n{traceback.format_exc()}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


@contextmanager
def as_server() -> Iterator[None]:
    """Within the context, this process is the server task of run 1: Flower needs one to construct a Message."""
    with server_identity(run_id=1):
        yield
