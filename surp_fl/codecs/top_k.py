"""Top-k: the k largest coordinates and their values; what is not sent is owed.

Source: Aji, Heafield 2017, "Sparse Communication for Distributed Gradient Descent"; with error feedback as in Stich et
al. 2018, "Sparsified SGD with Memory".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs import sparse
from surp_fl.codecs.codec import Codec
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.topk import largest
from surp_fl.types import Reference, Vector


@dataclass(frozen=True)
class TopK:
    """The largest coordinates: as many as a budget holds, or all but a sparsity.

    Attributes:
        budget: bytes, whole message.
        sparsity: share of the coordinates that is not sent.
        value_bits: of each value; 32, or 16 for half of the bytes and 8 bits of mantissa.
        memory: what the client carries between rounds.
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
        return Codec(sparse.READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        limit = max_count(vector.size, self.budget, self.sparsity, self.value_bits)
        found, _ = largest(vector, limit)
        if self.budget is None:
            indices = np.sort(found)
        else:
            indices = sparse.largest_fitting(
                self.budget, found.size, lambda k: np.sort(found[:k]), vector.size, self.value_bits
            )
        return sparse.write(vector, indices, self.value_bits)


def max_count(n: int, budget: int | None, sparsity: float | None, value_bits: int) -> int:
    """No message has more coordinates than this."""
    if budget is not None:
        return min(n, 8 * budget // (1 + value_bits))
    assert sparsity is not None
    return min(n, max(1, round((1 - sparsity) * n)))


ROW = Registration(
    "top-k",
    sparse.READER,
    with_memory(TopK),
    examples={"top-k 218 B": TopK(budget=218), "top-k 40 B, 16 bits": TopK(budget=40, value_bits=16)},
    value_bits=32,
    colour="C1",
    marker="P",
)
