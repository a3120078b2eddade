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

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import Grid

from surp_fl.change import Change, change_of
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.model_messages import apply_delta, put_deltas, put_full_model
from surp_fl.flower.packed_model import Packed, digest_of
from surp_fl.flower.protocol import MISSING, NAME
from surp_fl.flower.records import arrays_of
from surp_fl.immutable import immutable
from surp_fl.layout import Layout
from surp_fl.statistics import Kinds
from surp_fl.strategies.round_stats import DownlinkBytes
from surp_fl.types import Arrays

log = logging.getLogger("flwr")

_MOST = 128  # changes that a client applies one after the other, each in a pass over its model
_FRAME = 16  # bytes that a change takes beside its message: the digest of its base, and lengths


@dataclass(frozen=True)
class _Delta:
    """From one version to the next."""

    base: bytes
    change: Change


class Downlink:
    """Brings nodes up to the public model's last version: with the deltas that they lack, or with the whole.

    Args:
        scheme: of the deltas, whose memory is not used.
        kinds: the user's word on which arrays are running statistics.
        seed: of the encoder's random choices.
    """

    def __init__(self, scheme: Scheme, kinds: Kinds | None = None, seed: int = 0) -> None:
        self._scheme = scheme
        self._kinds = kinds
        self._rng = np.random.default_rng([seed, 1])
        self._deltas: deque[_Delta] = deque()
        self._sent: dict[int, tuple[Message, RecordDict]] = {}  # by node, of this phase; and as the strategy filled it
        self._held: dict[int, bytes] = {}  # by node: the version that it was known to hold last
        self._failed: set[int] = set()  # nodes whose last reply was an error
        self._layout: Layout | None = None
        self._vector = np.zeros(0, np.float32)
        self._arrays: Arrays = {}
        self._source = b""
        self.version = b""

    @property
    def arrays(self) -> Arrays:
        """The public model; not to be written to."""
        return self._arrays

    def advance(self, record: ArrayRecord) -> None:
        """Make a new version, if the strategy's model is another than the last time."""
        model = arrays_of(record)
        source = digest_of(model)
        if source == self._source:
            return
        change = self._change_to(model)
        if change is None:
            self._deltas.clear()
            self._arrays = model
        else:
            assert self._layout is not None
            self._arrays = apply_delta(self._layout, self._arrays, change, self._vector)
        before, self.version = self.version, digest_of(self._arrays)
        self._layout = Layout.of(self._arrays, self._kinds)
        self._vector = immutable(self._layout.flatten(self._arrays))
        if change is not None and self.version != before:
            self._deltas.append(_Delta(before, change))
            self._forget()
        self._source = source

    def _change_to(self, model: Arrays) -> Change | None:
        """The delta towards a model; None where the whole model has to go, or is not much more."""
        layout = self._layout
        if layout is None or Layout.of(model, self._kinds).arrays != layout.arrays:
            return None
        if any(not np.array_equal(model[name], model[first]) for name, first in layout.copies):
            return None  # what was equal is so no more
        wanted = layout.difference(model, self._arrays)
        if not np.isfinite(wanted).all():
            return None
        try:
            change = change_of(self._scheme, wanted, self._arrays, model, layout, self._rng, self._vector)
        except ValueError as fault:
            log.warning("surp-fl: what changed in the model cannot be told, the whole goes: %s", fault)
            return None
        return change if change.payload + _FRAME <= self._whole_bytes() // 2 else None

    def _forget(self) -> None:
        """Drop what is too long a way for any client: the whole model is the shorter one."""
        spent = sum(delta.change.payload + _FRAME for delta in self._deltas)
        while spent > self._whole_bytes() // 2 or len(self._deltas) > _MOST:
            spent -= self._deltas.popleft().change.payload + _FRAME

    def attach_models(self, messages: Sequence[Message]) -> DownlinkBytes:
        """Let messages of a strategy, all of one phase, bring the last version in place of the model that they hold."""
        self._sent = {
            message.metadata.dst_node_id: (message, message.content)
            for message in messages
            if model_of(message) is not None
        }
        places = {delta.base: place for place, delta in enumerate(self._deltas)} | {self.version: len(self._deltas)}
        return self._bring(messages, {node: places.get(held) for node, held in self._held.items()})

    def resend_missing(self, replies: Iterable[Message], grid: Grid, seconds: float) -> tuple[list[Message], DownlinkBytes]:
        """Send the whole model to clients whose base is missing, in the same round.

        Args:
            replies: of the phase.
            grid: to send by.
            seconds: that are left for it; none is sent without.

        Returns:
            The replies, those to the whole model in place of those that lack a base; what was sent for it.
        """
        found = list(replies)
        self._note(found)
        lacking = {reply.metadata.src_node_id for reply in found if lacks_base(reply)} & set(self._sent)
        if not lacking or seconds <= 0:
            return found, DownlinkBytes([], [])
        messages = []
        for node in sorted(lacking):
            log.info("surp-fl: node %d holds no version that it could add to: it is sent the whole model", node)
            first, content = self._sent[node]
            about = first.metadata
            again = Message(content, node, about.message_type, ttl=about.ttl, group_id=about.group_id)
            messages.append(again)
        down = self._bring(messages, {})
        more = list(grid.send_and_receive(messages, timeout=seconds))
        self._note(more)
        return [reply for reply in found if reply.metadata.src_node_id not in lacking] + more, down

    def _bring(self, messages: Sequence[Message], places: dict[int, int | None]) -> DownlinkBytes:
        """Replace models by the deltas from a node's place on; by the whole where it has none, or that is less."""
        deltas = list(self._deltas)
        whole = self._whole_bytes()
        packed: Packed | None = None
        payload = []
        for message in messages:
            if (found := model_of(message)) is None:
                payload.append(0)
                continue
            place = places.get(message.metadata.dst_node_id)
            lacking = [] if place is None else deltas[place:]
            size = sum(delta.change.payload for delta in lacking)
            if place is None or size >= whole:
                size, packed = whole, packed or Packed.of(self._arrays)
                message.content = put_full_model(message.content, found[0], packed, keep=True, kinds=self._kinds)
            else:
                pairs = ((delta.base, delta.change) for delta in lacking)
                message.content = put_deltas(message.content, found[0], pairs, self.version, self._kinds)
            payload.append(size)
        return DownlinkBytes.of(payload, messages)

    def _note(self, replies: Iterable[Message]) -> None:
        """Who holds the last version now, and who may hold none that can be brought up to it."""
        for reply in replies:
            node = reply.metadata.src_node_id
            failed = reply.has_error()
            if lacks_base(reply) or (failed and node in self._failed):
                self._held.pop(node, None)
            elif not failed and node in self._sent:
                self._held[node] = self.version
            (self._failed.add if failed else self._failed.discard)(node)

    def _whole_bytes(self) -> int:
        assert self._layout is not None
        return sum(spec.size * spec.dtype.itemsize for spec in self._layout.arrays)


def model_of(message: Message) -> tuple[str, ArrayRecord] | None:
    """The name of a message's ArrayRecord, and that; None where it has none, or several."""
    found = message.content.array_records
    return next(iter(found.items())) if len(found) == 1 else None


def replaced(content: RecordDict, name: str, record: ArrayRecord) -> RecordDict:
    """The same content with another ArrayRecord of this name."""
    return RecordDict({**content, name: record})


def lacks_base(reply: Message) -> bool:
    """Whether a client answers that it cannot add the deltas to anything."""
    record = reply.content.config_records.get(NAME) if reply.has_content() else None
    return record is not None and MISSING in record
