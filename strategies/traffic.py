"""What one round cost, as counted on the server; estimates have no place here."""

from __future__ import annotations

from dataclasses import dataclass, field

from flwr.app import MetricRecord

PREFIX = "surp-fl/"  # of our metrics
_MEANS = (
    "payload_bytes_up",
    "payload_bytes_down",
    "record_bytes_up",
    "encode_seconds",
    "decode_seconds",
    "relative_error",
    "residual_norm",
)


@dataclass
class Traffic:
    """Bytes and times of one round; one entry per usable reply in each list.

    Attributes:
        server_round: from 1.
        payload_bytes_up: length of each message.
        record_bytes_up: Flower's count of each reply (message, metrics, keys).
        coordinates_up: how many coordinates each message names.
        payload_bytes_down: bytes of array data in each train and evaluate message sent.
        encode_seconds: measured by the client.
        decode_seconds: measured by the server.
        relative_error: ‖wanted − sent‖ / ‖wanted‖, measured by the client.
        residual_norm: what each client still owes.
        failures: replies that were errors or could not be used.
    """

    server_round: int
    payload_bytes_up: list[int] = field(default_factory=list)
    record_bytes_up: list[int] = field(default_factory=list)
    coordinates_up: list[int] = field(default_factory=list)
    payload_bytes_down: list[int] = field(default_factory=list)
    encode_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)
    relative_error: list[float] = field(default_factory=list)
    residual_norm: list[float] = field(default_factory=list)
    failures: int = 0

    def add_to(self, metrics: MetricRecord) -> None:
        """Add a training round's figures to the metrics that Flower logs and returns, as "surp-fl/...": means and sums.

        The compression ratio is that of the model's bytes, as they were sent down, to the messages'.
        """
        for name in _MEANS:
            values = getattr(self, name)
            if values:
                metrics[f"{PREFIX}{name}_mean"] = sum(values) / len(values)
        if self.payload_bytes_up:
            metrics[f"{PREFIX}payload_bytes_up_max"] = max(self.payload_bytes_up)
            metrics[f"{PREFIX}payload_bytes_up_sum"] = sum(self.payload_bytes_up)
            metrics[f"{PREFIX}payload_bytes_down_sum"] = sum(self.payload_bytes_down)
            down = sum(self.payload_bytes_down) / len(self.payload_bytes_down)
            metrics[f"{PREFIX}compression_ratio"] = down * len(self.payload_bytes_up) / sum(self.payload_bytes_up)
        metrics[f"{PREFIX}failures"] = self.failures
