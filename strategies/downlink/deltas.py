"""The public model: the versions of the model that clients are sent, and which of them each node holds.

A version is the one before it plus one codec message, which encodes the difference between the strategy's model and the
public model as well as the budget allows; what is lost stays in that difference (error feedback). Knows Flower's
messages. Does not know how replies are decoded.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import Grid

from surp_fl.change import change_of
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.model_messages import Delta, apply_delta, put_deltas, put_full_model
from surp_fl.flower.packed_model import Packed, digest_of
from surp_fl.flower.protocol import MISSING, NAME
from surp_fl.flower.records import arrays_of
from surp_fl.immutable import immutable
from surp_fl.layout import Layout
from surp_fl.statistics import Kinds
from surp_fl.strategies.round_stats import DownlinkBytes
from surp_fl.types import Arrays

log = logging.getLogger("flwr")

_MAX_DELTAS = 128  # in a chain; a client applies them one after the other, each in one pass over its model
_DELTA_OVERHEAD = 16  # bytes of a delta beside its payload: the digest of its base, and lengths


class Downlink:
    """Brings nodes to the latest version of the public model: by the deltas that they lack, or by the full model.

    Args:
        scheme: compresses the deltas; its memory is not used.
        kinds: which arrays are running statistics; None recognises them by name.
        seed: of the encoder's random choices.

    Attributes:
        version: digest of the latest version.
    """

    def __init__(self, scheme: Scheme, kinds: Kinds | None = None, seed: int = 0) -> None:
        self._scheme = scheme
        self._kinds = kinds
        self._rng = np.random.default_rng([seed, 1])
        self._deltas: deque[Delta] = deque()
        self._sent: dict[int, tuple[Message, RecordDict]] = {}  # by node, of this phase; the strategy's own content
        self._node_versions: dict[int, bytes] = {}  # by node: the last version that it is known to hold
        self._failed: set[int] = set()  # nodes whose last reply was an error
        self._layout: Layout | None = None
        self._vector = np.zeros(0, np.float32)
        self._arrays: Arrays = {}
        self._model: Arrays = {}  # the strategy's, as the latest version approximates it
        self._source = b""  # digest of the strategy's model that the latest version approximates
        self.version = b""

    @property
    def arrays(self) -> Arrays:
        """The latest version; read-only."""
        return self._arrays

    def advance(self, record: ArrayRecord) -> None:
        """Make a new version that approximates the strategy's model, if that changed since the last call."""
        model = arrays_of(record)
        source = digest_of(model)
        if source == self._source:
            return
        delta = self._delta_to(model)
        if delta is None:
            self._deltas.clear()
            self._arrays = model
        else:
            assert self._layout is not None
            vector = None if delta.untied else self._vector
            self._arrays = apply_delta(self._layout, self._arrays, delta, vector)
        before, self.version = self.version, digest_of(self._arrays)
        self._layout = Layout.of(self._arrays, self._kinds)
        self._vector = immutable(self._layout.flatten(self._arrays))
        if delta is not None and self.version != before:
            self._deltas.append(delta)
            self._drop_long_chains()
        self._source, self._model = source, model

    def _delta_to(self, model: Arrays) -> Delta | None:
        """The delta towards a model; None where the full model is needed, or takes at most twice the bytes."""
        layout = self._layout
        if layout is None or Layout.of(model, self._kinds).arrays != layout.arrays:
            return None
        vector, untied = self._vector, any(not np.array_equal(model[name], model[of]) for name, of in layout.copies)
        if untied:
            layout = layout.untied
            vector = immutable(layout.flatten(self._arrays))
        wanted = layout.difference(model, self._arrays)
        if not np.isfinite(wanted).all():
            return None
        moved = layout.difference(model, self._model)
        try:
            change = change_of(self._scheme, wanted, self._arrays, model, layout, self._rng, vector, moved)
        except ValueError as fault:
            log.warning("surp-fl: the model's change cannot be encoded, the full model is sent: %s", fault)
            return None
        delta = Delta(self.version, change, untied)
        return delta if change.payload + _DELTA_OVERHEAD <= self._full_bytes() // 2 else None

    def _drop_long_chains(self) -> None:
        """Drop the oldest deltas until the chain has at most half the model's bytes and 128 deltas."""
        chain_bytes = sum(delta.change.payload + _DELTA_OVERHEAD for delta in self._deltas)
        while chain_bytes > self._full_bytes() // 2 or len(self._deltas) > _MAX_DELTAS:
            chain_bytes -= self._deltas.popleft().change.payload + _DELTA_OVERHEAD

    def attach_models(self, messages: Sequence[Message]) -> DownlinkBytes:
        """Replace the model in each message of a phase by what brings its node to the latest version."""
        self._sent = {
            message.metadata.dst_node_id: (message, message.content)
            for message in messages
            if model_of(message) is not None
        }
        places = {delta.base: place for place, delta in enumerate(self._deltas)} | {self.version: len(self._deltas)}
        return self._attach(messages, {node: places.get(version) for node, version in self._node_versions.items()})

    def resend_missing(
        self, replies: Iterable[Message], grid: Grid, seconds: float
    ) -> tuple[list[Message], DownlinkBytes]:
        """Send the full model to clients that lack the base of their deltas, in the same round.

        Args:
            replies: of the phase.
            grid: to send through.
            seconds: that are left for it; without any, nothing is sent.

        Returns:
            The replies, where those to the full model replace those that lacked a base; the bytes that were resent.
        """
        found = list(replies)
        self._update_versions(found)
        lacking = {reply.metadata.src_node_id for reply in found if lacks_base(reply)} & set(self._sent)
        if not lacking or seconds <= 0:
            return found, DownlinkBytes([], [])
        messages = []
        for node in sorted(lacking):
            log.info("surp-fl: node %d holds no base of the deltas: it is sent the full model", node)
            first, content = self._sent[node]
            metadata = first.metadata
            again = Message(content, node, metadata.message_type, ttl=metadata.ttl, group_id=metadata.group_id)
            messages.append(again)
        resent = self._attach(messages, {})
        more = list(grid.send_and_receive(messages, timeout=seconds))
        self._update_versions(more)
        return [reply for reply in found if reply.metadata.src_node_id not in lacking] + more, resent

    def _attach(self, messages: Sequence[Message], places: dict[int, int | None]) -> DownlinkBytes:
        """Replace models by the deltas that nodes lack, or by the full model where it is shorter or no base is known.

        Args:
            messages: of the phase.
            places: by node, the position in the chain from which on it lacks deltas; None or absent if not known.
        """
        deltas = list(self._deltas)
        full = self._full_bytes()
        packed: Packed | None = None
        payload = []
        for message in messages:
            if (found := model_of(message)) is None:
                payload.append(0)
                continue
            place = places.get(message.metadata.dst_node_id)
            lacking = [] if place is None else deltas[place:]
            size = sum(delta.change.payload for delta in lacking)
            if place is None or size >= full:
                size, packed = full, packed or Packed.of(self._arrays)
                message.content = put_full_model(message.content, found[0], packed, keep=True, kinds=self._kinds)
            else:
                message.content = put_deltas(message.content, found[0], lacking, self.version, self._kinds)
            payload.append(size)
        return DownlinkBytes.of(payload, messages)

    def _update_versions(self, replies: Iterable[Message]) -> None:
        """Note from replies which nodes hold the latest version; after two errors in a row, a node's is not known."""
        for reply in replies:
            node = reply.metadata.src_node_id
            failed = reply.has_error()
            if lacks_base(reply) or (failed and node in self._failed):
                self._node_versions.pop(node, None)
            elif not failed and node in self._sent:
                self._node_versions[node] = self.version
            (self._failed.add if failed else self._failed.discard)(node)

    def _full_bytes(self) -> int:
        assert self._layout is not None
        return sum(spec.size * spec.dtype.itemsize for spec in self._layout.arrays)


def model_of(message: Message) -> tuple[str, ArrayRecord] | None:
    """Name and ArrayRecord of a message's model; None where it has no ArrayRecord, or several."""
    found = message.content.array_records
    return next(iter(found.items())) if len(found) == 1 else None


def with_model(content: RecordDict, name: str, record: ArrayRecord) -> RecordDict:
    """The same content with another ArrayRecord under this name."""
    return RecordDict({**content, name: record})


def lacks_base(reply: Message) -> bool:
    """Whether a client replies that it holds no base of the deltas."""
    record = reply.content.config_records.get(NAME) if reply.has_content() else None
    return record is not None and MISSING in record
