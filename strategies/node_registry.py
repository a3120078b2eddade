"""What the server knows of each node: the model that it was sent, earlier ones that it may hold, what was applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from flwr.app import ArrayRecord, Message, Metadata
from numpy.typing import NDArray

from surp_fl.flower.records import arrays_of
from surp_fl.immutable import immutable
from surp_fl.layout import Layout
from surp_fl.statistics import Kinds
from surp_fl.types import Arrays, Reference

_MAX_UNCONFIRMED = 8  # snapshots of one node that are retained while none of its messages can be decoded
_MOST_EARLIER = 1 << 16  # messages of earlier rounds by which late replies are known


@dataclass(frozen=True, eq=False)
class ModelSnapshot:
    """The trained arrays of one round's model, as nodes hold them.

    Attributes:
        session_round: the round in which they were sent.
        fingerprint: of its untied layout.
        vector: in that layout; float32, shape (n,), read-only.
    """

    session_round: int
    fingerprint: int
    vector: NDArray[np.float32]
    _tied: dict[Layout, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)

    def in_layout(self, layout: Layout) -> NDArray[np.float32]:
        """The vector in a layout of the same arrays; the same read-only object at every call."""
        if not layout.copies:
            return self.vector
        if layout not in self._tied:
            self._tied[layout] = immutable(layout.tied(self.vector))
        return self._tied[layout]


@dataclass(frozen=True, eq=False)
class SentModel:
    """The model that nodes are sent in a round, to which their updates are added.

    Attributes:
        layout: of the model that nodes hold.
        arrays: the strategy's model.
        snapshot: the model as nodes hold it: equal to `arrays` unless the downlink is compressed.
        untrained: running statistics and integer arrays as nodes hold them.
        arrays_name: name of the ArrayRecord that the app sees.
        bytes: size of all arrays.
    """

    layout: Layout
    arrays: Arrays
    snapshot: ModelSnapshot
    untrained: Arrays
    arrays_name: str
    bytes: int

    @classmethod
    def of(
        cls,
        session_round: int,
        name: str,
        record: ArrayRecord,
        public: Arrays | None = None,
        kinds: Kinds | None = None,
    ) -> SentModel:
        """Read the model of a message.

        Args:
            session_round: counted from 1 within the session.
            name: of the record.
            record: the strategy's model.
            public: the model that nodes receive where the downlink is compressed; None where they receive `record`.
            kinds: which arrays are running statistics; None recognises them by name.
        """
        arrays = arrays_of(record)
        received = arrays if public is None else public
        layout = Layout.of(received, kinds)
        vector = immutable(layout.untied.flatten(received))
        snapshot = ModelSnapshot(session_round, layout.untied.fingerprint, vector)
        size = sum(array.nbytes for array in arrays.values())
        if public is None and all(spec.dtype == vector.dtype for spec in layout.untied.floats):  # share the memory
            arrays |= layout.untied.floats_of(vector, copy=False)
        return cls(layout, arrays, snapshot, layout.untrained_of(received), name, size)


class NodeRegistry:
    """One entry for each node.

    A client keeps the model of the last round in which it made a message. Usually that is the last round whose message
    arrived; where messages were lost, it may be any round since. Snapshots of earlier rounds are retained as long as
    all of them together take no more than `history_bytes`, however many nodes there are; train messages announce to
    each client which of its rounds are retained.

    Args:
        history_bytes: for snapshots of earlier rounds; the last one is kept in any case.

    Attributes:
        sent: by node id, the model of the current round.
        payload_limits: by node id, bytes that the reply of this round may have.
        applied: by node id, the last session round whose update was handed to the strategy.
    """

    def __init__(self, history_bytes: int) -> None:
        self.sent: dict[int, SentModel] = {}
        self.payload_limits: dict[int, int] = {}
        self.applied: dict[int, int] = {}
        self._history_bytes = history_bytes
        self._retained: dict[int, list[ModelSnapshot]] = {}  # by node id; newest first
        self._asked: list[Metadata] = []  # of the round's messages, which get their ids when they are sent
        self._earlier: dict[str, None] = {}  # ids of messages of earlier rounds, oldest first

    def begin_round(self, sent: dict[int, SentModel], messages: Sequence[Message] = ()) -> None:
        """Record what nodes are sent in a round; drop the oldest snapshots beyond `history_bytes`.

        Args:
            sent: by node id.
            messages: in which they are; they have no ids yet.
        """
        self._earlier.update(dict.fromkeys(asked.message_id for asked in self._asked if asked.message_id))  # was sent
        for name in list(self._earlier)[:-_MOST_EARLIER]:
            del self._earlier[name]
        self._asked = [message.metadata for message in messages]
        for node, model in self.sent.items():
            self._retained[node] = [model.snapshot, *self._retained.get(node, [])][:_MAX_UNCONFIRMED]
        self.sent = sent
        newest_first = sorted(
            {snapshot for snapshots in self._retained.values() for snapshot in snapshots},
            key=lambda snapshot: -snapshot.session_round,
        )
        sizes = np.cumsum([snapshot.vector.nbytes for snapshot in newest_first])
        fitting = {
            snapshot
            for snapshot, size in zip(newest_first, sizes, strict=True)
            if size <= self._history_bytes or snapshot.session_round == newest_first[0].session_round
        }
        self._retained = {
            node: found
            for node, snapshots in self._retained.items()
            if (found := [snapshot for snapshot in snapshots if snapshot in fitting])
        }

    def is_late(self, reply: Message) -> bool:
        """Whether a reply answers a message of an earlier round; one whose message is unknown counts as none such."""
        asked = reply.metadata.reply_to_message_id
        return asked in self._earlier and all(each.message_id != asked for each in self._asked)

    def retained_rounds(self, node: int) -> list[int]:
        """The earlier session rounds of which the model that a node was sent is retained; newest first."""
        return [snapshot.session_round for snapshot in self._retained.get(node, [])]

    def references(self, node: int, layout: Layout) -> list[Reference]:
        """The references that a message of this round may have been coded against, the likeliest first.

        Args:
            node: id of the sender.
            layout: of the message: tied or untied.
        """
        sent = self.sent[node].snapshot
        pairs: list[Reference] = [
            (sent.in_layout(layout), before.in_layout(layout))
            for before in self._retained.get(node, [])
            if before.fingerprint == sent.fingerprint
        ]
        return pairs or [sent.in_layout(layout)]

    def confirm(self, node: int) -> None:
        """Note that a message was decoded: the node now holds this round's model, and no earlier one is needed."""
        self._retained.pop(node, None)
