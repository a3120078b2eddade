"""PowerSGD: of each layer two factors of low rank, found by one power iteration that starts where the last one ended.

Source: Vogels, Karimireddy, Jaggi 2019, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed
Optimization", Algorithms 1 and 2: error feedback, and warm start. Its workers add up P, and then Q, before they go on;
clients of federated learning do not meet, so that each has factors of its own, and the server adds up what they say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from surp_fl.codecs.codec import Codec
from surp_fl.codecs.power_sgd.low_rank import factors, warm_start
from surp_fl.codecs.power_sgd.messages import READER, WIDTHS, parts_of, rounded, write
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.errors import DIVERGED
from surp_fl.layout import Layout
from surp_fl.memory import LAST_SENT, ErrorFeedbackAndLastSent, Memory, State
from surp_fl.types import Floats, Reference, Vector


@dataclass(frozen=True)
class PowerSGD:
    """Factors of low rank: r·(rows + columns) values of a layer, and all values of biases and of layers too small.

    Attributes:
        rank: r, at least 1; higher, more bytes, less error.
        value_bits: of each value: 16, with 8 bits of mantissa, or 32.
        iterations: power iterations of a message; more of them find better factors where there is no warm start.
        memory: what the client carries between rounds. The default one keeps what was sent last, which the next
            message's iteration starts from (warm start); any other starts from random columns.
        last_sent: what was sent last, float32, shape (n,); set by `continued`.

    Raises:
        ValueError: an option is out of its range.
    """

    rank: int = 2
    value_bits: int = 16
    iterations: int = 1
    memory: Memory = field(default_factory=ErrorFeedbackAndLastSent)
    last_sent: Vector | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank = {self.rank}; expected 1 or more columns of each factor")
        if self.value_bits not in WIDTHS:
            raise ValueError(f"value_bits = {self.value_bits}; expected 16 or 32")
        if self.iterations < 1:
            raise ValueError(f"iterations = {self.iterations}; expected 1 or more power iterations")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def continued(self, state: State) -> PowerSGD:
        """The scheme for a client's next message, which starts from its last one.

        Args:
            state: of the client's memory; without the last message, the start is random.
        """
        return replace(self, last_sent=state.get(LAST_SENT))

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        if not np.isfinite(vector).all():
            raise ValueError(DIVERGED)
        arrays: list[Floats] = []
        last = self.last_sent if self.last_sent is not None and self.last_sent.shape == vector.shape else None
        for part, shape in parts_of(layout, self.rank):
            if shape is None:
                arrays.append(rounded(vector[part], self.value_bits))
                continue
            held = np.zeros(shape) if last is None else last[part].reshape(shape).astype(np.float64)
            start = warm_start(held, self.rank, rng)
            layer = vector[part].reshape(shape).astype(np.float64)
            pair = factors(layer, start, lambda values: rounded(values, self.value_bits), self.iterations)
            arrays += [factor.T for factor in pair]
        factored = any(shape is not None for _, shape in parts_of(layout, self.rank))
        return write(self.rank if factored else 0, self.value_bits, arrays)


ROW = Registration(
    "power-sgd",
    READER,
    with_memory(PowerSGD, ErrorFeedbackAndLastSent()),
    examples={
        "power-sgd rank 2": PowerSGD(),
        "power-sgd rank 1, 32 bits": PowerSGD(rank=1, value_bits=32, iterations=2),
    },
    has_budget=False,
    keeps_signs=False,
    colour="turquoise",
    marker="p",
)
