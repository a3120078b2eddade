"""Attaches models to messages: as they are, as one packed array, or as deltas; resends where deltas did not apply."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal

from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid

from surp_fl.codecs.codec import Scheme
from surp_fl.flower.model_messages import put_full_model
from surp_fl.flower.packed_model import Packed, digest_of
from surp_fl.flower.records import arrays_of, error_reply
from surp_fl.statistics import Kinds
from surp_fl.strategies.downlink.deltas import Downlink, lacks_base, model_of, with_model
from surp_fl.strategies.downlink.initial import KnownInitial
from surp_fl.strategies.round_stats import DownlinkBytes
from surp_fl.types import Arrays

Lossless = Literal["lossless"]
LOSSLESS: Lossless = "lossless"


class Delivery:
    """Replaces the model in each message of a round by the form in which its node receives it.

    The public model is the one that nodes train from. They evaluate it as well, unless the strategy trains one model
    and evaluates another: then the evaluated model is sent in full.

    Args:
        scheme: compresses the deltas, or gives the scheme of a round; None sends full models, and LOSSLESS what
            changed, to the bit.
        packed: send a full model as one array, if the strategy sends the same model to all nodes.
        timeout: seconds that a phase has for its replies.
        kinds: which arrays are running statistics; None recognises them by name.
        initial: the model that clients can make by themselves; None if they cannot.
        bits: that a value of a full model takes, about; None for all of them.
    """

    def __init__(
        self,
        scheme: Scheme | Callable[[int], Scheme] | Lossless | None,
        packed: bool,
        timeout: float = 3600.0,
        kinds: Kinds | None = None,
        initial: KnownInitial | None = None,
        bits: float | None = None,
    ) -> None:
        lossy = None if isinstance(scheme, str) else scheme
        sends_changes = scheme is not None or initial is not None
        self._downlink = Downlink(lossy, kinds, initial, bits, isinstance(scheme, str)) if sends_changes else None
        self._approximates = lossy is not None
        self.packed = packed
        self._timeout = timeout
        self._sends_public = False  # whether the messages of this phase carry the public model
        self._trained: tuple[ArrayRecord, ArrayRecord] | None = None  # the one model of this round, the global one
        self._grid: Grid | None = None
        self._deadline = 0.0

    def train(self, messages: list[Message], grid: Grid, model: ArrayRecord, server_round: int) -> Arrays | None:
        """Update the public model to the one in the messages, before they are sent.

        Args:
            messages: of the strategy; afterwards, those that hold equal models share one record.
            grid: through which missing models are resent.
            model: the strategy's global model.
            server_round: counted from 1.

        Returns:
            The public model; None where nodes are sent full models.

        Raises:
            ValueError: deltas are to be sent, and the messages hold different models.
        """
        self._grid = grid
        records = _distinct_models(messages) if self._downlink is not None else _different_records(messages)
        self._trained = (records[0], model) if len(records) == 1 else None
        if self._downlink is None or not messages:
            self._sends_public = False
            return None
        if not self._approximates:
            self._send_public(records, messages, server_round)
            return None
        if len(records) != 1:
            raise ValueError(
                f"the inner strategy sends {len(records)} different models in one round, and downlink= keeps one "
                "public model for all nodes: leave downlink out"
            )
        self._sends_public = True
        self._downlink.advance(records[0], server_round)
        return self._downlink.arrays

    def evaluate(self, messages: list[Message], grid: Grid, model: ArrayRecord, server_round: int) -> None:
        """Update the public model to the evaluated one, if nodes also train from it; arguments as for `train`."""
        self._grid = grid
        self._sends_public = False
        if not self._approximates:
            self._send_public(_distinct_models(messages), messages, server_round)
        elif self._downlink is not None and self.trains_global_model and all(map(_has_one_at_most, messages)):
            records = _distinct_models(messages)
            if len(records) == 1 and _equal(records[0], model):
                self._sends_public = True
                self._downlink.advance(records[0], server_round)

    @property
    def trains_global_model(self) -> bool:
        """Whether nodes train the global model in this round, rather than one that the strategy derives from it."""
        return self._trained is not None and _equal(*self._trained)

    def _send_public(self, records: list[ArrayRecord], messages: list[Message], server_round: int) -> None:
        """Send the one model of a phase as what it differs in from the initial one."""
        self._sends_public = self._downlink is not None and len(records) == 1 and all(map(_has_one_at_most, messages))
        if self._downlink is not None and self._sends_public:
            self._downlink.advance(records[0], server_round)

    def attach_models(self, messages: list[Message]) -> DownlinkBytes:
        """Replace the models in the messages by the form in which they are sent; give the bytes of each message."""
        self._deadline = time.monotonic() + self._timeout
        if self._downlink is not None and self._sends_public:
            return self._downlink.attach_models(messages)
        records = {id(record): record for message in messages for record in message.content.array_records.values()}
        arrays = {key: arrays_of(record) for key, record in records.items()}
        sizes = {key: sum(array.nbytes for array in model.values()) for key, model in arrays.items()}
        payload = [sum(sizes[id(record)] for record in message.content.array_records.values()) for message in messages]
        if (self.packed or self._downlink is not None) and len(arrays) == 1 and all(map(_has_one_at_most, messages)):
            packed = Packed.of(*arrays.values())
            for number, message in enumerate(messages):
                if (found := model_of(message)) is not None:
                    message.content = put_full_model(message.content, found[0], packed, keep=False)
                    payload[number] = packed.payload
        return DownlinkBytes.of(payload, messages)

    def resend_missing(self, replies: Iterable[Message]) -> tuple[list[Message], DownlinkBytes]:
        """Send the full model to clients that lack the base of their deltas, while the phase has time left.

        Returns:
            All replies, with error replies in place of those that still lack a base; the bytes that were resent.
        """
        found, resent = list(replies), DownlinkBytes.none()
        if self._downlink is not None and self._sends_public and self._grid is not None:
            found, resent = self._downlink.resend_missing(found, self._grid, self._deadline - time.monotonic())
        reason = "surp-fl: the client lacks the base of the deltas, and the full model was not sent or not accepted"
        return [error_reply(reply, reason) if lacks_base(reply) else reply for reply in found], resent


def _has_one_at_most(message: Message) -> bool:
    return len(message.content.array_records) <= 1


def _equal(one: ArrayRecord, other: ArrayRecord) -> bool:
    return one is other or digest_of(arrays_of(one)) == digest_of(arrays_of(other))


def _different_records(messages: list[Message]) -> list[ArrayRecord]:
    """The models in messages: of those that share a record, one."""
    found = (model_of(message) for message in messages)
    return list({id(each[1]): each[1] for each in found if each is not None}.values())


def _distinct_models(messages: list[Message]) -> list[ArrayRecord]:
    """The distinct models in messages; afterwards, messages that hold equal ones share one record."""
    by_id = {id(record): record for record in _different_records(messages)}
    if len(by_id) <= 1:
        return list(by_id.values())
    digests = {key: digest_of(arrays_of(record)) for key, record in by_id.items()}
    first = {digest: by_id[key] for key, digest in reversed(digests.items())}
    for message in messages:
        if (found := model_of(message)) is not None:
            message.content = with_model(message.content, found[0], first[digests[id(found[1])]])
    return list(first.values())
