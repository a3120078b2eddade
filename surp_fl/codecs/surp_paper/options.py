"""The options that the paper's two algorithms share: where a message ends, β, and what layers are divided by.

Knows how long a message may be. Does not know how a refinement is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from surp_fl.codecs.surp_paper.scales import Scale
from surp_fl.codecs.surp_paper.schedule import Limits
from surp_fl.frame import HEADER_BYTES
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.types import Vector


@dataclass(frozen=True)
class RefinementOptions:
    """Base of both schemes. A message ends at the first of `budget`, `steps` and `sparsity` that is reached.

    Attributes:
        SMALLEST_BUDGET: bytes: a frame and one step in any model of up to 2**40 coordinates, without scales.

    Raises:
        ValueError: no limit is given, or an option is out of its range.
    """

    SMALLEST_BUDGET: ClassVar[int] = 16

    budget: int | None = None
    steps: int | None = None
    sparsity: float | None = None
    scale: Scale | None = None
    beta: float | None = None
    memory: Memory = field(default_factory=ErrorFeedback)

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.budget is None and self.steps is None and self.sparsity is None:
            raise ValueError(f"{name} needs to know where to stop: give a budget in bytes, steps, or a sparsity")
        if self.budget is not None and self.budget < self.SMALLEST_BUDGET:
            raise ValueError(
                f"budget = {self.budget} bytes; a message with one step needs up to {self.SMALLEST_BUDGET}"
            )
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps = {self.steps}; expected at least 1")
        if self.sparsity is not None and not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity = {self.sparsity}; expected the share of zeros, from 0 up to below 1")
        if self.beta is not None and not 0 < self.beta < np.inf:
            raise ValueError(f"beta = {self.beta}; expected a positive number")

    def limits(self, vector: Vector, fixed_bits: int, smallest_bits: int) -> Limits:
        """Where the refinement of a vector stops.

        Args:
            vector: float32, shape (n,).
            fixed_bits: of the body, before the refinement.
            smallest_bits: of a refinement of one step.

        Raises:
            ValueError: the budget has no place for one step.
        """
        bits = -1
        if self.budget is not None:
            bits = 8 * (self.budget - HEADER_BYTES) - fixed_bits
            if bits < smallest_bits:
                needed = HEADER_BYTES + -(-(fixed_bits + smallest_bits) // 8)
                raise ValueError(
                    f"budget = {self.budget} bytes, but one step with its {fixed_bits // 8} bytes of options and "
                    f"scales needs {needed}: raise the budget, or use scale=None"
                )
        distinct = -1
        if self.sparsity is not None:
            target = max(1, round((1 - self.sparsity) * vector.size))
            distinct = min(target, int(np.count_nonzero(vector)))
        return Limits(bits, -1 if self.steps is None else self.steps, distinct)
