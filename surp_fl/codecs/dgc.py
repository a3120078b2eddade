"""Deep gradient compression: top-k of accumulated updates, with the momentum on the client.

Source: Lin, Han, Mao, Wang, Dally 2018, "Deep Gradient Compression: Reducing the Communication Bandwidth for
Distributed Training". Where the paper has the gradient of a step, a client has the update of a round of local steps:
that is clipped, accumulated and sent. As the momentum is here, the local optimiser must have none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from surp_fl.codecs import sparse
from surp_fl.codecs.codec import Codec, Scheme
from surp_fl.codecs.registry import Registration
from surp_fl.codecs.top_k import TopK, max_count
from surp_fl.errors import DIVERGED
from surp_fl.memory import Memory, MomentumCorrection
from surp_fl.types import Vector

WARM_UP = (0.75, 0.9375, 0.984375, 0.996)  # sparsity in the first rounds


@dataclass(frozen=True)
class DGC:
    """Momentum correction, momentum factor masking, clipping, and the largest coordinates.

    Attributes:
        budget: bytes, whole message.
        sparsity: share of the coordinates that are not sent, 0 to 1; instead of a budget.
        value_bits: of each value, 16 or 32.
        sample: share of the coordinates from which the threshold is estimated, as in the paper; None finds the k
            largest. With a budget the k largest are always found.
        memory: momentum and residual; `MomentumCorrection(momentum, clip)`.
        warm_up: sparsity of the first rounds, for `in_round`.

    Raises:
        ValueError: an option is out of its range, or not exactly one of budget and sparsity is given.
    """

    budget: int | None = None
    sparsity: float | None = None
    value_bits: int = 32
    sample: float | None = None
    memory: Memory = field(default_factory=MomentumCorrection)
    warm_up: tuple[float, ...] = WARM_UP

    def __post_init__(self) -> None:
        sparse.check_options(self.budget, self.sparsity, self.value_bits)
        if self.sample is not None and not 0 < self.sample <= 1:
            raise ValueError(f"sample = {self.sample}; expected a share of the coordinates, such as 0.01")

    def in_round(self, server_round: int) -> DGC:
        """The scheme of a round, less sparse during the warm-up; for `CompressUpdates(DGC(...).in_round)`.

        Args:
            server_round: counted from 1.

        >>> [DGC(budget=218).in_round(server_round).sparsity for server_round in (1, 4, 5)]
        [0.75, 0.996, None]
        """
        if max(server_round, 1) > len(self.warm_up):
            return self
        return replace(self, budget=None, sparsity=self.warm_up[max(server_round, 1) - 1])

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        if self.sample is None or self.sparsity is None:
            return TopK(self.budget, self.sparsity, self.value_bits).codec
        return Codec(sparse.READER, self._write)

    def _write(self, vector: Vector, layout: object, rng: np.random.Generator, reference: object) -> bytes:
        """Send what reaches the threshold of a random sample; if that is more than 2k, the k largest of it."""
        assert self.sample is not None
        assert self.sparsity is not None
        magnitudes = np.abs(vector)
        if not np.isfinite(magnitudes.max(initial=0)):
            raise ValueError(DIVERGED)
        k = max_count(vector.size, None, self.sparsity, self.value_bits)
        size = min(vector.size, max(1, round(self.sample * vector.size)))
        sampled = magnitudes[rng.integers(0, vector.size, size)] if vector.size else magnitudes
        rank = min(size, max(1, round(size * (1 - self.sparsity)))) if vector.size else 0
        threshold = np.partition(sampled, size - rank)[size - rank] if rank else np.float32(0)
        indices = np.flatnonzero((magnitudes >= threshold) & (magnitudes > 0))
        if indices.size > 2 * k:
            indices = np.sort(indices[np.argsort(-magnitudes[indices], kind="stable")[:k]])
        return sparse.write(vector, indices, self.value_bits)


def _from_options(
    budget: int, momentum: float = 0.9, clip: float = 0, warm_up: int = len(WARM_UP)
) -> Callable[[int], Scheme]:
    return DGC(budget, memory=MomentumCorrection(momentum, clip or None), warm_up=WARM_UP[:warm_up]).in_round


ROW = Registration(
    "dgc",
    sparse.READER,
    _from_options,
    examples={"dgc 218 B": DGC(budget=218), "dgc 99 % sparse, sampled": DGC(sparsity=0.99, sample=0.3)},
    brings_momentum=True,
    value_bits=32,
    colour="C4",
    marker="v",
)
