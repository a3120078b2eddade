"""Replies → what is in them. What cannot be used becomes an error reply, which costs itself and not the round."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from flwr.app import Message

from surp_fl.codecs import dense, reader_of
from surp_fl.codecs.codec import Scheme
from surp_fl.errors import MalformedMessage
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import CompressedReply, error_reply, from_record
from surp_fl.frame import scheme_id_of
from surp_fl.printable import printable
from surp_fl.strategies.limits import check_numbers, check_payload, payload_of
from surp_fl.strategies.node_registry import Books, Broadcast
from surp_fl.types import Arrays, Update
from surp_fl.updates import bytes_of

log = logging.getLogger("flwr")

LINES = 20  # in the log, about one round's errors
_LEFT_OUT = "surp-fl: "
_HEAVIEST = 1e15  # weights further from 1 than this, and their products with updates, have no place in float32
_Form = tuple[str, str, frozenset[tuple[str, int]]]


@dataclass(frozen=True)
class Opened:
    """A reply whose record is in order; its message is not decoded yet.

    Attributes:
        reply: as it came.
        node: that sent it.
        update: what its record holds.
        broadcast: the model that the update is to be added to.
    """

    reply: Message
    node: int
    update: CompressedReply
    broadcast: Broadcast


@dataclass(frozen=True)
class Said:
    """What a reply says.

    Attributes:
        change: what is to be added to the model's vector, the one of its untied layout.
        others: running statistics and integer arrays as the client has them now.
    """

    change: Update
    others: Arrays

    def bytes_beside(self, had: Arrays) -> int:
        """Bytes that this takes, beside the arrays that the client was sent and that did not change."""
        told = [array for name, array in self.others.items() if array is not had[name]]
        return bytes_of(self.change) + sum(array.nbytes for array in told)


def by_content(reply: Message) -> tuple[bytes, int]:
    """Sort key: the message where there is one; else the node. Sums then do not depend on who answered first."""
    record = reply.content.config_records.get(NAME) if reply.has_content() else None
    message = record.get(NAME) if record is not None else None
    return (message if isinstance(message, bytes) else b"", reply.metadata.src_node_id)


def open_all(replies: list[Message], books: Books, weighted_by: str | None) -> tuple[list[Opened], list[Message]]:
    """Open the replies of a round.

    Args:
        replies: as they came.
        books: of what nodes were sent.
        weighted_by: a metric that the strategy needs as a weight; None for none.

    Returns:
        Those in order, and errors in place of the others.
    """
    opened: dict[int, Opened] = {}

    def open_one(reply: Message) -> None:
        found = _open(reply, books)
        if found.node in opened:
            raise MalformedMessage("it is the second one of this node in this round")
        opened[found.node] = found

    _, errors = _looked_at(replies, open_one)
    usual = Counter(_form_of(each) for each in opened.values()).most_common(1)
    usable = []
    for each in opened.values():
        try:
            _check_metrics(each, usual[0][0], weighted_by)
            usable.append(each)
        except MalformedMessage as fault:
            errors.append(left_out(each.reply, fault))
    return usable, errors


def within_reason(replies: list[Message]) -> tuple[list[Message], list[Message]]:
    """The replies of an evaluation whose metrics can be logged, and errors in place of the others."""

    def check(reply: Message) -> None:
        for record in reply.content.metric_records.values():
            check_numbers(record)

    return _looked_at(replies, check)


def _looked_at(replies: list[Message], look: Callable[[Message], None]) -> tuple[list[Message], list[Message]]:
    """The replies that a look finds in order; errors as they came, and errors in place of the others."""
    usable: list[Message] = []
    errors: list[Message] = []
    for reply in replies:
        if reply.has_error():
            errors.append(reply)
            continue
        try:
            look(reply)
            usable.append(reply)
        except MalformedMessage as fault:
            errors.append(left_out(reply, fault))
    return usable, errors


def decode(opened: Opened, books: Books, scheme: Scheme | None) -> Said:
    """Decode the sections of a reply, its message against what its node may have held.

    Raises:
        MalformedMessage: it is not what this node can have made.
    """
    sections, layout = opened.update.change, opened.broadcast.layout
    layout = layout.untied if opened.update.untied else layout
    open_to = scheme if scheme_id_of(sections.message) != dense.READER.scheme_id else None  # dense: small models
    reader = reader_of(sections.message) if open_to is None else open_to.codec.reader
    others = sections.others(opened.broadcast.others, layout)
    faults = []
    for reference in books.references(opened.node, layout):
        try:
            change = reader.decode_compact(sections.message, layout, reference=reference)
        except MalformedMessage as fault:
            faults.append(fault)
        else:
            return Said(layout.spread(change), others)
    raise faults[0]


def left_out(reply: Message, fault: MalformedMessage) -> Message:
    """Make the error that stands in for a reply that cannot be used."""
    return error_reply(reply, f"{_LEFT_OUT}{fault}")


def log_left_out(errors: list[Message]) -> None:
    """Log which replies of a round cannot be used and why, the first of them one by one."""
    ours = [reply for reply in errors if is_ours(reply)]
    for reply in ours[:LINES]:
        why = printable(str(reply.error.reason).removeprefix(_LEFT_OUT))
        log.warning("surp-fl: the reply of node %d is left out of this round: %s", reply.metadata.src_node_id, why)
    if len(ours) > LINES:
        log.warning("surp-fl: %d more replies are left out of this round", len(ours) - LINES)


def fit_to_log(replies: list[Message]) -> list[Message]:
    """Replies as Flower's strategies may have them, which log the reasons of all errors: the first in short."""
    found, errors = [], 0
    for reply in replies:
        if reply.has_error():
            errors += 1
            reason = reply.error.reason if errors <= LINES else f"as {LINES} others failed"
            found.append(error_reply(reply, str(reason), reply.error.code))
        else:
            found.append(reply)
    return found


def _open(reply: Message, books: Books) -> Opened:
    node = reply.metadata.src_node_id
    if node not in books.sent:
        raise MalformedMessage("this node was sent nothing in this round, so there is nothing to add its update to")
    record = reply.content.config_records.get(NAME)
    if record is None:
        raise MalformedMessage(
            f"the reply holds {printable(sorted(reply.content), 100)} and no '{NAME}' record: the client does not "
            "compress; give its app ClientApp(mods=[CompressUpdates(...)]), as the first mod"
        )
    check_payload(payload_of(record), books.most[node])
    check_numbers(record)
    return Opened(reply, node, from_record(record), books.sent[node])


def _form_of(opened: Opened) -> _Form:
    """Names of the records and metrics, and the length of those that are lists."""
    update = opened.update
    lengths = {(name, len(value) if isinstance(value, list) else -1) for name, value in update.metrics.items()}
    return update.arrays_name or opened.broadcast.arrays_name, update.metrics_name, frozenset(lengths)


def _check_metrics(opened: Opened, usual: _Form, weighted_by: str | None) -> None:
    """Flower's strategies end the whole run over one reply whose records and metrics are not like the others'."""
    metrics = opened.update.metrics
    if (found := _form_of(opened)) != usual:
        raise MalformedMessage(
            f"its metrics are {printable(_told(found), 130)}; most replies of this round have "
            f"{printable(_told(usual), 130)}: "
            "let every client report the same ones, in records of the same names"
        )
    weight = metrics.get(weighted_by) if weighted_by is not None else 1.0
    fits = isinstance(weight, int | float) and (weight == 0 or 1 / _HEAVIEST <= weight <= _HEAVIEST)
    if not fits:
        raise MalformedMessage(
            f"the metric '{weighted_by}', its weight, is {printable(weight, 60)}; expected one number, 0 or up to "
            f"{_HEAVIEST:g}"
        )


def _told(form: _Form) -> str:
    names = sorted(f"{name}[{length}]" if length >= 0 else name for name, length in form[2])
    return f"{names} in '{form[1]}' beside '{form[0]}'"


def is_ours(reply: Message) -> bool:
    """Whether an error stands for a reply that came and could not be used."""
    return reply.has_error() and str(reply.error.reason).startswith(_LEFT_OUT)
