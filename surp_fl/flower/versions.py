"""What differs between versions of Flower, and every name that Flower does not document.

Every version within pyproject.toml's range works; tests/compat/run.py tries them, and docs/compatibility.md has the
results. Other files import from flwr.app, flwr.clientapp, flwr.serverapp and flwr.serverapp.strategy alone. Does not
know what is inside a message.

| name | from | before |
| --- | --- | --- |
| `TaskIdentity` | 1.38, which constructs no Message without it | none: the Grid gives a Message its run and source |
| `Run` | 1.32: `flwr.supercore.run` | `flwr.common.typing` |
| `ConfigRecordValues` | 1.31: `flwr.app` | `flwr.common.typing` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

if TYPE_CHECKING:  # types are checked with the newest Flower
    from flwr.app import ConfigRecordValues
    from flwr.supercore.run import Run
    from flwr.supercore.task_identity import TaskIdentity
else:
    try:
        from flwr.app import ConfigRecordValues
    except ImportError:
        from flwr.common.typing import ConfigRecordValues
    try:
        from flwr.supercore.run import Run
    except ImportError:
        from flwr.common.typing import Run
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:
        TaskIdentity = None

__all__ = [
    "ConfigRecordValues",
    "ErrorCode",
    "Mod",
    "Run",
    "address",
    "aggregate_metricrecords",
    "error_in_place_of",
    "in_place_of",
    "server_identity",
    "through_bytes",
]

Mod = Callable[[Message, Context, Callable[[Message, Context], Message]], Message]  # 1.32 moves Flower's own alias


@contextmanager
def server_identity(run_id: int) -> Iterator[None]:
    """Within the context, this process is the server's task of a run: Flower 1.38 and later construct Messages in a
    task alone.

    Args:
        run_id: of the run.
    """
    if TaskIdentity is None:
        yield
        return
    before = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, run_id, SUPERLINK_NODE_ID
    try:
        yield
    finally:
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before


def address(message: Message, message_id: str, run_id: int = 1) -> None:
    """Give a message what Flower's grids and SuperLink give it on its way to a node.

    Args:
        message: of the server, to a node; its metadata are changed.
        message_id: by which the reply will name it.
        run_id: of the run.
    """
    message.metadata.__dict__.update(_message_id=message_id, _run_id=run_id, _src_node_id=SUPERLINK_NODE_ID)


def through_bytes(message: Message) -> Message:
    """Serialise and parse a message: an equal one that shares no object with it."""
    return message_from_proto(ProtoMessage.FromString(message_to_proto(message).SerializeToString()))


def error_in_place_of(reply: Message, error: Error) -> Message:
    """Make a reply with an error, and the metadata of another reply; `reply_to=` would make a reply to the reply."""
    return Message(error=error, metadata=reply.metadata)  # type: ignore[call-overload,no-any-return]


def in_place_of(reply: Message, content: RecordDict) -> Message:
    """Make a reply with other content, and the metadata of another reply."""
    return Message(content=content, metadata=reply.metadata)  # type: ignore[call-overload,no-any-return]
