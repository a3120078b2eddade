"""A compressed reply ↔ Flower records. Their keys: protocol.py. Does not know how a message is made."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from numpy.typing import NDArray

from surp_fl.change import Change
from surp_fl.errors import MalformedMessage
from surp_fl.flower.legacy_records import FIT_METRICS, WEIGHT
from surp_fl.flower.protocol import (
    ARRAYS_NAME,
    EXAMPLES,
    INTEGER_ARRAYS,
    KINDS,
    METRICS_NAME,
    NAME,
    STATISTICS,
    STATS,
    UNTIED,
)
from surp_fl.flower.versions import ConfigRecordValues, ErrorCode, error_in_place_of
from surp_fl.printable import name as quoted
from surp_fl.printable import printable
from surp_fl.statistics import Kinds
from surp_fl.types import Arrays

_STATS_FORMAT = struct.Struct("<5f")
_LARGEST = float(np.finfo(np.float32).max)

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Stats:
    """What a client measured of its own message; None for a figure that is not finite.

    Attributes:
        encode_seconds: time to make the message.
        relative_error: ‖wanted − sent‖ / ‖wanted‖; 0 if the update is zero.
        residual_norm: ‖residual‖ after the message; 0 without error feedback.
        update_norm: ‖delta‖, of what this round's training changed.
        tenth: least number of coordinates that hold a tenth of ‖wanted‖².
    """

    encode_seconds: float | None = None
    relative_error: float | None = None
    residual_norm: float | None = None
    update_norm: float | None = None
    tenth: float | None = None


@dataclass(frozen=True)
class CompressedReply:
    """The content of one compressed reply.

    Attributes:
        change: the message, and the sections of running statistics and integer arrays.
        metrics: the app's own.
        stats: measured by the client.
        arrays_name: the app's name for its ArrayRecord, None for the name that the server used.
        metrics_name: the app's name for its MetricRecord.
        untied: whether the message encodes tied arrays separately, because they are no longer equal.
        legacy_metrics: of a legacy app, whose `metrics` are its number of examples alone; numbers, text, bytes and
            booleans by name. None for other apps.
        evaluation: entries of an evaluation before the training; see evaluation.py. Read from the record by that.
    """

    change: Change
    metrics: Metrics
    stats: Stats
    arrays_name: str | None = None
    metrics_name: str = "metrics"
    untied: bool = False
    legacy_metrics: Metrics | None = None
    evaluation: Metrics = field(default_factory=dict)


def to_record(reply: CompressedReply) -> ConfigRecord:
    """Write a compressed reply as one ConfigRecord.

    Raises:
        ValueError: a metric has a name that surp-fl uses.
    """
    values: dict[str, ConfigRecordValues] = {NAME: reply.change.message}
    values[STATS] = _STATS_FORMAT.pack(
        *(math.nan if each is None else min(each, _LARGEST) for each in astuple(reply.stats))
    )
    if reply.change.statistics:  # Flower cannot count an empty value
        values[STATISTICS] = reply.change.statistics
    if reply.change.integers:
        values[INTEGER_ARRAYS] = reply.change.integers
    if reply.untied:
        values[UNTIED] = True
    if reply.arrays_name is not None:
        values[ARRAYS_NAME] = reply.arrays_name
    if reply.metrics_name != "metrics":
        values[METRICS_NAME] = reply.metrics_name
    if reply.legacy_metrics is not None:
        values[EXAMPLES] = reply.metrics[WEIGHT]
    for name, value in (reply.metrics if reply.legacy_metrics is None else reply.legacy_metrics).items():
        if name.startswith(NAME):
            raise ValueError(f"the app's metric '{name}' has a name that surp-fl uses itself: rename the metric")
        values[name] = value
    return ConfigRecord({**values, **reply.evaluation})


def from_record(record: ConfigRecord) -> CompressedReply:
    """Read a compressed reply from a ConfigRecord that came over the network; its sections are not decoded.

    Raises:
        MalformedMessage: an entry is missing, or has the wrong type.
    """
    sections = [record.get(key, b"") for key in (NAME, STATISTICS, INTEGER_ARRAYS)]
    for key, section in zip((NAME, STATISTICS, INTEGER_ARRAYS), sections, strict=True):
        if not isinstance(section, bytes) or (key == NAME and key not in record):
            found = type(record.get(key)).__name__
            raise MalformedMessage(f"the record holds {found} under '{key}'; expected bytes")
    arrays_name, metrics_name = record.get(ARRAYS_NAME), record.get(METRICS_NAME, "metrics")
    if not isinstance(arrays_name, str | None) or not isinstance(metrics_name, str):
        raise MalformedMessage("the record's names for the app's own records are not strings")
    metrics: dict[str, Any] = {name: value for name, value in record.items() if not name.startswith(NAME)}
    legacy_metrics = metrics if EXAMPLES in record else None
    if legacy_metrics is not None:
        metrics = {WEIGHT: record[EXAMPLES]}
    for name, value in metrics.items():
        first = (value[0] if value else 0) if isinstance(value, list) else value
        if isinstance(first, bool) or not isinstance(first, int | float):
            raise MalformedMessage(f"the metric {quoted(name)} is {type(first).__name__}; expected a number")
    change, untied = Change(*map(bytes, sections)), record.get(UNTIED) is True  # type: ignore[arg-type]
    stats = _stats_in(record.get(STATS))
    return CompressedReply(change, metrics, stats, arrays_name, metrics_name, untied, legacy_metrics)


def _stats_in(found: Any) -> Stats:
    """What a client measured. It is only reported, so that invalid figures count as missing and are no error."""
    if not isinstance(found, bytes) or len(found) != _STATS_FORMAT.size:
        return Stats()
    return Stats(*(each if math.isfinite(each) else None for each in _STATS_FORMAT.unpack(found)))


def announced_kinds(content: RecordDict) -> Kinds | None:
    """Which arrays are running statistics, as the server announces it; None if it does not.

    Raises:
        ValueError: the announcement is not a JSON object.
    """
    for config in content.config_records.values():
        if KINDS in config:
            try:
                kinds = json.loads(str(config[KINDS]))
            except RecursionError:
                kinds = None
            if not isinstance(kinds, dict):
                raise ValueError(f"the server's message has {KINDS} = {config[KINDS]!r:.60}; expected a JSON object")
            return kinds
    return None


def arrays_of(record: ArrayRecord) -> Arrays:
    """Copy the arrays out of a record, by name; shapes come from the data (older apps leave them out of the record)."""
    return {name: native(array.numpy()) for name, array in record.items()}


def native(array: NDArray[Any]) -> NDArray[Any]:
    """An array in this machine's byte order, as every array is that was sent as part of one: itself, or a copy."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def record_of(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Copy arrays, by name, into a record."""
    return ArrayRecord({name: Array(np.asarray(array, order="C")) for name, array in arrays.items()})


def ordinary_reply(reply: CompressedReply, arrays: Arrays, arrays_name: str, received: RecordDict) -> RecordDict:
    """Make the content that a client without compression would have sent.

    Args:
        reply: as it was parsed.
        arrays: the decoded model.
        arrays_name: name of the server's ArrayRecord, if the app did not choose another one.
        received: the content that came; its further configs are kept.
    """
    content = RecordDict({reply.arrays_name or arrays_name: record_of(arrays)})
    for name, record in received.config_records.items():  # not arrays or metrics, which other replies do not have
        if name != NAME:
            content[name] = record
    return RecordDict({**content, **metrics_of(reply)})


def metrics_of(reply: CompressedReply) -> RecordDict:
    """The metrics of a reply in the records that a client without compression would have sent."""
    content = RecordDict({reply.metrics_name: MetricRecord(dict(reply.metrics))} if reply.metrics else {})
    if reply.legacy_metrics is not None:
        content[FIT_METRICS] = ConfigRecord(dict(reply.legacy_metrics))
    return content


def error_reply(reply: Message, reason: str, code: int | None = None) -> Message:
    """Make an error reply that replaces a reply.

    Args:
        reply: that is replaced; its metadata are kept.
        reason: any text; it is made printable.
        code: of the error; None for `MOD_FAILED_PRECONDITION`.
    """
    error = Error(ErrorCode.MOD_FAILED_PRECONDITION if code is None else code, printable(reason))
    return error_in_place_of(reply, error)


def count_bytes(content: RecordDict) -> int:
    """Bytes of a message's content, as Flower counts them.

    Of an empty value, which Flower cannot count, the bytes of its key count."""
    return sum(map(count_record, content.values()))


def count_record(record: Any) -> int:
    """Bytes of one record, as Flower counts them; see `count_bytes`."""
    if not isinstance(record, ConfigRecord):
        return int(record.count_bytes())
    filled = {key: value for key, value in record.items() if not hasattr(value, "__len__") or len(value)}
    return ConfigRecord(filled).count_bytes() + sum(len(key) for key in record if key not in filled)
