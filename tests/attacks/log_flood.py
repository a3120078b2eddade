"""Log flood: names and errors of megabytes, with line breaks and escapes, from every client in every round.

The attackers are all clients but one; or a server, whose text a client logs. Promised: what the other end sent is cut
and escaped, and how much one round logs is bounded, whatever the number of clients.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import ConfigRecord, Message, RecordDict

from surp_fl.errors import MalformedMessage
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.protocol import ARRAYS_NAME, BASES, DELTAS, INITIAL, MERGED, NAME, VERSION
from surp_fl.flower.received_model import receive_model
from surp_fl.flower.records import error_reply
from surp_fl.frame import pack
from surp_fl.layout import Layout
from surp_fl.strategies.replies import LINES
from tests.attacks.attack import Outcome, attacked, logged, promised
from tests.flower_app import initial

ROUNDS, NODES = 2, 30
HOSTILE = "\x1b[2J\x1b]0;title\x07\r\nWARNING: all is well\n\u202e" + "x" * 300_000 + "\x00\u2028end"
LINE_BYTES = 520  # of a rejected reply: 400 characters of text, and what is in front of it
ROUND_BYTES = 30 * LINE_BYTES  # of 20 replies, and of what else a round logs


def mount() -> list[Outcome]:
    """Fill the logs."""
    return [_server(what, damage) for what, damage in DAMAGES.items()] + [_server_error(), _client()]


def _named(record: ConfigRecord) -> None:
    record[HOSTILE] = 1.0


def _records(record: ConfigRecord) -> None:
    record[ARRAYS_NAME] = HOSTILE


def _message(record: ConfigRecord) -> None:
    record[NAME] = b"\x23" + HOSTILE.encode()


DAMAGES: dict[str, Callable[[ConfigRecord], None]] = {
    "a metric's name of 300 kB with escapes": _named,
    "a record's name like that": _records,
    "a message of text like that": _message,
}


def _server(what: str, damage: Callable[[ConfigRecord], None]) -> Outcome:
    def fault(reply: Message) -> Message:
        if reply.metadata.src_node_id > 1:
            damage(reply.content.config_records[NAME])
        return reply

    return _of_rounds(f"{what}, {NODES - 1} of {NODES} clients", fault)


def _server_error() -> Outcome:
    def fault(reply: Message) -> Message:
        if reply.metadata.src_node_id > 1:
            reply = error_reply(reply, "")
            reply.error.__dict__["_reason"] = HOSTILE
        return reply

    return _of_rounds(f"an error like that, {NODES - 1} of {NODES} clients", fault)


def _of_rounds(what: str, fault: Callable[[Message], Message]) -> Outcome:
    run = attacked(fault, rounds=ROUNDS, nodes=NODES, level=logging.INFO, learning=lambda arrays, node, number: arrays)
    promised(run.failures == [NODES - 1] * ROUNDS, f"replies left out: {run.failures}")
    each = run.log.size // ROUNDS
    promised(each <= ROUND_BYTES, f"{each:,} bytes of log a round")
    _printable(run.log.lines)
    return Outcome(what, f"{LINES} lines a round", f"log {ROUND_BYTES:,} B", f"{each:,} B")


def _printable(lines: list[str]) -> None:
    """Flower indents its own lines with tabs, and ends some with a line break."""
    for line in lines:
        promised(len(line) <= 2 * LINE_BYTES, f"a line of {len(line):,} characters")
        promised(line.replace("\t", "").strip("\n").isprintable(), f"a line that cannot be printed: {line!r:.200}")


def _client() -> Outcome:
    arrays = initial()
    layout = Layout.of(arrays)
    bad = pack(3, HOSTILE.encode(), layout.fingerprint)
    kinds = {
        "merged": {BASES: [digest_of(arrays)], MERGED: HOSTILE.encode()},
        "deltas": {BASES: [digest_of(arrays)] * 3, DELTAS: [bad] * 3},
        "initial": {INITIAL: HOSTILE},
    }
    with logged(logging.INFO) as log:
        for entries in kinds.values():
            config = ConfigRecord({VERSION: HOSTILE.encode(), ARRAYS_NAME: HOSTILE, **entries})  # type: ignore[dict-item]
            try:
                receive_model(RecordDict({"config": config}), arrays)
            except MalformedMessage as fault:
                log.lines.append(str(fault))
    _printable(log.lines)
    most = len(kinds) * LINE_BYTES
    promised(log.size <= most, f"{log.size:,} bytes of log")
    return Outcome("to a client: changes and names of 300 kB", "cut and escaped", f"log {most:,} B", f"{log.size:,} B")
