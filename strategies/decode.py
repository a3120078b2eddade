"""The decoding wrapper: messages come in, the inner strategy sees ordinary replies.

It must be the outermost strategy. Knows Flower and the table of readers. Does not know clients' training.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from surp_fl.strategies.traffic import Traffic

from surp_fl.client import Scheme
from surp_fl.codecs import Reader, reader_of
from surp_fl.codecs.codec import Sparse
from surp_fl.context import Reference
from surp_fl.layout import Layout
from surp_fl.message import MalformedMessage
from surp_fl.record import (
    NAME,
    SESSION,
    arrays_of,
    count_bytes,
    error_reply,
    from_record,
    ordinary_reply,
    record_of,
)  # fmt: skip

log = logging.getLogger("flwr")


@dataclass(frozen=True)
class _Broadcast:
    """What a node was sent, and so what its message is to be added to."""

    layout: Layout
    vector: NDArray[np.float32]  # shape (n,)
    arrays_name: str
    bytes: int  # of array data

    @classmethod
    def of(cls, name: str, record: ArrayRecord) -> _Broadcast:
        arrays = arrays_of(record)
        layout = Layout.of(arrays)
        vector = layout.flatten(arrays)
        vector.flags.writeable = False
        return cls(layout, vector, name, sum(array.nbytes for array in arrays.values()))


class NoUsableReply(RuntimeError):  # noqa: N818  (the name says what is the matter)
    """A round had replies, and none of them could be used: the training diverged, or nothing fits together."""


class DecodeUpdates(Strategy):
    """Decodes the messages of `CompressUpdates` for any Flower strategy that averages arrays.

    Each usable reply becomes the reply that the client would have sent without compression: the model it was
    sent, plus its decoded update. A reply that cannot be used (damaged, of another scheme or model, not
    compressed) is logged and becomes an error reply, so that it costs itself and not the round. Replies are
    handed on in an order that depends on their contents alone, so that sums do not depend on who answered first.

    Args:
        strategy: the strategy to run inside.
        scheme: refuse messages of any other scheme; None decodes every scheme that this version knows.

    Attributes:
        traffic: bytes and times of every round so far.

    Raises, in `aggregate_train`:
        NoUsableReply: there were replies, and none of them could be used.
    """

    def __init__(self, strategy: Strategy, scheme: Scheme | None = None) -> None:
        self.strategy = strategy
        self.scheme = scheme
        self.traffic: list[Traffic] = []
        self._sent: dict[int, _Broadcast] = {}
        self._session = secrets.randbits(62)
        self._before: dict[int, list[_Broadcast]] = {}  # what each node may hold of earlier rounds, newest first
        self._dtypes: dict[str, np.dtype[Any]] = {}

    def summary(self) -> None:
        """Log the inner strategy's configuration."""
        log.info("\t├──> Updates are decoded by surp-fl (%s)", self.scheme or "any known scheme")
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the inner strategy does, and remember what each node is sent."""
        self._dtypes = self._dtypes or {name: array.numpy().dtype for name, array in arrays.items()}
        config[SESSION] = self._session
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        self.traffic.append(Traffic(server_round))
        broadcasts: dict[int, _Broadcast] = {}  # the messages of a round share their ArrayRecord
        for node, sent in self._sent.items():  # at most two: what was lost in between, the node may or may not hold
            self._before[node] = [sent, *self._before.get(node, [])[-1:]]
        self._sent = {}
        for message in messages:
            name, record = _model_in(message)
            if id(record) not in broadcasts:
                broadcasts[id(record)] = _Broadcast.of(name, record)
            broadcast = broadcasts[id(record)]
            self._sent[message.metadata.dst_node_id] = broadcast
            self.traffic[-1].payload_bytes_down.append(broadcast.bytes)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Decode, aggregate as the inner strategy does, and keep the model's dtypes."""
        received = sorted(replies, key=_by_content)
        decoded = [self._ordinary(reply) for reply in received]
        traffic = self.traffic[-1]
        traffic.failures = sum(reply.has_error() for reply in decoded)
        if decoded and traffic.failures == len(decoded):
            reasons = "; ".join(sorted({str(reply.error.reason)[-500:] for reply in decoded}))
            raise NoUsableReply(f"round {server_round}: none of the {len(decoded)} replies could be used: {reasons}")
        arrays, metrics = self.strategy.aggregate_train(server_round, decoded)
        if arrays is not None:
            arrays = self._with_first_dtypes(arrays)
        if metrics is not None:
            traffic.add_to(metrics)
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the inner strategy does, and count what is sent."""
        messages = list(self.strategy.configure_evaluate(server_round, arrays, config, grid))
        counted: dict[int, int] = {}
        for message in messages:
            for record in message.content.array_records.values():
                if id(record) not in counted:
                    counted[id(record)] = sum(array.nbytes for array in arrays_of(record).values())
                self.traffic[-1].payload_bytes_down.append(counted[id(record)])
        return messages

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Aggregate as the inner strategy does."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def _ordinary(self, reply: Message) -> Message:
        if reply.has_error():
            return reply
        node = reply.metadata.src_node_id
        try:
            self._decode(reply)
        except MalformedMessage as fault:
            log.warning("surp-fl: the reply of node %d is left out of this round: %s", node, fault)
            return error_reply(reply, f"surp-fl: {fault}")
        return reply

    def _decode(self, reply: Message) -> None:
        node = reply.metadata.src_node_id
        if node not in self._sent:
            raise MalformedMessage("this node was sent nothing in this round, so there is nothing to add its update to")
        broadcast = self._sent[node]
        record = reply.content.config_records.get(NAME)
        if record is None:
            raise MalformedMessage(
                f"the reply holds {sorted(reply.content)} and no '{NAME}' record: the client does not compress; "
                "give its app ClientApp(mods=[CompressUpdates(...)]), as the first mod"
            )
        update = from_record(record, broadcast.layout)
        reader = self.scheme.codec.reader if self.scheme is not None else reader_of(update.message)
        began = time.perf_counter()
        indices, values = self._decode_sparse(reader, update.message, node)
        vector = broadcast.vector.copy()
        vector[indices] += values
        arrays = broadcast.layout.unflatten(vector, update.exact)
        seconds = time.perf_counter() - began

        traffic = self.traffic[-1]
        traffic.payload_bytes_up.append(len(update.message))
        traffic.coordinates_up.append(len(indices))
        traffic.record_bytes_up.append(count_bytes(reply.content))
        traffic.encode_seconds.append(update.stats.encode_seconds)
        traffic.decode_seconds.append(seconds)
        traffic.relative_error.append(update.stats.relative_error)
        traffic.residual_norm.append(update.stats.residual_norm)
        reply.content = ordinary_reply(update, arrays, broadcast.arrays_name, reply.content)

    def _decode_sparse(self, reader: Reader, message: bytes, node: int) -> Sparse:
        """Decode against what the node may have held: it keeps the model of the last round in which it made a message.

        Usually that is the last round whose message came; where a message was lost, it is the last round sent.
        """
        broadcast = self._sent[node]
        held: list[Reference] = [
            (broadcast.vector, before.vector)
            for before in self._before.get(node, [])
            if before.layout.fingerprint == broadcast.layout.fingerprint
        ]
        faults = []
        for reference in held or [broadcast.vector]:
            try:
                decoded = reader.decode_sparse(message, broadcast.layout, reference=reference)
            except MalformedMessage as fault:
                faults.append(fault)
            else:
                self._before[node] = []  # what is sent in this round comes in front when the next is configured
                return decoded
        raise faults[0]

    def _with_first_dtypes(self, arrays: ArrayRecord) -> ArrayRecord:
        """Undo the drift of dtypes: averaging makes counters floats, adaptive strategies make float32 float64."""
        found = arrays_of(arrays)
        if all(array.dtype == self._dtypes.get(name, array.dtype) for name, array in found.items()):
            return arrays
        for name, array in found.items():
            dtype = self._dtypes.get(name, array.dtype)
            found[name] = (np.rint(array) if dtype.kind in "iub" else array).astype(dtype)
        return record_of(found)


def _model_in(message: Message) -> tuple[str, ArrayRecord]:
    records = message.content.array_records
    if len(records) != 1:
        raise ValueError(
            f"the inner strategy sends {len(records)} ArrayRecords ({sorted(records)}); DecodeUpdates needs one, the "
            "model: send other arrays outside of train messages"
        )
    return next(iter(records.items()))


def _by_content(reply: Message) -> tuple[bytes, int]:
    """Sort key: the message where there is one; else the node."""
    record = reply.content.config_records.get(NAME) if reply.has_content() else None
    message = record.get(NAME) if record is not None else None
    return (message if isinstance(message, bytes) else b"", reply.metadata.src_node_id)
