"""What the server knows of each node: what it was sent, what it may hold of earlier rounds, what of its was applied."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from surp_fl.flower.records import arrays_of
from surp_fl.immutable import immutable
from surp_fl.layout import Layout
from surp_fl.statistics import Kinds
from surp_fl.types import Arrays, Reference

_UNANSWERED = 8  # models of one node that are kept while nothing of it is understood


@dataclass(frozen=True, eq=False)
class Held:
    """A model as nodes hold it.

    Attributes:
        server_round: in which they were sent it.
        fingerprint: of its layout, copies apart from what they are copies of.
        vector: in that layout; float32, not to be written to.
    """

    server_round: int
    fingerprint: int
    vector: NDArray[np.float32]
    _tied: dict[Layout, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)

    def in_layout(self, layout: Layout) -> NDArray[np.float32]:
        """The vector in a layout of the same arrays; always the same object, not to be written to."""
        if not layout.copies:
            return self.vector
        if layout not in self._tied:
            floats = layout.untied.floats_of(self.vector, copy=False)
            self._tied[layout] = immutable(layout.flatten_floats(floats))
        return self._tied[layout]


@dataclass(frozen=True, eq=False)
class Broadcast:
    """What nodes are sent in a round, and what their updates are to be added to.

    Attributes:
        layout: of the model that nodes have.
        arrays: the strategy's model.
        held: the model as nodes have it: the same, unless what they are sent is compressed.
        others: running statistics and integer arrays as nodes have them.
        arrays_name: of the ArrayRecord that the app sees.
        bytes: of array data.
    """

    layout: Layout
    arrays: Arrays
    held: Held
    others: Arrays
    arrays_name: str
    bytes: int

    @classmethod
    def of(
        cls, server_round: int, name: str, record: ArrayRecord, public: Arrays | None = None, kinds: Kinds | None = None
    ) -> Broadcast:
        """Read the model that a message carries.

        Args:
            server_round: as the server counts.
            name: of the record.
            record: the strategy's model.
            public: what nodes get of it; None for all.
            kinds: the user's word on which arrays are running statistics.
        """
        arrays = arrays_of(record)
        had = arrays if public is None else public
        layout = Layout.of(had, kinds)
        vector = immutable(layout.untied.flatten(had))
        held = Held(server_round, layout.untied.fingerprint, vector)
        size = sum(array.nbytes for array in arrays.values())
        if public is None and all(spec.dtype == vector.dtype for spec in layout.untied.floats):  # one copy is enough
            arrays |= layout.untied.floats_of(vector, copy=False)
        return cls(layout, arrays, held, layout.others_of(had), name, size)


class Books:
    """One entry a node.

    A client keeps the model of the last round in which it made a message. Usually that is the last round whose message
    came; where messages were lost, it may be any round since. Models of earlier rounds are kept for as long as all of
    them together take no more than `history_bytes`, however many nodes there are; each client is told which there are.

    Args:
        history_bytes: for the models of earlier rounds; what was sent last is kept in any case.
    """

    def __init__(self, history_bytes: int) -> None:
        self.sent: dict[int, Broadcast] = {}
        self.most: dict[int, int] = {}  # bytes that the answer of each of them may have
        self.applied: dict[int, int] = {}  # the last round whose update was handed to the strategy
        self._limit = history_bytes
        self._before: dict[int, list[Held]] = {}  # newest first

    def begin(self, sent: dict[int, Broadcast]) -> None:
        """Note what nodes are sent in a round; what is too much is forgotten, the oldest first."""
        for node, broadcast in self.sent.items():
            self._before[node] = [broadcast.held, *self._before.get(node, [])][:_UNANSWERED]
        self.sent = sent
        kept = sorted(
            {held for before in self._before.values() for held in before}, key=lambda held: -held.server_round
        )
        sizes = np.cumsum([held.vector.nbytes for held in kept])
        fitting = {
            held
            for held, size in zip(kept, sizes, strict=True)
            if size <= self._limit or held.server_round == kept[0].server_round
        }
        self._before = {
            node: found
            for node, before in self._before.items()
            if (found := [held for held in before if held in fitting])
        }

    def rounds(self, node: int) -> list[int]:
        """Of which earlier rounds the model that a node was sent is kept."""
        return [held.server_round for held in self._before.get(node, [])]

    def references(self, node: int, layout: Layout) -> list[Reference]:
        """What a message of this round, in this layout, may have been coded against, the likeliest first."""
        sent = self.sent[node].held
        pairs: list[Reference] = [
            (sent.in_layout(layout), before.in_layout(layout))
            for before in self._before.get(node, [])
            if before.fingerprint == sent.fingerprint
        ]
        return pairs or [sent.in_layout(layout)]

    def understood(self, node: int) -> None:
        """A message came: what is sent in this round comes in front when the next begins, and nothing else matters."""
        self._before.pop(node, None)
