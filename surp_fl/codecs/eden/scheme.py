"""EDEN: a random rotation makes coordinates nearly normal, each is quantised, and a scale makes the whole unbiased.

Source: Vargaftik, Ben Basat, Portnoy, Mendelson, Ben-Itzhak, Mitzenmacher 2022, "EDEN: Communication-Efficient and
Robust Distributed Mean Estimation for Federated Learning"; with one bit a coordinate, DRIVE of the same authors (2021).
The quantisers are Lloyd's and Max's for the normal distribution (Max 1960, "Quantizing for minimum distortion"). With
less than a bit a coordinate, a random part of the rotated coordinates is told, and the scale makes up for the others.
An empty body stands for zeros, where a budget holds no more than the header.

    seed         32 bits  of the rotation and the keys
    bits          8 bits  of a rotated coordinate whose key is not below the threshold: 0 to 6
    threshold    32 bits  coordinates with a key below it have a bit more
    blocks                of the vector, the largest first, each:
      scale      16 bits  of the block
      runs                of 16,384 rotated coordinates, the last of fewer, each:
        extended          bits + 1 each, coordinates with a key below the threshold, ascending: sign, then magnitude
        others            bits each, the same; nothing for 0
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs.codec import Budgeted, Codec
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration
from surp_fl.codecs.rotation import Block, blocks_of, hadamard
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits
from surp_fl.entropy.minifloat import decode_minifloat, encode_minifloat
from surp_fl.errors import DIVERGED
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory
from surp_fl.types import Floats, Integers, Reference, Signs, Vector

MAGNITUDES = {  # levels of a standard normal coordinate by its bits, without the sign; units of 1/4096
    1: (3268,),
    2: (1855, 6187),
    3: (1004, 3097, 5505, 8814),
    4: (526, 1589, 2690, 3860, 5146, 6628, 8475, 11193),
    5: (270, 811, 1357, 1912, 2478, 3060, 3664, 4296, 4964, 5678, 6456, 7321, 8310, 9493, 11023, 13356),
    6: (137, 411, 685, 961, 1238, 1517, 1798, 2082, 2370, 2661, 2957, 3258, 3565, 3880, 4201, 4532, 4873, 5226, 5592,
        5973, 6373, 6794, 7240, 7717, 8231, 8793, 9417, 10122, 10946, 11950, 13273, 15336),
}  # fmt: skip
_MOST_BITS, _UNIT = max(MAGNITUDES), 4096
_HEADER_BITS, _SCALE_BITS = 32 + 8 + 32, 16
_KEYS = 1 << 32


@dataclass(frozen=True)
class EDEN(Budgeted):
    """As many bits of each rotated coordinate as the budget holds, a whole number or not, up to 6; unbiased.

    Attributes:
        budget: bytes, whole message; more bytes, less error.
        ratio: how many times smaller than the model the message is, in place of a budget; 32 is a bit a coordinate.
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
        seed, blocks = int(rng.integers(_KEYS)), list(blocks_of(vector.size))
        available = 8 * (self.bytes_for(layout) - HEADER_BYTES) - _HEADER_BITS - _SCALE_BITS * len(blocks)
        if available <= 0 or not blocks:
            return b""  # of the smallest budgets, which hold no more than scales
        base_bits, threshold = _rates(available, blocks, seed)
        bits = BitWriter()
        bits.write_one(seed, 32)
        bits.write_one(base_bits, 8)
        bits.write_one(threshold, 32)
        for block in blocks:
            normal, norm = _rotated(vector, block, seed)
            runs = [(part, keys < threshold) for part, keys in block.runs(seed)]
            quantised = [_quantised(normal[part], extended, base_bits) for part, extended in runs]
            product = sum(product for _, product in quantised) * (1.0 if base_bits else threshold / _KEYS)
            bits.write_one(encode_minifloat(norm / product if product > 0 else 0.0), _SCALE_BITS)
            for (levels, _), (_, extended) in zip(quantised, runs, strict=True):
                bits.write(levels[extended], base_bits + 1)
                if base_bits:
                    bits.write(levels[~extended], base_bits)
        return bits.to_bytes()


def _rates(available: int, blocks: list[Block], seed: int) -> tuple[int, int]:
    """Bits of a coordinate, and the threshold below whose keys they are one more, within the bits that there are."""
    base_bits, left = divmod(available, sum(block.size for block in blocks))
    if base_bits >= _MOST_BITS:
        return _MOST_BITS, 0
    if not left:
        return base_bits, 0
    keys = np.concatenate([keys for block in blocks for _, keys in block.runs(seed)])
    return base_bits, int(np.partition(keys, left)[left])  # `left` keys or fewer are below it


def _rotated(vector: Vector, block: Block, seed: int) -> tuple[Floats, float]:
    """A block's rotated coordinates, of mean square 1, and its norm; zeros where that is 0."""
    part = np.zeros(block.size)
    part[: block.stop - block.start] = vector[block.start : block.stop]
    norm = float(np.linalg.norm(part))
    np.negative(part, where=block.signs(seed), out=part)
    return hadamard(part / norm if norm else part), norm


def _quantised(normal: Floats, extended: Signs, base_bits: int) -> tuple[Integers, float]:
    """The level of each coordinate, and ⟨levels' values, coordinates⟩, those that are not told at one bit."""
    levels, product = np.empty(normal.size, np.int64), 0.0
    for bits, which in ((base_bits + 1, extended), (max(base_bits, 1), ~extended)):
        if not which.any():
            continue
        magnitudes = np.array(MAGNITUDES[bits]) / _UNIT
        chosen, sizes = normal[which], np.abs(normal[which])
        index = np.searchsorted((magnitudes[1:] + magnitudes[:-1]) / 2, sizes)
        levels[which] = index | np.signbit(chosen).astype(np.int64) << (bits - 1)
        product += float(magnitudes[index] @ sizes)
    return levels, product


def _header(bits: BitReader) -> tuple[int, int, int]:
    """Seed, bits and threshold."""
    seed, base_bits, threshold = bits.read_one(32), bits.read_one(8), bits.read_one(32)
    if base_bits > _MOST_BITS or (base_bits == _MOST_BITS and threshold):
        raise MalformedBits(f"{base_bits} bits a coordinate, and more below {threshold}; expected up to {_MOST_BITS}")
    return seed, base_bits, threshold


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    if not body:
        return np.zeros(layout.size, np.float32)
    bits = BitReader(body)
    seed, base_bits, threshold = _header(bits)
    if layout.size * base_bits > bits.left:
        raise MalformedBits(f"{layout.size} coordinates of {base_bits} bits; there are {bits.left} bits")
    vector, largest = np.empty(layout.size, np.float32), float(np.finfo(np.float32).max)
    for block in blocks_of(layout.size):
        scale = decode_minifloat(bits.read_one(_SCALE_BITS))
        rotated = hadamard(_levels(bits, block, seed, base_bits, threshold))[: block.stop - block.start]
        np.negative(rotated, where=block.signs(seed)[: rotated.size], out=rotated)
        with np.errstate(under="ignore"):
            rotated *= scale / _UNIT
            np.clip(rotated, -largest, largest, out=rotated)
            vector[block.start : block.stop] = rotated
    bits.finish()
    return vector


def _levels(bits: BitReader, block: Block, seed: int, base_bits: int, threshold: int) -> Floats:
    """The values of a block's levels in units of 1/4096; shape (size,)."""
    values = np.zeros(block.size)
    for part, keys in block.runs(seed):
        extended = keys < threshold
        for width, which in ((base_bits + 1, extended), (base_bits, ~extended)):
            if count := int(np.count_nonzero(which)) if width else 0:
                magnitudes = np.array(MAGNITUDES[width], np.float64)
                values[part][which] = np.concatenate([magnitudes, -magnitudes])[bits.read(count, width)]
    return values


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's signs and magnitudes; scales count as magnitudes. Indices take the seed."""
    if not body:
        return BitBreakdown(0, 0, 0)
    bits = BitReader(body)
    _, base_bits, _ = _header(bits)
    blocks = list(blocks_of(layout.size))
    told = bits.left - _SCALE_BITS * len(blocks)  # and the padding
    signs = sum(block.size for block in blocks) if base_bits else told
    return BitBreakdown(0, signs, bits.left - signs)


READER = Reader(6, "eden", read, count_bits)

ROW = Registration(
    "eden",
    READER,
    EDEN,
    examples={"eden 40 B": EDEN(budget=40), "eden 2 bits": EDEN(ratio=14), "eden 1 bit": EDEN(ratio=31)},
    keeps_signs=False,
    contractive=False,
    colour="C8",
    marker="d",
)
