"""SuRP without memory: unbiased estimates, for clients that take part once.

SuRP sends an update's largest coordinates, and error feedback the rest later. A client without a next round has no
later: what it leaves out is missing in every round, in the same coordinates. Here, bands of rows are first divided by
weights (scale_factors.py), and a random rotation makes all coordinates nearly normal (rotated.py); SuRP's encoder then
selects the largest of those, and a scale makes up for the others: each client's estimate is right on average, and the
errors of different clients and rounds average out. The largest coordinates of n normal ones hold up to 2·ln 2 of a
coordinate's energy a bit, the first order of the rate–distortion function; one bit of every coordinate holds 2/π.

Source: rotation and scale, Vargaftik et al. 2022, "EDEN"; the selection, as `SuRP`; weights are ours.

    seed        16 bits  of the rotation, big-endian
    scale       16 bits  a minifloat, big-endian
    then, in a range coder:
      weighted   1 bit   whether scale factors follow
      factors            of all bands, as in scale_factors.py
      groups             of rotated coordinates, as in the body of a `surp` message after its context
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from surp_fl.array_spec import ArraySpec
from surp_fl.codecs.codec import Budgeted, Codec
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import check
from surp_fl.codecs.surp.encoder import Message, capacity_within
from surp_fl.codecs.surp.groups import GroupReader, values_of_codes
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp_unbiased.bands import Bands
from surp_fl.codecs.surp_unbiased.rotated import SEEDS, rotated, rotated_back, rotated_size
from surp_fl.codecs.surp_unbiased.scale_factors import choose_factors, decode_factors, encode_factors
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import decode_bits, encode_bits
from surp_fl.entropy.minifloat import decode_minifloat, encode_on_average
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory
from surp_fl.types import Floats, Integers, Reference, Vector

_HEAD = struct.Struct(">HH")
_FIRST_GROUP_BITS = 20.0  # of count, magnitude and sign of the first group, which is left room for beside its index


@dataclass(frozen=True)
class UnbiasedSuRP(Budgeted):
    """Right on average: SuRP for clients that keep nothing between rounds, because they take part once.

    Attributes:
        budget: bytes, whole message; more bytes, less variance.
        ratio: how many times smaller than the model the message is, in place of a budget.
        memory: what the client carries between rounds; nothing, as the estimate is unbiased.

    Raises:
        ValueError: not exactly one of budget and ratio is given, or it is out of its range.
    """

    memory: Memory = field(default_factory=NoMemory)

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        if not vector.any():
            return b""
        seed = int(rng.integers(SEEDS))
        budget = self.bytes_for(layout) - _HEAD.size
        coded = _coded(vector, layout, seed, budget) or _coded(vector, layout, seed, budget, with_factors=False)
        if coded is None:
            return b""
        body, scale = coded
        return _HEAD.pack(seed, encode_on_average(scale, rng)) + body


def _coded(
    vector: Vector, layout: Layout, seed: int, budget: int, with_factors: bool = True
) -> tuple[bytes, float] | None:
    """The symbols of a message, and the scale that makes it right on average; None where no coordinate fits.

    Args:
        vector: float32, shape (n,), not 0.
        layout: of the model.
        seed: of the rotation.
        budget: bytes of the symbols and the frame.
        with_factors: whether to send scale factors where they pay.
    """
    n, bands = rotated_size(layout.size), Bands.of(layout)
    encoder = RangeEncoder(capacity_within(budget, n))
    encoder.grant(n)
    bits = 8.0 * encoder.capacity() - _FIRST_GROUP_BITS - math.log2(n)
    factors = np.zeros(bands.sizes.size, np.int64)
    if pays := with_factors and bits > 0:
        chosen, share = choose_factors(bands.energies(vector), bands.sizes, bits)
        pays = share < 1
    encode_bits(encoder, int(pays), 1)
    if pays:
        factors = chosen
        encode_factors(encoder, factors)
    normal, unit = rotated(vector, bands, factors, seed)
    symbols = Message(encoder, _side(n)).filled(normal.astype(np.float32)).to_bytes()
    product = float(_decoded(symbols, layout).values @ normal)
    return (symbols, unit * float(normal @ normal) / product) if product > 0 else None


@lru_cache(maxsize=8)
def _side(n: int) -> SideInformation:
    """What both ends know of n rotated coordinates: nothing; all are alike."""
    return Context.of(Layout((ArraySpec("rotated", (n,), np.dtype(np.float32)),)), None).side


@dataclass(frozen=True)
class _Decoded:
    """What the range coder of a body holds.

    Attributes:
        factors: of the bands.
        values: of rotated coordinates; float64, shape (rotated_size(n),).
        bits: what they took; factors count as magnitudes.
    """

    factors: Integers
    values: Floats
    bits: BitBreakdown


def _decoded(symbols: bytes, layout: Layout) -> _Decoded:
    """Decode factors and groups.

    Raises:
        MalformedBits: no encoder writes them.
    """
    n, bands = rotated_size(layout.size), Bands.of(layout)
    decoder = RangeDecoder(symbols)
    decoder.grant(n)
    weighted = decode_bits(decoder, 1)
    factors = decode_factors(decoder, bands.sizes.size) if weighted else np.zeros(bands.sizes.size, np.int64)
    bits_of_factors = decoder.bits_read()
    reader = GroupReader(decoder, n, _side(n))
    check(reader.read_groups())
    values = np.asarray(reader.sums) if reader.is_dense else np.zeros(n)
    if not reader.is_dense:
        np.add.at(values, reader.coordinates(), values_of_codes(reader.codes()))
    magnitude_bits = reader.magnitude_bits + bits_of_factors
    return _Decoded(factors, values, BitBreakdown(reader.index_bits, reader.sign_bits, magnitude_bits))


def _split(body: bytes, layout: Layout) -> tuple[int, float, bytes]:
    """Seed, scale and symbols of a body that is not empty."""
    if len(body) <= _HEAD.size or not layout.size:
        raise MalformedBits(
            f"{len(body)} bytes for {layout.size} coordinates; expected nothing, or a seed, a scale and groups"
        )
    seed, code = _HEAD.unpack_from(body)
    return seed, decode_minifloat(code), body[_HEAD.size :]


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    if not body:
        return np.zeros(layout.size, np.float32)
    seed, scale, symbols = _split(body, layout)
    decoded = _decoded(symbols, layout)
    if not decoded.values.any():
        raise MalformedBits("it holds no coordinate")
    return rotated_back(decoded.values, Bands.of(layout), decoded.factors, layout.size, seed, scale)


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's indices, signs and magnitudes; scale and factors count as magnitudes."""
    if not body:
        return BitBreakdown(0, 0, 0)
    indices, signs, magnitudes = _decoded(_split(body, layout)[2], layout).bits
    return BitBreakdown(indices, signs, magnitudes + 16)


READER = Reader(7, "surp-unbiased", read, count_bits)

ROW = Registration(
    "surp-unbiased",
    READER,
    UnbiasedSuRP,
    examples={"surp-unbiased 40 B": UnbiasedSuRP(budget=40), "surp-unbiased 1 bit": UnbiasedSuRP(ratio=32)},
    keeps_signs=False,
    contractive=False,
    colour="navy",
    marker="P",
)
