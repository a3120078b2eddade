"""Dense messages: every coordinate as a little-endian float32. Lossless; the baseline for all other schemes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.errors import DIVERGED
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory
from surp_fl.types import Reference, Vector


@dataclass(frozen=True)
class Dense:
    """The whole update, 4 bytes a coordinate.

    Attributes:
        memory: what the client carries between rounds; nothing, as nothing remains to be sent.
    """

    memory: Memory = field(default_factory=NoMemory)

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, _write)


def longest(layout: Layout) -> int:
    """Bytes of a model's dense message, frame included: no client sends more, whatever its scheme.

    >>> import numpy as np
    >>> longest(Layout.of({"w": np.zeros(10, np.float32)}))
    44
    """
    return HEADER_BYTES + 4 * layout.size


def _write(vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
    if not np.isfinite(vector).all():
        raise ValueError(DIVERGED)
    return vector.astype("<f4", copy=False).tobytes()


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: it has another length than 4n bytes.
    """
    if len(body) != 4 * layout.size:
        raise MalformedBits(f"{len(body)} bytes for {layout.size} coordinates of 4 bytes")
    return np.frombuffer(body, "<f4").astype(np.float32)


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes."""
    return BitBreakdown(0, layout.size, 31 * layout.size)


READER = Reader(0, "dense", read, count_bits)

ROW = Registration(
    "dense",
    READER,
    Dense,
    examples={"dense": Dense()},
    has_budget=False,
    colour="0.35",
    marker="*",
)
