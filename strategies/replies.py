"""Replies → their contents. A reply that cannot be used becomes an error reply, and the round continues without it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flwr.app import Message

from surp_fl.codecs import dense, reader_of
from surp_fl.codecs.codec import Scheme
from surp_fl.errors import MalformedMessage
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import CompressedReply, error_reply, from_record
from surp_fl.frame import scheme_id_of
from surp_fl.printable import printable
from surp_fl.strategies.limits import check_numbers, check_payload, payload_of
from surp_fl.strategies.node_registry import NodeRegistry, SentModel
from surp_fl.types import Arrays, Update
from surp_fl.updates import memory_bytes

log = logging.getLogger("flwr")

LINES = 20  # log lines about one round's errors
_REJECTED = "surp-fl: "  # how the reasons of our error replies begin
_MAX_WEIGHT = 1e15  # larger weights, or smaller ones than 1 / this, would overflow or underflow in float32 sums
_Lengths = frozenset[tuple[str, int]]  # of metrics that are lists; −1 of those that are none
_MetricForm = tuple[str, str, _Lengths]  # names of both records first


@dataclass(frozen=True)
class ParsedReply:
    """A reply whose record is valid; its message is not decoded yet.

    Attributes:
        reply: as it came.
        node: id of the sender.
        compressed: content of its record.
        sent_model: the model that the update is to be added to.
    """

    reply: Message
    node: int
    compressed: CompressedReply
    sent_model: SentModel


@dataclass(frozen=True)
class DecodedReply:
    """The decoded sections of a reply.

    Attributes:
        update: of the trained arrays, in the untied layout.
        untrained: running statistics and integer arrays as the client has them now.
        in_part: whether running statistics that are the same as before may just not have been told.
    """

    update: Update
    untrained: Arrays
    in_part: bool = False

    def extra_bytes(self, sent: Arrays) -> int:
        """Bytes of memory, without untrained arrays that did not change: those are the objects in `sent`."""
        changed = [array for name, array in self.untrained.items() if array is not sent[name]]
        return memory_bytes(self.update) + sum(array.nbytes for array in changed)


def by_content(reply: Message) -> tuple[bytes, int]:
    """Sort key: the message if there is one, then the node id. Makes sums independent of the order of arrival."""
    record = reply.content.config_records.get(NAME) if reply.has_content() else None
    message = record.get(NAME) if record is not None else None
    return (message if isinstance(message, bytes) else b"", reply.metadata.src_node_id)


def parse_replies(
    replies: list[Message], registry: NodeRegistry, weight_key: str | None
) -> tuple[list[ParsedReply], list[Message]]:
    """Parse the records of a round's replies, and check that their metrics can be aggregated.

    Args:
        replies: as they came.
        registry: of what nodes were sent.
        weight_key: a metric that the strategy needs as a weight; None for none.

    Returns:
        The valid replies; and error replies, those that came and those that replace invalid replies.
    """
    parsed: dict[int, ParsedReply] = {}

    def parse_one(reply: Message) -> None:
        found = _parse(reply, registry)
        if found.node in parsed:
            raise MalformedMessage("it is the second one of this node in this round")
        parsed[found.node] = found

    _, errors = _partition(replies, parse_one)
    most_common = Counter(_metric_form_of(each) for each in parsed.values()).most_common(1)
    usable = []
    for each in parsed.values():
        try:
            _check_metrics(each, most_common[0][0], weight_key)
            usable.append(each)
        except MalformedMessage as fault:
            errors.append(reject(each.reply, fault))
    return usable, errors


def check_evaluation(replies: list[Message], weight_key: str | None) -> tuple[list[Message], list[Message]]:
    """Check that the metrics of evaluation replies can be logged, and aggregated where that is done in Flower's way.

    Args:
        replies: as they came.
        weight_key: a metric that Flower's FedAvg needs as a weight, with all others of one form; None for strategies
            that aggregate evaluations in a way of their own.

    Returns:
        The usable replies; and error replies, those that came and those that replace unusable replies.
    """

    def check(reply: Message) -> None:
        records = reply.content.metric_records
        for record in records.values():
            check_numbers(record)
        if weight_key is not None:
            if len(records) != 1:
                raise MalformedMessage(f"its evaluation has {len(records)} records of metrics; expected one")
            _check_weight(next(iter(records.values())), weight_key)

    usable, errors = _partition(replies, check)
    if weight_key is None:
        return usable, errors
    by_node = sorted(usable, key=lambda reply: reply.metadata.src_node_id)
    most_common = Counter(map(_evaluation_form_of, by_node)).most_common(1)

    def check_form(reply: Message) -> None:
        if (found := _evaluation_form_of(reply)) != most_common[0][0]:
            raise MalformedMessage(
                f"the metrics of its evaluation are {printable(_names_in(found[1]), 130)} in '{printable(found[0])}'; "
                f"most replies of this round have {printable(_names_in(most_common[0][0][1]), 130)}: "
                "let every client report the same ones, in a record of the same name"
            )

    return _partition([*usable, *errors], check_form)


def weights_of(evaluations: list[Message], weight_key: str) -> list[float]:
    """The weights of evaluation replies that were checked."""
    return [float(record[weight_key]) for each in evaluations for record in each.content.metric_records.values()]  # type: ignore[arg-type]


def _partition(replies: list[Message], check: Callable[[Message], None]) -> tuple[list[Message], list[Message]]:
    """Replies that pass a check; and errors, those that came and those that replace replies which fail it."""
    usable: list[Message] = []
    errors: list[Message] = []
    for reply in replies:
        if reply.has_error():
            errors.append(reply)
            continue
        try:
            check(reply)
            usable.append(reply)
        except MalformedMessage as fault:
            errors.append(reject(reply, fault))
    return usable, errors


def decode(parsed: ParsedReply, registry: NodeRegistry, scheme: Scheme | None) -> DecodedReply:
    """Decode the sections of a reply, its message with each reference that its node may have used.

    Args:
        parsed: the reply.
        registry: of what nodes were sent.
        scheme: the only one that is accepted beside dense messages; None for all.

    Raises:
        MalformedMessage: a section is not valid, or the message decodes with no reference.
    """
    sections, layout = parsed.compressed.change, parsed.sent_model.layout
    layout = layout.untied if parsed.compressed.untied else layout
    required = scheme if scheme_id_of(sections.message) != dense.READER.scheme_id else None  # dense: small models
    reader = reader_of(sections.message) if required is None else required.codec.reader
    untrained = sections.untrained(parsed.sent_model.untrained, layout)
    faults = []
    for reference in registry.references(parsed.node, layout):
        try:
            update = reader.decode_compact(sections.message, layout, reference=reference)
        except MalformedMessage as fault:
            faults.append(fault)
        else:
            return DecodedReply(layout.spread(update), untrained, in_part=not sections.tells_all_statistics)
    raise faults[0]


def reject(reply: Message, fault: MalformedMessage) -> Message:
    """Make the error reply that replaces a reply which cannot be used."""
    return error_reply(reply, f"{_REJECTED}{fault}")


def is_rejection(reply: Message) -> bool:
    """Whether an error reply was made by `reject`: a reply came, and could not be used."""
    return reply.has_error() and str(reply.error.reason).startswith(_REJECTED)


def log_rejections(errors: list[Message]) -> None:
    """Log which replies of a round were rejected and why, the first `LINES` of them one by one."""
    rejections = [reply for reply in errors if is_rejection(reply)]
    for reply in rejections[:LINES]:
        why = printable(str(reply.error.reason).removeprefix(_REJECTED))
        log.warning("surp-fl: the reply of node %d is left out of this round: %s", reply.metadata.src_node_id, why)
    if len(rejections) > LINES:
        log.warning("surp-fl: %d more replies are left out of this round", len(rejections) - LINES)


def shorten_errors(replies: list[Message]) -> list[Message]:
    """Shorten the reasons of error replies, all of which Flower's strategies log: to one phrase beyond `LINES`."""
    found, errors = [], 0
    for reply in replies:
        if reply.has_error():
            errors += 1
            reason = reply.error.reason if errors <= LINES else f"as {LINES} others failed"
            found.append(error_reply(reply, str(reason), reply.error.code))
        else:
            found.append(reply)
    return found


def _parse(reply: Message, registry: NodeRegistry) -> ParsedReply:
    node = reply.metadata.src_node_id
    if node not in registry.sent:
        raise MalformedMessage("this node was sent nothing in this round, so there is nothing to add its update to")
    if registry.is_late(reply):
        raise MalformedMessage("it answers a message of an earlier round")
    record = reply.content.config_records.get(NAME)
    if record is None:
        raise MalformedMessage(
            f"the reply holds {printable(sorted(reply.content), 100)} and no '{NAME}' record: the client does not "
            "compress; give its app ClientApp(mods=[CompressUpdates(...)]), as the first mod"
        )
    check_payload(payload_of(record), registry.payload_limits[node])
    check_numbers(record)
    return ParsedReply(reply, node, from_record(record), registry.sent[node])


def _metric_form_of(parsed: ParsedReply) -> _MetricForm:
    """Names of the records and metrics, and the length of those that are lists."""
    compressed = parsed.compressed
    name = compressed.arrays_name or parsed.sent_model.arrays_name
    return name, compressed.metrics_name, _lengths_in(compressed.metrics)


def _evaluation_form_of(reply: Message) -> tuple[str, _Lengths]:
    """Name of the only record of metrics, and of these."""
    ((name, record),) = reply.content.metric_records.items()
    return name, _lengths_in(record)


def _lengths_in(metrics: Mapping[str, Any]) -> _Lengths:
    return frozenset((name, len(value) if isinstance(value, list) else -1) for name, value in metrics.items())


def _check_metrics(parsed: ParsedReply, most_common: _MetricForm, weight_key: str | None) -> None:
    """Reject a reply whose records and metrics differ from the others': Flower's strategies would end the run."""
    metrics = parsed.compressed.metrics
    if (found := _metric_form_of(parsed)) != most_common:
        raise MalformedMessage(
            f"its metrics are {printable(_described(found), 130)}; most replies of this round have "
            f"{printable(_described(most_common), 130)}: "
            "let every client report the same ones, in records of the same names"
        )
    _check_weight(metrics, weight_key)


def _check_weight(metrics: Mapping[str, Any], weight_key: str | None) -> None:
    weight = metrics.get(weight_key) if weight_key is not None else 1.0
    fits = isinstance(weight, int | float) and (weight == 0 or 1 / _MAX_WEIGHT <= weight <= _MAX_WEIGHT)
    if not fits:
        raise MalformedMessage(
            f"the metric '{weight_key}', its weight, is {printable(weight, 60)}; expected one number, 0 or up to "
            f"{_MAX_WEIGHT:g}"
        )


def _described(form: _MetricForm) -> str:
    return f"{_names_in(form[2])} in '{form[1]}' beside '{form[0]}'"


def _names_in(lengths: _Lengths) -> list[str]:
    return sorted(f"{name}[{length}]" if length >= 0 else name for name, length in lengths)
