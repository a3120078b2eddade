"""Bytes and seconds of one round, all counted on the server or reported by clients; nothing is estimated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from flwr.app import ArrayRecord, Message, MetricRecord

from surp_fl.flower.records import CompressedReply, Stats, count_record

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
    "update_norm",
)

MetricsChoice = Literal["few", "all", "none"]
CHOICES: dict[MetricsChoice, frozenset[str] | None] = {
    "few": frozenset({"payload_bytes_up_mean", "compression_ratio", "relative_error_mean", "failures"}),
    "all": None,
    "none": frozenset(),
}  # which figures of a round become metrics; None for every one


class DownlinkBytes(NamedTuple):
    """Bytes sent to clients, message by message.

    Attributes:
        payload: bytes of models and deltas in each message.
        record: Flower's count of each message's content (payload, config, keys).
        whole: whether the message has the whole model, and no change of one.
    """

    payload: list[int]
    record: list[int]
    whole: list[bool]

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

        found = list(messages)
        record = [sum(map(counted, message.content.values())) for message in found]
        return cls(payload, record, [bool(message.content.array_records) for message in found])

    @classmethod
    def none(cls) -> DownlinkBytes:
        """Of no messages."""
        return cls([], [], [])

    def and_also(self, other: DownlinkBytes) -> DownlinkBytes:
        """The bytes of more messages."""
        return DownlinkBytes(self.payload + other.payload, self.record + other.record, self.whole + other.whole)


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
        whole_models_down: whether each of them has the whole model.
        encode_seconds: measured by the client.
        decode_seconds: measured by the server.
        relative_error: ‖wanted − sent‖ / ‖wanted‖, measured by the client.
        residual_norm: ‖residual‖ after the round, measured by the client.
        update_norm: ‖trained − received‖, measured by the client.
        tenth: number of coordinates that hold a tenth of ‖wanted‖², counted by the client.
        failures: replies that were errors or could not be used.
        model_bytes: of the model's arrays.
    """

    server_round: int
    payload_bytes_up: list[int] = field(default_factory=list)
    record_bytes_up: list[int] = field(default_factory=list)
    coordinates_up: list[int] = field(default_factory=list)
    payload_bytes_down: list[int] = field(default_factory=list)
    record_bytes_down: list[int] = field(default_factory=list)
    whole_models_down: list[bool] = field(default_factory=list)
    encode_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)
    relative_error: list[float] = field(default_factory=list)
    residual_norm: list[float] = field(default_factory=list)
    update_norm: list[float] = field(default_factory=list)
    tenth: list[float] = field(default_factory=list)
    failures: int = 0
    model_bytes: int = 0

    def record_downlink(self, sent: DownlinkBytes) -> None:
        """Append the bytes of messages that were sent."""
        self.payload_bytes_down += sent.payload
        self.record_bytes_down += sent.record
        self.whole_models_down += sent.whole

    def record_reply(self, compressed: CompressedReply, coordinates: int, record_bytes: int, seconds: float) -> None:
        """Append the figures of a usable reply.

        Args:
            compressed: its record.
            coordinates: number of values that its update stores.
            record_bytes: Flower's count of it.
            seconds: that decoding took.
        """
        self.payload_bytes_up.append(compressed.change.payload)
        self.record_bytes_up.append(record_bytes)
        self.coordinates_up.append(coordinates)
        self.decode_seconds.append(seconds)
        self.record_client_stats(compressed.stats)

    def record_client_stats(self, stats: Stats) -> None:
        """Append the figures that a client reported; None is left out."""
        for values, measured in (
            (self.encode_seconds, stats.encode_seconds),
            (self.relative_error, stats.relative_error),
            (self.residual_norm, stats.residual_norm),
            (self.update_norm, stats.update_norm),
            (self.tenth, stats.tenth),
        ):
            values += [] if measured is None else [measured]

    def figures(self) -> dict[str, float]:
        """Means and sums of a training round, by name.

        The compression ratio is the model's bytes to the messages', both summed over the usable replies.
        """
        found: dict[str, float] = {}
        for name in _MEANS:
            if values := getattr(self, name):
                found[f"{name}_mean"] = sum(values) / len(values)
        if self.payload_bytes_up:
            found["payload_bytes_up_max"] = max(self.payload_bytes_up)
            found["payload_bytes_up_sum"] = sum(self.payload_bytes_up)
            found["payload_bytes_down_sum"] = sum(self.payload_bytes_down)
            found["compression_ratio"] = self.model_bytes * len(self.payload_bytes_up) / sum(self.payload_bytes_up)
        found["failures"] = self.failures
        return found

    def add_to_metrics(self, metrics: MetricRecord, choice: MetricsChoice = "all") -> None:
        """Add the chosen figures to the metrics that Flower logs and returns, as "surp-fl/..."."""
        names = CHOICES[choice]
        for name, figure in self.figures().items():
            if names is None or name in names:
                metrics[f"{PREFIX}{name}"] = figure
