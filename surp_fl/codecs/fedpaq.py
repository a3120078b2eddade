"""FedPAQ: QSGD's quantiser with one norm for the whole update, after several local steps. A few levels, coded.

Source: Reisizadeh, Mokhtari, Hassani, Jadbabaie, Pedarsani 2020, "FedPAQ: A Communication-Efficient Federated Learning
Method with Periodic Averaging and Quantization": quantised differences, by the quantizer of QSGD. The rest of it is how
federated learning is run: clients take several local steps (periodic averaging), and some of them take part in each
round. The messages are those of `qsgd`, coded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.coded_levels import MOST_LEVELS
from surp_fl.codecs.qsgd.messages import MAX_BITS, MAX_BUCKET, READER, max_level_of, write_coded
from surp_fl.codecs.registry import Registration
from surp_fl.layout import Layout
from surp_fl.memory import Memory, NoMemory
from surp_fl.types import Reference, Vector


@dataclass(frozen=True)
class FedPAQ:
    """Stochastic quantisation of the whole update to s levels of its L2 norm.

    Attributes:
        bits: of a coordinate, sign included, 1 to 16: s = 2^(bits − 1) − 1, and 1 with 1 bit. More bits, less variance,
            which is at most min(n/s², √n/s) times the energy of the update.
        levels: s itself, 1 to 32,767, in place of `bits`.
        memory: what the client carries between rounds; nothing, as the rounding is unbiased.

    Raises:
        ValueError: an option is out of its range.
    """

    bits: int = 8
    levels: int | None = None
    memory: Memory = field(default_factory=NoMemory)

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ValueError(f"bits = {self.bits}; expected 1 to {MAX_BITS}")
        if self.levels is not None and not 1 <= self.levels <= MOST_LEVELS:
            raise ValueError(f"levels = {self.levels}; expected 1 to {MOST_LEVELS:,}")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        return write_coded(vector, rng, self.levels or max_level_of(self.bits), MAX_BUCKET)


ROW = Registration(
    "fedpaq",
    READER,
    FedPAQ,
    examples={"fedpaq 8 bits": FedPAQ(), "fedpaq 1 bit": FedPAQ(bits=1), "fedpaq 5 levels": FedPAQ(levels=5)},
    has_budget=False,
    contractive=False,
    colour="darkorange",
    marker="d",
)
