"""One exchange between server and client: its bytes on the wire, and its seconds.

A client fetches a message, works, and sends a reply. What is in a message is a `Parcel`: bytes of payload, what records
add to them, and how many objects Flower moves them as.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from surp_fl.planning.federation import Federation
from surp_fl.planning.overhead import FLOWER, Overhead

_ONE_RECORD = 3  # objects: Message, RecordDict, record


@dataclass(frozen=True)
class Parcel:
    """The content of a Flower message.

    Attributes:
        payload: bytes of the model or of a compressed message.
        framing: bytes that records add.
        objects: how many requests it takes, beside those that every message does.
    """

    payload: float
    framing: int
    objects: int


def as_arrays(payload: int, arrays: int, flower: Overhead = FLOWER) -> Parcel:
    """A model as Flower moves it by itself: an ArrayRecord, and a record of numbers beside it."""
    chunks = max(arrays, ceil(payload / flower.chunk))
    return Parcel(payload, flower.config_record + arrays * flower.array_record, _ONE_RECORD + 1 + arrays + chunks)


def as_packed_array(payload: int, arrays: int, flower: Overhead = FLOWER) -> Parcel:
    """A whole model as surp-fl sends it down: one array, and a record that says what is in it."""
    framing = flower.packed_record + arrays * flower.manifest
    return Parcel(payload, framing, _ONE_RECORD + 2 + max(1, ceil(payload / flower.chunk)))


def as_changes(payload: float, flower: Overhead = FLOWER) -> Parcel:
    """Changes of the model, down, in one record."""
    return Parcel(payload, flower.change_record, _ONE_RECORD)


def as_message(payload: float, flower: Overhead = FLOWER) -> Parcel:
    """A compressed update, up, in one record with the metrics."""
    return Parcel(payload, flower.reply_record, _ONE_RECORD)


def as_metrics(flower: Overhead = FLOWER) -> Parcel:
    """The answer to an evaluation: numbers alone."""
    return Parcel(0, flower.metrics_record, _ONE_RECORD)


@dataclass(frozen=True)
class Traffic:
    """Of a client: bytes on the wire with all that Flower adds, payload alone, and requests one after the other.

    Attributes:
        up, down: bytes of HTTP messages.
        payload_up, payload_down: bytes of models and compressed messages in them.
        turns: requests that wait for each other; those that Flower makes at the same time count once.
        exchanges: that it consists of.
    """

    up: float = 0
    down: float = 0
    payload_up: float = 0
    payload_down: float = 0
    turns: int = 0
    exchanges: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.up + other.up, self.down + other.down, self.payload_up + other.payload_up,
            self.payload_down + other.payload_down, self.turns + other.turns, self.exchanges + other.exchanges,
        )  # fmt: skip


def exchange(fetched: Parcel, reply: Parcel, flower: Overhead = FLOWER) -> Traffic:
    """One message down and its reply up, without polling and heartbeats."""
    turns = 2 + ceil(fetched.objects / flower.at_once) + 1 + ceil(reply.objects / flower.at_once)
    return Traffic(
        up=flower.fetch_up + fetched.objects * flower.pull_up
        + flower.reply_up + reply.objects * flower.push_up + reply.payload + reply.framing,
        down=flower.fetch_down + fetched.objects * flower.pull_down + fetched.payload + fetched.framing
        + flower.reply_down + reply.objects * flower.push_down,
        payload_up=reply.payload, payload_down=fetched.payload, turns=turns, exchanges=1,
    )  # fmt: skip


def transfer_seconds(traffic: Traffic, federation: Federation) -> float:
    """Seconds that its bytes take on a client's link."""
    return 8e-6 * (traffic.up / federation.uplink_mbit + traffic.down / federation.downlink_mbit)


def round_seconds(traffic: Traffic, federation: Federation, flower: Overhead = FLOWER) -> float:
    """Seconds of a round: training, transfer, a round trip for each request, and waiting for the next poll."""
    return (
        federation.training_seconds
        + transfer_seconds(traffic, federation)
        + traffic.turns * federation.latency_ms / 1000
        + traffic.exchanges * flower.idle_polls * flower.poll_seconds
    )


def with_polling(traffic: Traffic, seconds: float, flower: Overhead = FLOWER) -> Traffic:
    """The traffic of a client that takes part in a round, with its idle polls and its heartbeats.

    Args:
        traffic: of the round's exchanges.
        seconds: of the round.
    """
    polls, beats = traffic.exchanges * flower.idle_polls, seconds / flower.heartbeat_seconds
    return traffic + Traffic(
        up=polls * flower.poll_up + beats * flower.heartbeat_up,
        down=polls * flower.poll_down + beats * flower.heartbeat_down,
    )


def sitting_out(seconds: float, flower: Overhead = FLOWER) -> Traffic:
    """The traffic of a client that does not take part: it polls, and its heart beats."""
    polls, beats = seconds / flower.poll_seconds, seconds / flower.heartbeat_seconds
    return Traffic(
        up=polls * flower.poll_up + beats * flower.heartbeat_up,
        down=polls * flower.poll_down + beats * flower.heartbeat_down,
    )
