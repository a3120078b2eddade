"""The public model: what clients are sent, version by version, and which of them each node holds.

A version is the one before it plus one message of a codec, which says what it can of the difference to the strategy's
model; what it cannot say stays in that difference, so that nothing is lost. Knows Flower's messages. Does not know how
replies are decoded.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray
from surp_fl.strategies.traffic import Down

from surp_fl.broadcast import MISSING, Packed, added, digest_of, exact_bytes, put_deltas, put_whole
from surp_fl.client import Scheme
from surp_fl.layout import Layout
from surp_fl.record import NAME, arrays_of

log = logging.getLogger("flwr")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Delta:
    """From one version to the next."""

    base: bytes
    message: bytes


class Downlink:
    """Brings nodes up to the public model's last version: with the deltas that they lack, or with the whole.

    Args:
        scheme: of the deltas, whose memory is not used; None sends the whole model each time, as one array.
        seed: of the encoder's random choices.
    """

    def __init__(self, scheme: Scheme | None, seed: int = 0) -> None:
        self._scheme = scheme
        self._rng = np.random.default_rng([seed, 1])
        self._deltas: deque[_Delta] = deque()
        self._contents: dict[int, RecordDict] = {}  # by node: as the strategy made it, of the last messages
        self._held: dict[int, bytes] = {}  # by node: the version that it was known to hold last
        self._arrays: Arrays = {}
        self._packed: Packed | None = None  # the whole of it, once a node needs it
        self._vector = np.zeros(0, np.float32)
        self._layout: Layout | None = None
        self._source = b""
        self.version = b""

    @property
    def vector(self) -> NDArray[np.float32]:
        """The public model's float arrays; shape (n,), not to be written to."""
        return self._vector

    @property
    def compresses(self) -> bool:
        """Whether deltas are sent at all."""
        return self._scheme is not None

    def advance(self, record: ArrayRecord) -> None:
        """Make a new version, if the strategy's model is another than the last time."""
        model = arrays_of(record)
        source = digest_of(model)
        if source == self._source:
            return
        self._source = source
        layout = Layout.of(model)
        vector = layout.flatten(model)
        if self._scheme is None or self._layout != layout:
            self._deltas.clear()
            self._layout, self._vector = layout, vector
        else:
            message = self._scheme.codec.encode(vector - self._vector, layout, rng=self._rng, reference=self._vector)
            self._deltas.append(_Delta(self.version, message))
            self._vector = added(layout, self._vector, message)
            while sum(len(delta.message) for delta in self._deltas) > self._whole_bytes() // 2:
                self._deltas.popleft()
        self._vector.flags.writeable = False
        self._arrays = model if self._scheme is None else layout.unflatten(self._vector, model)
        self._packed = None
        self.version = digest_of(self._arrays)

    def fill(self, messages: Sequence[Message], whole: bool = False) -> Down:
        """Let messages bring the last version, in place of the ArrayRecord that they hold.

        Args:
            messages: of a strategy; all of one kind, train or evaluate.
            whole: send the whole model to all of them.

        Returns:
            What is in each message.
        """
        sizes = []
        if not whole:
            self._contents = {message.metadata.dst_node_id: message.content for message in messages}
        for message in messages:
            ((name, _),) = message.content.array_records.items()
            lacking = None if whole else self._lacking(message.metadata.dst_node_id)
            if lacking is None:
                self._packed = self._packed or Packed.of(self._arrays)
                message.content = put_whole(message.content, name, self._packed, self.version, self.compresses)
                sizes.append(self._whole_bytes())
            else:
                pairs = [(delta.base, delta.message) for delta in lacking]
                exact = exact_bytes(self._arrays) if lacking else b""
                message.content = put_deltas(message.content, name, pairs, exact, self.version)
                sizes.append(sum(len(delta.message) for delta in lacking) + len(exact))
        return Down.of(sizes, messages)

    def answered(self, replies: Iterable[Message], grid: Grid, timeout: float) -> tuple[list[Message], Down]:
        """Send the whole model to clients whose base is missing, in the same round.

        Returns:
            The replies, those to the whole model in place of those that lack a base; what was sent for it.
        """
        found = list(replies)
        self._note(found)
        lacking = [reply for reply in found if lacks_base(reply) and reply.metadata.src_node_id in self._contents]
        lacking = list({reply.metadata.src_node_id: reply for reply in lacking}.values())  # once for each node
        if not lacking:
            return found, Down([], [])
        messages = []
        for reply in lacking:
            node = reply.metadata.src_node_id
            log.info("surp-fl: node %d holds no version that it could add to: it is sent the whole model", node)
            messages.append(Message(self._contents[node], node, reply.metadata.message_type))
        down = self.fill(messages, whole=True)
        more = list(grid.send_and_receive(messages, timeout=timeout))
        self._note(more)
        return [reply for reply in found if not lacks_base(reply)] + more, down

    def _note(self, replies: Iterable[Message]) -> None:
        """Who holds the last version now, and who holds none that can be brought up to it."""
        for reply in replies:
            node = reply.metadata.src_node_id
            if lacks_base(reply):
                self._held.pop(node, None)
            elif not reply.has_error():
                self._held[node] = self.version

    def _lacking(self, node: int) -> list[_Delta] | None:
        """The deltas that a node lacks; None where it needs the whole model."""
        held = self._held.get(node)
        if held is None or self._scheme is None:
            return None
        if held == self.version:
            return []
        found = list(self._deltas)
        bases = [delta.base for delta in found]
        return found[bases.index(held) :] if held in bases else None

    def _whole_bytes(self) -> int:
        return sum(array.nbytes for array in self._arrays.values())


def lacks_base(reply: Message) -> bool:
    """Whether a client answers that it cannot add the deltas to anything."""
    record = reply.content.config_records.get(NAME) if reply.has_content() else None
    return record is not None and MISSING in record
