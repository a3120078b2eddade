"""Which node holds which version of the public model, and what brings it to the latest one in the fewest bytes.

Knows Flower's messages. Does not know how versions are made, or how replies are decoded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import Grid

from surp_fl.codecs.codec import Scheme
from surp_fl.flower.model_messages import put_deltas, put_full_model, put_initial, put_merged
from surp_fl.flower.protocol import MISSING, NAME
from surp_fl.flower.records import arrays_of
from surp_fl.statistics import Kinds
from surp_fl.strategies.downlink.initial import KnownInitial
from surp_fl.strategies.downlink.public_model import PublicModel
from surp_fl.strategies.round_stats import DownlinkBytes
from surp_fl.types import Arrays

log = logging.getLogger("flwr")

_MERGE_FROM = 2  # deltas in a chain, from which on one merged message may be shorter
_FULL_PAYS = 8  # of the model's bytes, the share below which changes are not compared with the full model
_MOST_RESENDS = 2  # in a phase: from the initial model, then in full

Put = Callable[[RecordDict, str], RecordDict]  # content and name of its ArrayRecord -> content with a form in its place


class Downlink:
    """Brings nodes to the latest version of the public model: by the changes that they lack, or by the full model.

    Args:
        scheme: compresses the deltas, or gives the scheme of a round; its memory is not used. None makes none.
        kinds: which arrays are running statistics; None recognises them by name.
        initial: the model that clients can make by themselves; None if they cannot.
        bits: that a value of a full model takes, about; None for all of them. See `PublicModel`.
        exact: without a scheme, whether clients keep versions, so that they are sent what changed, without loss.
    """

    def __init__(
        self,
        scheme: Scheme | Callable[[int], Scheme] | None,
        kinds: Kinds | None = None,
        initial: KnownInitial | None = None,
        bits: float | None = None,
        exact: bool = False,
    ) -> None:
        self._keep = scheme is not None or exact
        self._kinds = kinds
        self._initial = initial
        self._public = PublicModel(scheme, kinds, initial, bits, exact)
        self._sent: dict[int, tuple[Message, RecordDict]] = {}  # by node, of this phase; the strategy's own content
        self._node_versions: dict[int, bytes] = {}  # by node: the last version that it is known to hold
        self._failed: set[int] = set()  # nodes whose last reply was an error
        self._rely_on_initial: set[int] = set()  # nodes that were sent a change of the initial model
        self._without_initial: set[int] = set()  # nodes that do not make it

    @property
    def arrays(self) -> Arrays:
        """The latest version; read-only."""
        return self._public.arrays

    @property
    def version(self) -> bytes:
        """Digest of the latest version."""
        return self._public.version

    def advance(self, record: ArrayRecord, server_round: int = 1) -> None:
        """Make a new version that approximates the strategy's model, if that changed since the last call."""
        self._public.advance(arrays_of(record), server_round)

    def attach_models(self, messages: Sequence[Message]) -> DownlinkBytes:
        """Replace the model in each message of a phase by what brings its node to the latest version."""
        self._sent = {
            message.metadata.dst_node_id: (message, message.content)
            for message in messages
            if model_of(message) is not None
        }
        return self._attach(messages)

    def resend_missing(
        self, replies: Iterable[Message], grid: Grid, seconds: float
    ) -> tuple[list[Message], DownlinkBytes]:
        """Send more to clients that lack the base of their changes, in the same round: in the end the full model.

        Args:
            replies: of the phase.
            grid: to send through.
            seconds: that are left for it; without any, nothing is sent.

        Returns:
            The replies, where those to the full model replace those that lacked a base; the bytes that were resent.
        """
        found, until = list(replies), time.monotonic() + seconds
        spent = DownlinkBytes.none()
        self._update_versions(found)
        for _ in range(_MOST_RESENDS):
            lacking = {reply.metadata.src_node_id for reply in found if lacks_base(reply)} & set(self._sent)
            if not lacking or time.monotonic() >= until:
                break
            messages = [self._again(node) for node in sorted(lacking)]
            spent = spent.and_also(self._attach(messages))
            more = list(grid.send_and_receive(messages, timeout=until - time.monotonic()))
            self._update_versions(more)
            found = [reply for reply in found if reply.metadata.src_node_id not in lacking] + more
        return found, spent

    def _again(self, node: int) -> Message:
        """A copy of the message that a node was sent in this phase, with the strategy's content."""
        first, content = self._sent[node]
        metadata = first.metadata
        return Message(content, node, metadata.message_type, ttl=metadata.ttl, group_id=metadata.group_id)

    def _attach(self, messages: Sequence[Message]) -> DownlinkBytes:
        """Replace the model in each message of a phase by the shortest form for its node."""
        payload = []
        self._rely_on_initial = set()
        for message in messages:
            if (found := model_of(message)) is None:
                payload.append(0)
                continue
            size, put = self._shortest(message.metadata.dst_node_id)
            message.content = put(message.content, found[0])
            payload.append(size)
        return DownlinkBytes.of(payload, messages)

    def _shortest(self, node: int) -> tuple[int, Put]:
        """The shortest form for a node, and its payload in bytes."""
        found = self._changes_since(self._node_versions.get(node, b""))
        relies = not found and self._initial is not None and node not in self._without_initial
        origin = self._public.origin
        relies = relies and (origin is None or self._initial is None or origin.version == self._initial.version)
        if relies and self._initial is not None:
            chain = self._public.chain_from(self._initial.version) or []  # of before the origin was given up, perhaps
            begins = origin is not None or any(delta.needs_origin for delta in chain)
            announced = partial(put_initial, initial=self._initial.name, origin=begins)
            found = [(size, _then(put, announced)) for size, put in self._changes_since(self._initial.version)]
        if not found or min(map(_size, found)) > self._public.full_bytes // _FULL_PAYS:
            found.append(self._full())
        size, put = min(found, key=_size)
        if relies and size < self._public.full_bytes:
            self._rely_on_initial.add(node)
        return size, put

    def _changes_since(self, base: bytes) -> list[tuple[int, Put]]:
        """The forms of the changes since a version; none where they are no longer kept."""
        version = self.version
        found: list[tuple[int, Put]] = []
        chain = self._public.chain_from(base)
        if chain is not None:
            size = sum(delta.change.payload for delta in chain)

            def put_chain(content: RecordDict, name: str) -> RecordDict:
                return put_deltas(content, name, chain, version, self._keep, self._kinds)

            found.append((size, put_chain))
        if chain is None or len(chain) >= _MERGE_FROM:
            merged = self._public.merged_from(base)
            if merged is not None:

                def put(content: RecordDict, name: str) -> RecordDict:
                    return put_merged(content, name, base, merged, version, self._keep, self._kinds)

                found.append((len(merged), put))
        return found

    def _full(self) -> tuple[int, Put]:
        """The full model; or the origin of the deltas in full, and the changes since."""
        origin, changes = self._public.origin, None
        if origin is not None and origin.version != self.version:
            changes = min(self._changes_since(origin.version), key=_size, default=None)
            if changes is None:
                self._public.drop_origin()
        packed = self._public.packed if origin is None or changes is None else origin.packed
        begins = self._public.origin is not None

        def put(content: RecordDict, name: str) -> RecordDict:
            return put_full_model(content, name, packed, keep=self._keep, kinds=self._kinds, origin=begins)

        if changes is None:
            return packed.payload, put
        size, put_changes = changes
        return packed.payload + size, lambda content, name: put_changes(put(content, name), name)

    def _update_versions(self, replies: Iterable[Message]) -> None:
        """Note from replies which nodes hold the latest version; after two errors in a row, a node's is not known."""
        for reply in replies:
            node = reply.metadata.src_node_id
            failed = reply.has_error()
            if lacks_base(reply):
                known = "does not make the initial model" if node in self._rely_on_initial else "holds no base"
                log.info("surp-fl: node %d %s of the changes: it is sent more", node, known)
                self._without_initial |= {node} & self._rely_on_initial
            if lacks_base(reply) or (failed and node in self._failed):
                self._node_versions.pop(node, None)
            elif not failed and node in self._sent and self._keep:
                self._node_versions[node] = self.version
            (self._failed.add if failed else self._failed.discard)(node)


def _size(form: tuple[int, Put]) -> int:
    return form[0]


def _then(put: Put, more: Callable[[RecordDict], RecordDict]) -> Put:
    """A form with more in its content."""
    return lambda content, name: more(put(content, name))


def model_of(message: Message) -> tuple[str, ArrayRecord] | None:
    """Name and ArrayRecord of a message's model; None where it has no ArrayRecord, or several."""
    found = message.content.array_records
    return next(iter(found.items())) if len(found) == 1 else None


def with_model(content: RecordDict, name: str, record: ArrayRecord) -> RecordDict:
    """The same content with another ArrayRecord under this name."""
    return RecordDict({**content, name: record})


def lacks_base(reply: Message) -> bool:
    """Whether a client replies that it holds no base of the changes."""
    record = reply.content.config_records.get(NAME) if reply.has_content() else None
    return record is not None and MISSING in record
