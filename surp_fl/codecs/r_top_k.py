"""rTop-k: k coordinates drawn at random from the r largest, and their values.

Source: Barnes, Inan, Isik, Özgür 2020, "rTop-k: A Statistical Estimation Approach to Distributed SGD".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surp_fl.codecs import sparse
from surp_fl.codecs.codec import Codec
from surp_fl.codecs.registry import Registration, with_memory
from surp_fl.codecs.top_k import max_count
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.topk import largest
from surp_fl.types import Reference, Vector


@dataclass(frozen=True)
class RTopK:
    """Some of the largest coordinates: as many as a budget holds, or a share of all.

    Attributes:
        budget: bytes, whole message.
        sparsity: share of the coordinates that are not sent, 0 to 1; instead of a budget.
        ratio: r/k, how many times more candidates than are sent; 1 is top-k.
        value_bits: of each value, 16 or 32.
        memory: what the client carries between rounds.

    Raises:
        ValueError: an option is out of its range, or not exactly one of budget and sparsity is given.
    """

    budget: int | None = None
    sparsity: float | None = None
    ratio: float = 10.0
    value_bits: int = 32
    memory: Memory = field(default_factory=ErrorFeedback)

    def __post_init__(self) -> None:
        sparse.check_options(self.budget, self.sparsity, self.value_bits)
        if not 1 <= self.ratio < float("inf"):
            raise ValueError(f"ratio = {self.ratio}; r/k is at least 1, and finite")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(sparse.READER, self._write)

    def _write(self, vector: Vector, layout: Layout, rng: np.random.Generator, reference: Reference) -> bytes:
        limit = max_count(vector.size, self.budget, self.sparsity, self.value_bits)
        found, _ = largest(vector, min(vector.size, int(self.ratio * limit)))
        order = rng.permutation(found.size)

        def drawn(k: int) -> sparse.Indices:  # the same draw for every k: among fewer candidates, in the same order
            return np.sort(found[order[order < self.ratio * k][:k]])

        if self.budget is None:
            indices = drawn(limit)
        else:
            indices = sparse.largest_fitting(self.budget, min(limit, found.size), drawn, vector.size, self.value_bits)
        return sparse.write(vector, indices, self.value_bits)


ROW = Registration(
    "rtop-k",
    sparse.READER,
    with_memory(RTopK),
    examples={"rtop-k 218 B": RTopK(budget=218, ratio=2)},
    value_bits=32,
    colour="C2",
    marker="^",
)
