"""Bytes and seconds of one round, all counted on the server or reported by clients; nothing is estimated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flwr.app import ArrayRecord, Message, MetricRecord

from surp_fl.flower.records import Stats, count_record

PREFIX = "surp-fl/"  # of our metrics
_MEANS = (
    "payload_bytes_up",
    "payload_bytes_down",
    "record_bytes_up",
    "record_bytes_down",
    "encode_seconds",
    "decode_seconds",
    "relative_error",
    "residual_norm",
)


class DownlinkBytes(NamedTuple):
    """Bytes sent to clients, message by message.

    Attributes:
        payload: bytes of models and deltas in each message.
        record: Flower's count of each message's content (payload, config, keys).
    """

    payload: list[int]
    record: list[int]

    @classmethod
    def of(cls, payload: list[int], messages: Iterable[Message]) -> DownlinkBytes:
        """Count the records of messages; a shared ArrayRecord is counted once, and the number reused.

        Args:
            payload: bytes, one number for each message.
            messages: as they are sent.
        """
        arrays: dict[int, int] = {}

        def counted(record: Any) -> int:
            if not isinstance(record, ArrayRecord):
                return count_record(record)
            if id(record) not in arrays:
                arrays[id(record)] = count_record(record)
            return arrays[id(record)]

        return cls(payload, [sum(map(counted, message.content.values())) for message in messages])


@dataclass
class RoundStats:
    """Bytes and seconds of one round; each list has one entry for each usable reply whose client reported the figure.

    Attributes:
        server_round: from 1.
        payload_bytes_up: length of each message, with the sections of statistics and integer arrays.
        record_bytes_up: Flower's count of each reply (message, metrics, keys).
        coordinates_up: number of nonzero coordinates in each message; all, where it is decoded to a full vector.
        payload_bytes_down: bytes of models and deltas in each train and evaluate message sent.
        record_bytes_down: Flower's count of each of these messages (payload, config, keys).
        encode_seconds: measured by the client.
        decode_seconds: measured by the server.
        relative_error: ‖wanted − sent‖ / ‖wanted‖, measured by the client.
        residual_norm: ‖residual‖ after the round, measured by the client.
        failures: replies that were errors or could not be used.
        model_bytes: of the model's arrays.
    """

    server_round: int
    payload_bytes_up: list[int] = field(default_factory=list)
    record_bytes_up: list[int] = field(default_factory=list)
    coordinates_up: list[int] = field(default_factory=list)
    payload_bytes_down: list[int] = field(default_factory=list)
    record_bytes_down: list[int] = field(default_factory=list)
    encode_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)
    relative_error: list[float] = field(default_factory=list)
    residual_norm: list[float] = field(default_factory=list)
    failures: int = 0
    model_bytes: int = 0

    def record_downlink(self, sent: DownlinkBytes) -> None:
        """Append the bytes of messages that were sent."""
        self.payload_bytes_down += sent.payload
        self.record_bytes_down += sent.record

    def record_client_stats(self, stats: Stats) -> None:
        """Append the figures that a client reported; None is left out."""
        for values, measured in (
            (self.encode_seconds, stats.encode_seconds),
            (self.relative_error, stats.relative_error),
            (self.residual_norm, stats.residual_norm),
        ):
            values += [] if measured is None else [measured]

    def add_to_metrics(self, metrics: MetricRecord) -> None:
        """Add means and sums of a training round to the metrics that Flower logs and returns, as "surp-fl/...".

        The compression ratio is the model's bytes to the messages', both summed over the usable replies.
        """
        for name in _MEANS:
            values = getattr(self, name)
            if values:
                metrics[f"{PREFIX}{name}_mean"] = sum(values) / len(values)
        if self.payload_bytes_up:
            metrics[f"{PREFIX}payload_bytes_up_max"] = max(self.payload_bytes_up)
            metrics[f"{PREFIX}payload_bytes_up_sum"] = sum(self.payload_bytes_up)
            metrics[f"{PREFIX}payload_bytes_down_sum"] = sum(self.payload_bytes_down)
            uncompressed = self.model_bytes * len(self.payload_bytes_up)
            metrics[f"{PREFIX}compression_ratio"] = uncompressed / sum(self.payload_bytes_up)
        metrics[f"{PREFIX}failures"] = self.failures
