"""EF-signSGD: the sign of every coordinate, times the mean magnitude of its array, with error feedback for the rest.

Source: Karimireddy, Rebjock, Stich, Jaggi 2019, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes",
Algorithm 1 with the scaled sign ‖v‖₁/d · sign(v), layer by layer as in its experiments. Signs are as good as random, so
that no coder makes them smaller. A coordinate that is 0 has no sign, and a bit cannot say so: it counts as positive,
and error feedback takes it back. The signs of an array of zeros are left out.

    parts        8 bits   1: each array that is not empty has a scale; 0: one for all
    scales       float32 each, little-endian
    signs        1 bit    each coordinate whose scale is not 0; 1 is negative
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs.array_scales import read_scales, sizes_of, starts_of, write_scales
from surp_fl.codecs.codec import Codec
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.types import Integers, Reference, Vector


@dataclass(frozen=True)
class SignSGD:
    """Signs and a mean magnitude: a bit a coordinate, and 4 bytes a scale.

    Attributes:
        per_array: whether each array has a mean magnitude of its own, or all have one.
        memory: what the client carries between rounds.

    >>> layout = Layout.of({"w": np.zeros(4, np.float32)})
    >>> codec = SignSGD().codec
    >>> message = codec.encode(np.array([1, -2, 0, 5], np.float32), layout, rng=np.random.default_rng(0))
    >>> len(message), codec.decode(message, layout)
    (10, array([ 2., -2.,  2.,  2.], dtype=float32))
    """

    per_array: bool = True
    memory: Memory = field(default_factory=ErrorFeedback)

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        sizes = sizes_of(layout, bool(self.per_array))
        if not sizes.size:
            return b"\0"
        sums = np.add.reduceat(np.abs(vector, dtype=np.float64), starts_of(sizes))
        scales = write_scales(sums / sizes)  # ‖v‖₁/d
        told = np.repeat(read_scales(scales, sizes.size) > 0, sizes)
        return bytes([sizes.size > 1]) + scales + np.packbits((vector < 0)[told]).tobytes()


def _sizes(body: bytes, layout: Layout) -> Integers:
    """Coordinates of each part that has a scale."""
    if not body or body[0] > 1:
        raise MalformedBits("neither one scale for each array nor one for all")
    sizes = sizes_of(layout, bool(body[0]))
    if body[0] and sizes.size < 2:
        raise MalformedBits("a scale for each array where there are not two")
    return sizes


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    sizes = _sizes(body, layout)
    scales = read_scales(body[1:], sizes.size)
    signs = np.frombuffer(body, np.uint8, offset=1 + 4 * sizes.size)
    count = int(sizes[scales > 0].sum())
    if signs.size != -(-count // 8):
        raise MalformedBits(f"{signs.size} bytes for {count} signs")
    if count % 8 and signs[-1] & (0xFF >> count % 8):
        raise MalformedBits("the bits that fill the last byte are not zeros")
    vector = np.repeat(scales, sizes)
    negative = np.zeros(layout.size, np.bool_)
    negative[vector > 0] = np.unpackbits(signs, count=count).view(np.bool_)
    return np.negative(vector, where=negative, out=vector)


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's signs and magnitudes, which are the scales."""
    sizes = _sizes(body, layout)
    return BitBreakdown(0, int(sizes[read_scales(body[1:], sizes.size) > 0].sum()), 32 * sizes.size)


READER = Reader(9, "sign", read, count_bits)

ROW = Registration(
    "signsgd",
    READER,
    with_memory(SignSGD),
    examples={"signsgd": SignSGD(), "signsgd, one scale": SignSGD(per_array=False)},
    has_budget=False,
    colour="black",
    marker="<",
)
