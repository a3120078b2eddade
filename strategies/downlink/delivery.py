"""How models get to nodes: as they are, as one array, or as what changed; and again where that failed."""

from __future__ import annotations

import time
from collections.abc import Iterable

from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid

from surp_fl.codecs.codec import Scheme
from surp_fl.flower.model_messages import put_full_model
from surp_fl.flower.packed_model import Packed, digest_of
from surp_fl.flower.records import arrays_of, error_reply
from surp_fl.statistics import Kinds
from surp_fl.strategies.downlink.deltas import Downlink, lacks_base, model_of, replaced
from surp_fl.strategies.round_stats import DownlinkBytes
from surp_fl.types import Arrays


class Delivery:
    """Replaces the models in a round's messages by what their nodes need of them.

    The public model is what nodes train from. They evaluate it as well, unless the strategy trains one model and
    evaluates another: what is evaluated goes whole then.

    Args:
        scheme: of the changes; None sends whole models.
        packed: send a whole model as one array; where the strategy sends nodes different models, as they are.
        timeout: seconds, for the replies of a phase.
        kinds: the user's word on which arrays are running statistics.
    """

    def __init__(
        self, scheme: Scheme | None, packed: bool, timeout: float = 3600.0, kinds: Kinds | None = None
    ) -> None:
        self._downlink = None if scheme is None else Downlink(scheme, kinds)
        self.packed = packed
        self._timeout = timeout
        self._public = False  # whether the messages of this phase bring the public model
        self._trains_the_model = False  # and not what the strategy made of it
        self._grid: Grid | None = None
        self._until = 0.0

    def train(self, messages: list[Message], grid: Grid, model: ArrayRecord) -> Arrays | None:
        """Bring the public model up to the one in the messages; None where nodes are sent that as it is.

        Args:
            messages: of the strategy; they may share a record afterwards that held the same model before.
            grid: to send by.
            model: the strategy's.

        Raises:
            ValueError: changes are to be sent, and the messages hold different models.
        """
        self._grid = grid
        if self._downlink is None or not messages:
            self._public = False
            return None
        records = _shared(messages)
        if len(records) != 1:
            raise ValueError(
                f"the inner strategy sends {len(records)} different models in one round, and downlink= keeps one "
                "public model for all nodes: leave downlink out"
            )
        self._public = True
        self._trains_the_model = _same(records[0], model)
        self._downlink.advance(records[0])
        return self._downlink.arrays

    def evaluate(self, messages: list[Message], grid: Grid, model: ArrayRecord) -> None:
        """Bring the public model up to the strategy's, if that is what nodes evaluate and train."""
        self._grid = grid
        self._public = False
        if self._downlink is not None and self._trains_the_model and all(map(_has_one_at_most, messages)):
            records = _shared(messages)
            if len(records) == 1 and _same(records[0], model):
                self._public = True
                self._downlink.advance(records[0])

    def attach_models(self, messages: list[Message]) -> DownlinkBytes:
        """Replace the models in the messages; give the bytes that are in each then."""
        self._until = time.monotonic() + self._timeout
        if self._downlink is not None and self._public:
            return self._downlink.attach_models(messages)
        records = {id(record): record for message in messages for record in message.content.array_records.values()}
        arrays = {key: arrays_of(record) for key, record in records.items()}
        sizes = {key: sum(array.nbytes for array in model.values()) for key, model in arrays.items()}
        payload = [sum(sizes[id(record)] for record in message.content.array_records.values()) for message in messages]
        if (self.packed or self._downlink is not None) and len(arrays) == 1 and all(map(_has_one_at_most, messages)):
            packed = Packed.of(*arrays.values())
            for message in messages:
                if (found := model_of(message)) is not None:
                    message.content = put_full_model(message.content, found[0], packed, keep=False)
        return DownlinkBytes.of(payload, messages)

    def resend_missing(self, replies: Iterable[Message]) -> tuple[list[Message], DownlinkBytes]:
        """Send the whole model where changes could not be added to anything, for as long as the phase has time.

        Returns:
            All replies, with errors in place of those that lack a base still; what was sent for it.
        """
        found, down = list(replies), DownlinkBytes([], [])
        if self._downlink is not None and self._public and self._grid is not None:
            found, down = self._downlink.resend_missing(found, self._grid, self._until - time.monotonic())
        said = "the client lacks the model that changes would be added to, and was not sent, or did not take, the whole"
        return [error_reply(reply, f"surp-fl: {said}") if lacks_base(reply) else reply for reply in found], down


def _has_one_at_most(message: Message) -> bool:
    return len(message.content.array_records) <= 1


def _same(one: ArrayRecord, other: ArrayRecord) -> bool:
    return one is other or digest_of(arrays_of(one)) == digest_of(arrays_of(other))


def _shared(messages: list[Message]) -> list[ArrayRecord]:
    """The different models in messages; those that hold equal ones share a record from here on."""
    by_id: dict[int, ArrayRecord] = {}
    for message in messages:
        if (found := model_of(message)) is not None:
            by_id[id(found[1])] = found[1]
    if len(by_id) <= 1:
        return list(by_id.values())
    digests = {key: digest_of(arrays_of(record)) for key, record in by_id.items()}
    first = {digest: by_id[key] for key, digest in reversed(digests.items())}
    for message in messages:
        if (found := model_of(message)) is not None:
            message.content = replaced(message.content, found[0], first[digests[id(found[1])]])
    return list(first.values())
