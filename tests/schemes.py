"""The table that the conformance suite runs over: the examples of every registered scheme; and ways to run one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surp_fl import Layout
from surp_fl.codecs import SCHEMES as REGISTERED
from surp_fl.codecs import Registration, Scheme
from surp_fl.frame import HEADER_BYTES, pack
from surp_fl.types import Vector


@dataclass(frozen=True, eq=False)  # so that it can be a key
class Row:
    name: str
    scheme: Scheme
    registered: Registration

    @property
    def budget(self) -> int | None:  # bytes
        budget: int | None = getattr(self.scheme, "budget", None)
        return budget

    def __str__(self) -> str:
        return self.name


SCHEMES = [
    Row(name, scheme, registered) for registered in REGISTERED.values() for name, scheme in registered.examples.items()
]


def through(scheme: Scheme, vector: Vector, layout: Layout | None = None, seed: int = 0) -> Vector:
    """What arrives of a vector; without a layout, one array."""
    layout = layout or Layout.of({"w": vector})
    return scheme.codec.decode(body_of(scheme, vector, layout, seed, framed=True), layout)


def body_of(scheme: Scheme, vector: Vector, layout: Layout, seed: int = 0, framed: bool = False) -> bytes:
    """The body of a message, or with `framed` the message."""
    message = scheme.codec.encode(vector, layout, rng=np.random.default_rng(seed))
    return message if framed else message[HEADER_BYTES:]


def decode_body(scheme: Scheme, body: bytes, layout: Layout) -> Vector:
    """Decode a body in a valid frame, as an attacker would send it."""
    return scheme.codec.decode(pack(scheme.codec.reader.scheme_id, body, layout.fingerprint), layout)
