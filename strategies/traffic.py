"""What one round cost, as counted on the server; estimates have no place here."""

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


class Down(NamedTuple):
    """What went down, message by message.

    Attributes:
        payload: bytes of models and deltas in it.
        record: Flower's count of its content (payload, config, keys).
    """

    payload: list[int]
    record: list[int]

    @classmethod
    def of(cls, payload: list[int], messages: Iterable[Message]) -> Down:
        """Count the records of messages, those that share their arrays once."""
        arrays: dict[int, int] = {}

        def counted(record: Any) -> int:
            if not isinstance(record, ArrayRecord):
                return count_record(record)
            if id(record) not in arrays:
                arrays[id(record)] = count_record(record)
            return arrays[id(record)]

        return cls(payload, [sum(map(counted, message.content.values())) for message in messages])


@dataclass
class Traffic:
    """Bytes and times of one round; one entry per usable reply in each list, where its client measured that.

    Attributes:
        server_round: from 1.
        payload_bytes_up: length of each message, with the sections of statistics and integer arrays.
        record_bytes_up: Flower's count of each reply (message, metrics, keys).
        coordinates_up: how many coordinates each message names.
        payload_bytes_down: bytes of models and deltas in each train and evaluate message sent.
        record_bytes_down: Flower's count of each of these messages (payload, config, keys).
        encode_seconds: measured by the client.
        decode_seconds: measured by the server.
        relative_error: ‖wanted − sent‖ / ‖wanted‖, measured by the client.
        residual_norm: what each client still owes.
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

    def went(self, down: Down) -> None:
        """Add what was sent."""
        self.payload_bytes_down += down.payload
        self.record_bytes_down += down.record

    def measured(self, stats: Stats) -> None:
        """Add what a client measured, as far as it did."""
        for values, measured in (
            (self.encode_seconds, stats.encode_seconds),
            (self.relative_error, stats.relative_error),
            (self.residual_norm, stats.residual_norm),
        ):
            values += [] if measured is None else [measured]

    def add_to(self, metrics: MetricRecord) -> None:
        """Add a training round's figures to the metrics that Flower logs and returns, as "surp-fl/...": means and sums.

        The compression ratio is that of the model's bytes to the messages'.
        """
        for name in _MEANS:
            values = getattr(self, name)
            if values:
                metrics[f"{PREFIX}{name}_mean"] = sum(values) / len(values)
        if self.payload_bytes_up:
            metrics[f"{PREFIX}payload_bytes_up_max"] = max(self.payload_bytes_up)
            metrics[f"{PREFIX}payload_bytes_up_sum"] = sum(self.payload_bytes_up)
            metrics[f"{PREFIX}payload_bytes_down_sum"] = sum(self.payload_bytes_down)
            whole = self.model_bytes * len(self.payload_bytes_up)
            metrics[f"{PREFIX}compression_ratio"] = whole / sum(self.payload_bytes_up)
        metrics[f"{PREFIX}failures"] = self.failures
