"""What Flower's requests cost: one table of measured figures.

Source: `simulations/results/deployment/deployment.json`, every byte between a SuperLink and two SuperNodes over 20
rounds of training and evaluation (HTTP/1.1, heads and bodies, without TLS and TCP/IP headers), with whole models as
eight arrays, as one packed array, as changes, and as changes without an exchange for the evaluation; requests are
counted by path. From these four rows follow what an object takes down, what a message takes beside its objects, and
what records add. What single requests take up, and how often clients poll idly on a machine that does nothing else, was
counted in deployments of the same kind. `push_up` is the difference between replies of three objects and of twenty;
heartbeats come every 0.8 · 30 s, as Flower's constants say.

The wheel has no `simulations/`: hence a table here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Overhead:
    """Bytes of requests (up) and of their answers (down), without the payload; and how often Flower makes them.

    Message, RecordDict, and every record, array and chunk of an array are *objects*; each is fetched and sent with a
    request of its own.

    Attributes:
        poll_up, poll_down: a question for a message that is answered with none.
        idle_polls: between a client's reply and its next message, on average; the first follows the reply at once.
        poll_seconds: between two polls. A client does not poll while it trains.
        fetch_up, fetch_down: a message is fetched: the question that is answered with it, and the confirmation.
        pull_up, pull_down: for each object of a message that is fetched, its place in the list of objects included.
        reply_up, reply_down: a reply is announced.
        push_up, push_down: for each object of a reply, its place in the list of objects included.
        heartbeat_up, heartbeat_down: every `heartbeat_seconds`.
        start_up: of a client's first round, beside the app's bundle.
        at_once: objects that are fetched, or sent, at the same time.
        chunk: bytes of an array that make an object.
        config_record: the ConfigRecord with the round's number, beside the model.
        metrics_record: the MetricRecord that answers an evaluation.
        array_record: what names, shapes and dtypes add for each array of an ArrayRecord.
        packed_record: what surp-fl adds to a whole model in one array: digest, keys.
        manifest: what it adds for each array of the model then.
        change_record: what it adds to a change that goes down.
        reply_record: what it adds to a message that goes up, with the app's metrics.
    """

    poll_up: int = 852
    poll_down: int = 128
    idle_polls: float = 1.27
    poll_seconds: float = 3.0
    fetch_up: int = 852 + 940
    fetch_down: int = 298
    pull_up: int = 927
    pull_down: int = 360
    reply_up: int = 1_015
    reply_down: int = 242
    push_up: int = 1_191
    push_down: int = 196
    heartbeat_up: int = 867
    heartbeat_down: int = 130
    heartbeat_seconds: float = 24.0
    start_up: int = 1_700
    at_once: int = 2
    chunk: int = 5_242_880
    config_record: int = 25
    metrics_record: int = 64
    array_record: int = 143
    packed_record: int = 169
    manifest: int = 40
    change_record: int = 138
    reply_record: int = 72


FLOWER = Overhead()
