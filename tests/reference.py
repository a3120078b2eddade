"""Algorithm 2 as the paper writes it, O(n) a step, with numpy and the standard library only.

It shares no code with `surp_fl`: the indices that the compiled loops must select, step by step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class ReferenceRefinement:
    indices: list[int] = field(default_factory=list)
    refresh_at: list[int] = field(default_factory=list)
    means: list[float] = field(default_factory=list)


def in_sixteen_bits(value: float, *, down: bool) -> float:
    """The nearest (or next lower) number of the form (128 + m)·2^k, 0 ≤ m < 128."""
    if value <= 0:
        return 0.0
    unit = 2.0 ** (math.frexp(value)[1] - 8)
    return unit * (math.floor(value / unit) if down else math.floor(value / unit + 0.5))


def bits(steps: int, refreshes: int, signs: int, index_bits: int) -> int:
    """The format table of `surp_fl/codecs/surp_paper/decoder.py`, added up."""
    varints = sum(8 * max(1, math.ceil(count.bit_length() / 7)) for count in (steps, refreshes))
    return varints + 16 + steps * index_bits + signs + refreshes * (math.ceil(math.log2(steps)) + 16)


def reference_refine(
    magnitudes: NDArray[np.float64],
    log_ratio: float,
    expected: int,
    rng: np.random.Generator,
    *,
    budget_bits: float = math.inf,
    max_steps: float = math.inf,
    max_distinct: float = math.inf,
    index_bits: int = 1,
) -> ReferenceRefinement:
    u = magnitudes.copy()
    n = len(u)
    refinement = ReferenceRefinement()
    mean = 0.0  # 1/λ
    while len(refinement.indices) < max_steps and len(set(refinement.indices)) < max_distinct:
        threshold = log_ratio * mean
        candidates = np.flatnonzero(u >= threshold) if mean > 0 else np.empty(0, np.int64)
        refreshed = len(candidates) == 0
        if refreshed:
            mean = in_sixteen_bits(math.fsum(u) / n, down=False)
            if mean == 0 or log_ratio * mean > u.max():
                top = np.sort(u)[::-1][:expected]
                mean = in_sixteen_bits(min(top[top > 0], default=0.0) / log_ratio, down=True)
            if mean == 0:
                break
            threshold = log_ratio * mean
            candidates = np.flatnonzero(u >= threshold)
        if threshold < 2.0**-300:
            break
        index = int(candidates[min(int(rng.random() * len(candidates)), len(candidates) - 1)])
        refreshes = len(refinement.refresh_at) + refreshed
        signs = len({*refinement.indices, index})
        if bits(len(refinement.indices) + 1, refreshes - 1, signs, index_bits) > budget_bits:
            break
        if refreshed:
            refinement.refresh_at.append(len(refinement.indices))
            refinement.means.append(mean)
        refinement.indices.append(index)
        u[index] -= threshold
        mean *= (n - log_ratio) / n
    return refinement
