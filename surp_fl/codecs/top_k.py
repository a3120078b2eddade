"""Top-k: the k largest coordinates and their values, with error feedback for the others.

Source: Aji, Heafield 2017, "Sparse Communication for Distributed Gradient Descent"; error feedback as in Stich,
Cordonnier, Jaggi 2018, "Sparsified SGD with Memory".
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
    """The largest coordinates: as many as a budget holds, or a share of all.

    Attributes:
        budget: bytes, whole message.
        sparsity: share of the coordinates that are not sent, 0 to 1; instead of a budget.
        value_bits: of each value; 32, or 16 for half of the bytes and 8 bits of mantissa.
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
    """Upper bound of the coordinates in a message.

    Args:
        n: coordinates of the model.
        budget: bytes, whole message; or None.
        sparsity: share of the coordinates that are not sent; or None.
        value_bits: of each value.

    >>> max_count(1000, budget=None, sparsity=0.99, value_bits=32)
    10
    """
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
