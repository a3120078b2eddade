"""A change and its company ↔ Flower records. What is in them: protocol.py. Does not know how a message is made."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    ConfigRecordValues,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.common.constant import ErrorCode
from numpy.typing import NDArray

from surp_fl.change import Change
from surp_fl.errors import MalformedMessage
from surp_fl.flower.protocol import ARRAYS_NAME, INTEGER_ARRAYS, KINDS, METRICS_NAME, NAME, STATISTICS, STATS, UNTIED
from surp_fl.printable import name as quoted
from surp_fl.printable import printable
from surp_fl.statistics import Kinds
from surp_fl.types import Arrays

_STATS_FORM = struct.Struct("<3f")
_LARGEST = float(np.finfo(np.float32).max)

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Stats:
    """What a client measured of its own message; None for what is no finite number.

    Attributes:
        encode_seconds: time to make the message.
        relative_error: ‖wanted − sent‖ / ‖wanted‖, 0 to 1 for a sensible message; 0 where nothing was wanted.
        residual_norm: ‖residual‖, what is still owed afterwards.
    """

    encode_seconds: float | None
    relative_error: float | None
    residual_norm: float | None


@dataclass(frozen=True)
class CompressedReply:
    """What one reply carries.

    Attributes:
        change: the codec's bytes, and what else changed.
        metrics: the app's own.
        stats: measured by the client.
        arrays_name: the app's name for its ArrayRecord, None for the name that the server used.
        metrics_name: the app's name for its MetricRecord.
        untied: whether the message holds arrays that were equal each by itself.
    """

    change: Change
    metrics: Metrics
    stats: Stats
    arrays_name: str | None = None
    metrics_name: str = "metrics"
    untied: bool = False


def to_record(update: CompressedReply) -> ConfigRecord:
    """Put an update into one ConfigRecord.

    Raises:
        ValueError: a metric has a name that is ours.
    """
    values: dict[str, ConfigRecordValues] = {NAME: update.change.message}
    values[STATS] = _STATS_FORM.pack(
        *(math.nan if each is None else min(each, _LARGEST) for each in astuple(update.stats))
    )
    if update.change.statistics:  # Flower cannot count an empty value
        values[STATISTICS] = update.change.statistics
    if update.change.exact:
        values[INTEGER_ARRAYS] = update.change.exact
    if update.untied:
        values[UNTIED] = True
    if update.arrays_name is not None:
        values[ARRAYS_NAME] = update.arrays_name
    if update.metrics_name != "metrics":
        values[METRICS_NAME] = update.metrics_name
    for name, value in update.metrics.items():
        if name.startswith(NAME):
            raise ValueError(f"the app's metric '{name}' has a name that surp-fl uses itself: rename the metric")
        values[name] = value
    return ConfigRecord(values)


def from_record(record: ConfigRecord) -> CompressedReply:
    """Take an update out of a ConfigRecord that came over the network; its sections are not read yet.

    Raises:
        MalformedMessage: something is missing, or of the wrong type.
    """
    sections = [record.get(key, b"") for key in (NAME, STATISTICS, INTEGER_ARRAYS)]
    for key, section in zip((NAME, STATISTICS, INTEGER_ARRAYS), sections, strict=True):
        if not isinstance(section, bytes) or (key == NAME and key not in record):
            found = type(record.get(key)).__name__
            raise MalformedMessage(f"the record holds {found} under '{key}'; expected bytes")
    arrays_name, metrics_name = record.get(ARRAYS_NAME), record.get(METRICS_NAME, "metrics")
    if not isinstance(arrays_name, str | None) or not isinstance(metrics_name, str):
        raise MalformedMessage("the record's names for the app's own records are not strings")
    metrics = {name: value for name, value in record.items() if not name.startswith(NAME)}
    for name, value in metrics.items():
        first = (value[0] if value else 0) if isinstance(value, list) else value
        if isinstance(first, bool) or not isinstance(first, int | float):
            raise MalformedMessage(f"the metric {quoted(name)} is {type(first).__name__}; expected a number")
    change, untied = Change(*map(bytes, sections)), record.get(UNTIED) is True  # type: ignore[arg-type]
    return CompressedReply(change, metrics, _stats_in(record.get(STATS)), arrays_name, metrics_name, untied)


def _stats_in(found: Any) -> Stats:
    """What a client measured. Nothing is computed from it, so that odd figures are missing ones, and no fault."""
    if not isinstance(found, bytes) or len(found) != _STATS_FORM.size:
        return Stats(None, None, None)
    return Stats(*(each if math.isfinite(each) else None for each in _STATS_FORM.unpack(found)))


def announced_kinds(content: RecordDict) -> Kinds | None:
    """The server's word on which arrays are running statistics; None where it has none.

    Raises:
        ValueError: it is no JSON of names and kinds.
    """
    for config in content.config_records.values():
        if KINDS in config:
            told = json.loads(str(config[KINDS]))
            if not isinstance(told, dict):
                raise ValueError(f"the server's message has {KINDS} = {config[KINDS]!r:.60}; expected a JSON object")
            return told
    return None


def arrays_of(record: ArrayRecord) -> Arrays:
    """Copy the arrays out of a record; shapes as they really are (older apps leave them out of the record)."""
    return {name: array.numpy() for name, array in record.items()}


def record_of(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Put arrays into a record."""
    return ArrayRecord({name: Array(np.asarray(array, order="C")) for name, array in arrays.items()})


def ordinary_reply(update: CompressedReply, arrays: Arrays, arrays_name: str, others: RecordDict) -> RecordDict:
    """Make the content that a client without compression would have sent."""
    content = RecordDict({update.arrays_name or arrays_name: record_of(arrays)})
    if update.metrics:
        content[update.metrics_name] = MetricRecord(dict(update.metrics))
    for name, record in others.config_records.items():  # further arrays or metrics would not be like other replies'
        if name != NAME:
            content[name] = record
    return content


def error_reply(reply: Message, reason: str, code: int | None = None) -> Message:
    """Make the error that stands in for a reply that cannot be used, or in whose reason there may be anything.

    `metadata=` is not a documented argument of Flower's Message; `reply_to=` would answer the answer.
    """
    error = Error(ErrorCode.MOD_FAILED_PRECONDITION if code is None else code, printable(reason))
    return Message(error=error, metadata=reply.metadata)  # type: ignore[call-overload,no-any-return]


def count_bytes(content: RecordDict) -> int:
    """Flower's own count of a message's content, in bytes; empty values, which it fails to count, as their names."""
    return sum(map(count_record, content.values()))


def count_record(record: Any) -> int:
    """Flower's own count of one record in it."""
    if not isinstance(record, ConfigRecord):
        return int(record.count_bytes())
    filled = {key: value for key, value in record.items() if not hasattr(value, "__len__") or len(value)}
    return ConfigRecord(filled).count_bytes() + sum(len(key) for key in record if key not in filled)
