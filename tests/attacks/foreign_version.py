"""Foreign versions: messages of other versions, of schemes that do not exist, with keys of protocols to come.

The attacker is a client, or an honest one with another version. Promised: what is not of this version is refused by its
first bytes, with the cure, and costs one reply; unknown keys of records are left alone.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from flwr.app import ConfigRecord, Message

from surp_fl import Layout, lossless, model_file
from surp_fl.codecs import READERS, reader_of
from surp_fl.flower.protocol import NAME
from surp_fl.frame import VERSION
from tests.attacks.attack import (
    ATTACKER,
    OrderedGrid,
    Outcome,
    attacked,
    costs_one_reply_a_round,
    from_attacker,
    holds_still,
    promised,
    refused,
)
from tests.flower_app import initial

LAYOUT = Layout.of(initial())
OURS = 1  # the version that FORMAT.md describes


def mount() -> list[Outcome]:
    """Send them."""
    return [_versions(), _schemes(), _keys(), _models()]


def of_version(version: int, scheme_id: int, body: bytes) -> bytes:
    """A message with these bits in front and a check that holds, made by FORMAT.md alone."""
    kind = bytes([version << 5 | scheme_id])
    own = zlib.crc32(struct.pack("<Q", 4 + len(body)) + kind + body)
    data = zlib.crc32(struct.pack("<I", LAYOUT.fingerprint))
    return kind + ((own ^ data) & 0xFFFFFF).to_bytes(3, "big") + body


def _versions() -> Outcome:
    others = [version for version in range(8) if version != OURS]
    messages = [of_version(version, scheme_id, bytes(4 * LAYOUT.size)) for version in others for scheme_id in READERS]
    for message in messages:
        reason = refused(lambda m=message: reader_of(m).decode(m, LAYOUT))  # type: ignore[misc]
        promised("format version" in reason, f"refused for {reason!r}")
        promised("install the same surp-fl" in reason, f"{reason!r} tells no cure")
    sent = iter(messages)
    run = attacked(from_attacker(lambda record: record.update({NAME: next(sent)})), rounds=3)
    costs_one_reply_a_round(run)
    holds_still(run)
    promised(of_version(VERSION, 0, bytes(4 * LAYOUT.size))[0] >> 5 == OURS, "this version is another one")
    return Outcome(
        f"versions {others} of {len(READERS)} schemes", "refused, with the cure", "0 read", f"0 of {len(messages)}"
    )


def _schemes() -> Outcome:
    unknown = [scheme_id for scheme_id in range(32) if scheme_id not in READERS]
    messages = [of_version(OURS, scheme_id, bytes(40)) for scheme_id in unknown]
    for message in messages:
        reason = refused(lambda m=message: reader_of(m))  # type: ignore[misc]
        promised("this end knows" in reason, f"refused for {reason!r}")
    sent = iter(messages)
    run = attacked(from_attacker(lambda record: record.update({NAME: next(sent)})), rounds=3)
    costs_one_reply_a_round(run)
    return Outcome("scheme ids that are not known", "refused", "0 read", f"0 of {len(messages)}")


class Newer(OrderedGrid):
    """A network in which train messages have keys of a protocol to come."""

    def push_messages(self, messages: Any) -> list[str]:
        """Add them."""
        found = list(messages)
        for message in found:
            for config in message.content.config_records.values():
                config.update({f"{NAME}:v9": b"\xff" * 99, f"{NAME}:rotation": 7, "rotation": [1.5]})
        return super().push_messages(found)


def _keys() -> Outcome:
    def newer(reply: Message) -> Message:
        if reply.metadata.src_node_id == ATTACKER:
            reply.content.config_records[NAME].update({f"{NAME}:v9": 3, f"{NAME}:parts": [b"x"] * 9})
            reply.content[f"{NAME}:more"] = ConfigRecord({f"{NAME}:parts": [b"x"]})
        return reply

    run, honest = attacked(newer, grid=Newer), attacked()
    promised(run.failures == [0] * 4, f"replies left out: {run.failures}")
    promised(bool((run.models[-1]["weight"] == honest.models[-1]["weight"]).all()), "unknown keys change the model")
    return Outcome(
        "unknown keys in train messages and replies", "left alone", "bits of the honest model", "all the same"
    )


def _models() -> Outcome:
    arrays = {"w": initial()["weight"]}
    file, packed = model_file.compress(arrays, ratio=4), lossless.compress(arrays)
    specs = [("w", arrays["w"].shape, arrays["w"].dtype)]
    for version in (0, 2, 255):
        refused(lambda v=version: model_file.decompress(file[:5] + bytes([v]) + file[6:]))  # type: ignore[misc]
        refused(lambda v=version: lossless.decompress(bytes([v]) + packed[1:], specs))  # type: ignore[misc]
    return Outcome("model files and lossless models of versions 0, 2, 255", "refused", "0 read", "0 of 6")
