"""A message and its company ↔ Flower records.

A compressed reply is one ConfigRecord: every further record, and every array, would be an object of its own on
Flower's wire, with its own request. Knows Flower's records. Does not know how a message is made.

    "surp-fl"              bytes    the message
    "surp-fl:stats"        bytes    encode seconds, relative error, norm of what is still owed; float32, little-endian
    "surp-fl:exact:NAME"   bytes    an integer or boolean array, little-endian, as it is
    "surp-fl:arrays"       str      name of the app's ArrayRecord, where it is not the server's
    "surp-fl:metrics"      str      name of the app's MetricRecord, where it is not "metrics"
    anything else                   the app's metrics
"""

from __future__ import annotations

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

from surp_fl.layout import Layout
from surp_fl.message import MalformedMessage
from surp_fl.printable import name as quoted
from surp_fl.printable import printable

NAME = "surp-fl"  # of the record, of the message in it, of the state in Context.state
MODEL = f"{NAME}:model"  # the model that a client was sent last, in Context.state
HELD = f"{NAME}:held"  # the version of the server's model that it holds, in Context.state
SENT = f"{NAME}:sent"  # what its last message said, in Context.state
# numbers in the train config:
SESSION = f"{NAME}:session"  # which server object keeps track of what clients hold
ROUND = f"{NAME}:round"  # counted by that object, from 1, whatever the strategy's own numbers are
ROUNDS = f"{NAME}:rounds"  # a list: of which earlier ones it holds the model that this client was sent
APPLIED = f"{NAME}:applied"  # the round of the client's last message that was handed to the strategy; 0 for none
BUDGET = f"{NAME}:budget"  # bytes that a message may have
_EXACT = f"{NAME}:exact:"
_STATS = f"{NAME}:stats"
_STATS_FORM = struct.Struct("<3f")
_LARGEST = float(np.finfo(np.float32).max)
_ARRAYS = f"{NAME}:arrays"
_METRICS = f"{NAME}:metrics"

Arrays = dict[str, NDArray[Any]]
Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Stats:
    """What a client measured of its own message.

    Attributes:
        encode_seconds: time to make the message.
        relative_error: ‖wanted − sent‖ / ‖wanted‖, 0 to 1 for a sensible message; 0 where nothing was wanted.
        residual_norm: ‖residual‖, what is still owed afterwards.
    """

    encode_seconds: float
    relative_error: float
    residual_norm: float


@dataclass(frozen=True)
class Update:
    """What one reply carries.

    Attributes:
        message: the codec's bytes.
        exact: arrays that have no place in the vector, by name.
        metrics: the app's own.
        stats: measured by the client.
        arrays_name: the app's name for its ArrayRecord, None for the name that the server used.
        metrics_name: the app's name for its MetricRecord.
    """

    message: bytes
    exact: Mapping[str, NDArray[Any]]
    metrics: Metrics
    stats: Stats
    arrays_name: str | None = None
    metrics_name: str = "metrics"


def to_record(update: Update) -> ConfigRecord:
    """Put an update into one ConfigRecord.

    Raises:
        ValueError: a metric has a name that is ours.
    """
    values: dict[str, ConfigRecordValues] = {NAME: update.message}
    stats = update.stats
    values[_STATS] = _STATS_FORM.pack(*(min(each, _LARGEST) for each in astuple(stats)))
    for name, array in update.exact.items():
        if array.size > 0:  # Flower cannot count an empty value; the layout knows that it is empty
            values[_EXACT + name] = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    if update.arrays_name is not None:
        values[_ARRAYS] = update.arrays_name
    if update.metrics_name != "metrics":
        values[_METRICS] = update.metrics_name
    for name, value in update.metrics.items():
        if name.startswith(NAME):
            raise ValueError(f"the app's metric '{name}' has a name that surp-fl uses itself: rename the metric")
        values[name] = value
    return ConfigRecord(values)


def from_record(record: ConfigRecord, layout: Layout) -> Update:
    """Take an update out of a ConfigRecord that came over the network.

    Raises:
        MalformedMessage: something is missing, of the wrong type, or of the wrong size.
    """
    message = record.get(NAME)
    if not isinstance(message, bytes):
        raise MalformedMessage(
            f"the record holds {type(message).__name__} under '{NAME}'; expected the message's bytes"
        )
    stats = record.get(_STATS)
    if (
        not isinstance(stats, bytes)
        or len(stats) != _STATS_FORM.size
        or not all(map(math.isfinite, _STATS_FORM.unpack(stats)))
    ):
        raise MalformedMessage(
            f"the record holds {stats!r:.60} under '{_STATS}'; expected {_STATS_FORM.size} bytes, three float32"
        )
    arrays_name, metrics_name = record.get(_ARRAYS), record.get(_METRICS, "metrics")
    if not isinstance(arrays_name, str | None) or not isinstance(metrics_name, str):
        raise MalformedMessage("the record's names for the app's own records are not strings")
    metrics = {name: value for name, value in record.items() if not name.startswith(NAME)}
    for name, value in metrics.items():
        first = (value[0] if value else 0) if isinstance(value, list) else value
        if isinstance(first, bool) or not isinstance(first, int | float):
            raise MalformedMessage(f"the metric {quoted(name)} is {type(first).__name__}; expected a number")
    exact = {spec.name: _exact(spec.name, spec.shape, spec.dtype, record) for spec in layout.exact}
    return Update(message, exact, metrics, Stats(*_STATS_FORM.unpack(stats)), arrays_name, metrics_name)


def _exact(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], record: ConfigRecord) -> NDArray[Any]:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    value = record.get(_EXACT + name, b"")
    if not isinstance(value, bytes) or len(value) != size:
        raise MalformedMessage(
            f"the exact array '{name}' came as {type(value).__name__} of "
            f"{len(value) if isinstance(value, bytes) else '?'} bytes; expected {size} bytes of {dtype}{list(shape)}"
        )
    return np.frombuffer(value, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def arrays_of(record: ArrayRecord) -> Arrays:
    """Copy the arrays out of a record; shapes as they really are (older apps leave them out of the record)."""
    return {name: array.numpy() for name, array in record.items()}


def record_of(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Put arrays into a record."""
    return ArrayRecord({name: Array(np.asarray(array, order="C")) for name, array in arrays.items()})


def ordinary_reply(update: Update, arrays: Arrays, arrays_name: str, others: RecordDict) -> RecordDict:
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
