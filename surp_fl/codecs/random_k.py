"""Random-k: coordinates drawn at random, with their values. A seed says which, so that no index is sent.

Source: Stich, Cordonnier, Jaggi 2018, "Sparsified SGD with Memory", the operator rand_k. Without memory
and scaled by n/k, the random mask of Konečný et al. 2016, "Federated Learning: Strategies for Improving Communication
Efficiency".

    seed         32 bits  little-endian; of the subset, as in random_subset.py
    width        8 bits   of a value: 32 (float32) or 16 (bfloat16: its upper half, rounded to nearest)
    values                k of them, little-endian, by ascending index, to the end of the message

The body is empty for a model of no coordinates.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs import sparse
from surp_fl.codecs.bfloat16 import from_bfloat16, to_bfloat16
from surp_fl.codecs.codec import Codec
from surp_fl.codecs.random_subset import SEEDS, random_subset
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.codecs.top_k import max_count
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.errors import DIVERGED
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory, NoMemory
from surp_fl.types import Reference, Sparse, Vector

_HEAD = struct.Struct("<IB")
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class RandomK:
    """Coordinates drawn at random: as many as a budget holds, or a share of all.

    With a memory, values are sent as they are, and error feedback sends the others in later rounds. With `NoMemory()`,
    they are multiplied by n/k, so that what arrives is right on average.

    Attributes:
        budget: bytes, whole message.
        sparsity: share of the coordinates that are not sent, 0 to 1; instead of a budget.
        value_bits: of each value; 32, or 16 for twice as many with 8 bits of mantissa.
        memory: what the client carries between rounds.

    Raises:
        ValueError: an option is out of its range, or not exactly one of budget and sparsity is given.
    """

    budget: int | None = None
    sparsity: float | None = None
    value_bits: int = 32
    memory: Memory = field(default_factory=ErrorFeedback)

    def __post_init__(self) -> None:
        sparse.check_options(self.budget, self.sparsity, self.value_bits)

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _count(self, n: int) -> int:
        if self.budget is None:
            return max_count(n, None, self.sparsity, self.value_bits)
        return min(n, 8 * (self.budget - HEADER_BYTES - _HEAD.size) // self.value_bits)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        n = vector.size
        if not n:
            return b""
        seed, count = int(rng.integers(SEEDS)), self._count(n)
        values = vector[random_subset(seed, count, n)]
        if isinstance(self.memory, NoMemory):  # n/k · v, so that the mean over all seeds is v
            values = np.clip(values.astype(np.float64) * (n / count), -_LARGEST, _LARGEST).astype(np.float32)
        stored = to_bfloat16(values).astype("<u2") if self.value_bits == 16 else values.astype("<f4")
        return _HEAD.pack(seed, self.value_bits) + stored.tobytes()


def read(body: bytes, layout: Layout, reference: Reference) -> Sparse:
    """Decode a body to ascending int64 indices and float32 values, both of shape (k,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    if not body and not layout.size:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    if len(body) < _HEAD.size:
        raise MalformedBits(f"{len(body)} bytes where a seed and a width take {_HEAD.size}")
    seed, width = _HEAD.unpack_from(body)
    if width not in sparse.WIDTHS:
        raise MalformedBits(f"values of {width} bits; this version knows {sparse.WIDTHS}")
    count, rest = divmod(len(body) - _HEAD.size, width // 8)
    if rest or not 1 <= count <= layout.size:
        raise MalformedBits(f"{len(body) - _HEAD.size} bytes of values for 1 to {layout.size} values of {width} bits")
    stored = np.frombuffer(body, "<u2" if width == 16 else "<f4", offset=_HEAD.size)
    values = from_bfloat16(stored) if width == 16 else stored.astype(np.float32)
    return random_subset(seed, count, layout.size), values


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's signs and magnitudes; a value's first bit is its sign. The seed counts as header."""
    indices, _ = read(body, layout, reference)
    bits = 8 * max(0, len(body) - _HEAD.size)
    return BitBreakdown(0, indices.size, bits - indices.size)


READER = Reader(13, "random-k", read, count_bits)

ROW = Registration(
    "random-k",
    READER,
    with_memory(RandomK),
    examples={
        "random-k 218 B": RandomK(budget=218),
        "random-k 40 B, 16 bits": RandomK(budget=40, value_bits=16),
        "random-k 100 B, unbiased": RandomK(budget=100, memory=NoMemory()),
    },
    contractive=False,  # where nothing is kept and values are scaled by n/k; with a memory it is
    value_bits=32,
    colour="goldenrod",
    marker="D",
)
