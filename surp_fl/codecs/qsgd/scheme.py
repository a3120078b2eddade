"""QSGD: every coordinate, rounded stochastically to a few levels of its bucket's norm. Unbiased: no error feedback.

Source: Alistarh, Grubic, Li, Tomioka, Vojnovic 2017, "QSGD: Communication-Efficient SGD via Gradient Quantization and
Encoding". In place of its Elias code, levels have a fixed number of bits each, as is common, or adaptive models and a
range coder, which is the shortest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.coded_levels import MOST_LEVELS
from surp_fl.codecs.qsgd.messages import (
    MAX_BITS,
    MAX_BUCKET,
    MIN_BITS,
    READER,
    max_level_of,
    write_coded,
    write_fixed,
)
from surp_fl.codecs.registry import Registration
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory
from surp_fl.types import Reference, Vector


@dataclass(frozen=True)
class QSGD:
    """Stochastic quantisation to `bits` a coordinate.

    Attributes:
        bits: of a coordinate, sign included, 2 to 16; or, if levels are coded, 1 to 16: s = 2^(bits − 1) − 1 levels
            beside 0, and with 1 bit, one. More bits, less variance.
        bucket: coordinates that share an L2 norm.
        coded: whether adaptive models code the levels, which then take fewer bits the closer to 0 they are. The values
            are the same.
        levels: s itself, 1 to 32,767, in place of `bits`; for coded levels.
        memory: what the client carries between rounds; nothing, as the rounding is unbiased.

    Raises:
        ValueError: an option is out of its range.
    """

    bits: int = 8
    bucket: int = 512
    coded: bool = False
    levels: int | None = None
    memory: Memory = field(default_factory=NoMemory)

    def __post_init__(self) -> None:
        least = 1 if self.coded else MIN_BITS
        if not least <= self.bits <= MAX_BITS:
            raise ValueError(f"bits = {self.bits}; expected {least} to {MAX_BITS}")
        if self.levels is not None and not (self.coded and 1 <= self.levels <= MOST_LEVELS):
            raise ValueError(f"levels = {self.levels}; expected 1 to {MOST_LEVELS:,}, and coded=True")
        if not 1 <= self.bucket <= MAX_BUCKET:
            raise ValueError(f"bucket = {self.bucket}; expected 1 to {MAX_BUCKET:,} coordinates")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if self.coded:
            return write_coded(vector, rng, self.levels or max_level_of(self.bits), self.bucket)
        return write_fixed(vector, rng, self.bits, self.bucket)


ROW = Registration(
    "qsgd",
    READER,
    QSGD,
    examples={
        "qsgd 8 bits": QSGD(),
        "qsgd 3 bits": QSGD(bits=3, bucket=10),
        "qsgd 12 bits": QSGD(bits=12),
        "qsgd 8 bits, coded": QSGD(coded=True),
        "qsgd 1 bit, coded": QSGD(bits=1, bucket=64, coded=True),
        "qsgd 16 bits, coded": QSGD(bits=16, coded=True),
    },
    has_budget=False,
    contractive=False,
    colour="C5",
    marker="X",
)
