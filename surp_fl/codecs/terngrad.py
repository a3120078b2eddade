"""TernGrad: every coordinate becomes −s, 0 or s, at random and right on average; s is the largest one of its array.

Source: Wen, Xu, Yan, Wu, Wang, Chen, Li 2017, "TernGrad: Ternary Gradients to Reduce Communication in Distributed Deep
Learning": layer-wise ternarizing and gradient clipping at 2.5 σ. Its code takes two bits a coordinate; here the levels
are range coded, which takes about one. Here σ is the root of the mean square: of a gradient whose mean is 0 that is the
same, and an array of one coordinate, or of equal ones, is not clipped to nothing.

    scales       float32 of each array that is not empty, little-endian; 0 for one whose levels are all 0
    levels               −1, 0 or 1 each: symbols of a range coder, as in coded_levels.py
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs.array_scales import largest_of, read_scales, scaled, sizes_of, starts_of, write_scales
from surp_fl.codecs.codec import Codec
from surp_fl.codecs.coded_levels import read_levels, write_levels
from surp_fl.codecs.reader import BitBreakdown, Reader
from surp_fl.codecs.registry import Registration
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory
from surp_fl.types import Reference, Vector


@dataclass(frozen=True)
class TernGrad:
    """Stochastic ternarizing: about a bit a coordinate, and 4 bytes an array.

    Attributes:
        clip: standard deviations of an array beyond which its coordinates are clipped; higher, less bias and more
            variance; infinity for no clipping, which is unbiased.
        memory: what the client carries between rounds; nothing, as the rounding is unbiased.

    Raises:
        ValueError: `clip` is not positive.
    """

    clip: float = 2.5
    memory: Memory = field(default_factory=NoMemory)

    def __post_init__(self) -> None:
        if not self.clip > 0:
            raise ValueError(f"clip = {self.clip}; expected standard deviations, such as 2.5, or infinity")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        sizes = sizes_of(layout, per_array=True)
        if not sizes.size:
            return b""
        starts = starts_of(sizes)
        sigma = np.sqrt(np.add.reduceat(np.square(vector, dtype=np.float64), starts) / sizes)
        largest = largest_of(vector, sizes)
        limits = np.multiply(self.clip, sigma, where=sigma > 0, out=np.zeros(sizes.size))
        scales = np.minimum(largest, limits).astype(np.float32)  # s = max |f(g)|, f clipping at 2.5 σ
        of_each = np.repeat(scales, sizes)
        told = rng.random(vector.size) * of_each < np.abs(vector)  # with probability |f(g)|/s
        told &= of_each > 0
        scales[~np.logical_or.reduceat(told, starts)] = 0
        return write_scales(scales) + write_levels(np.where(vector < 0, -1, 1).astype(np.int16) * told, max_level=1)


def read(body: bytes, layout: Layout, reference: Reference) -> Vector:
    """Decode a body to the vector: float32, shape (n,).

    Raises:
        MalformedBits: no encoder writes this body.
    """
    sizes = sizes_of(layout, per_array=True)
    scales = read_scales(body, sizes.size)
    return scaled(read_levels(body[4 * sizes.size :], layout.size, max_level=1), scales, sizes, max_level=1)


def count_bits(body: bytes, layout: Layout, reference: Reference) -> BitBreakdown:
    """Bits of a valid body's signs and magnitudes; a zero has no sign, scales count as magnitudes."""
    signs = int(np.count_nonzero(read(body, layout, reference)))
    return BitBreakdown(0, signs, 8 * len(body) - signs)


READER = Reader(10, "ternary", read, count_bits)

ROW = Registration(
    "terngrad",
    READER,
    TernGrad,
    examples={"terngrad": TernGrad(), "terngrad, no clipping": TernGrad(clip=float("inf"))},
    has_budget=False,
    contractive=False,
    colour="deeppink",
    marker=">",
)
