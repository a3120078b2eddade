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


def in_sixteen_bits(value: float, *, down: bool = False, up: bool = False) -> float:
    """The nearest (or next lower, or higher) number of the form (128 + m)·2^k, 0 ≤ m < 128."""
    if value <= 0:
        return 0.0
    unit = 2.0 ** (math.frexp(value)[1] - 8)
    return unit * (
        math.floor(value / unit) if down else math.ceil(value / unit) if up else math.floor(value / unit + 0.5)
    )


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


@dataclass
class ReferencePairs:
    indices: list[int] = field(default_factory=list)
    refresh_at: list[int] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)  # of each step
    residuals: list[NDArray[np.float64]] = field(default_factory=list)  # u before the first step, and after each


def pair_bits(steps: int, refreshes: int, picks: int, index_bits: int) -> int:
    """The format table of `surp_fl/codecs/surp_laplacian/decoder.py`, added up."""
    varints = sum(8 * max(1, math.ceil(count.bit_length() / 7)) for count in (steps, refreshes))
    return varints + 18 * (refreshes + 1) + refreshes * math.ceil(math.log2(steps)) + picks * index_bits


def reference_pairs(
    vector: NDArray[np.float64],
    log_ratio: float,
    expected: int,
    rng: np.random.Generator,
    *,
    budget_bits: float = math.inf,
    max_steps: float = math.inf,
    max_distinct: float = math.inf,
    index_bits: int = 1,
) -> ReferencePairs:
    """Algorithm 1 as the paper writes it, O(n) a step; where that is not defined, as `LaplacianSuRP` says."""
    u = vector.copy()
    n = len(u)
    found = ReferencePairs(residuals=[u.copy()])
    average = mean = first = in_sixteen_bits(math.fsum(np.abs(u)) / n, up=True)  # of |u|, and 1/λ
    sides, ratio = 0, 1.0
    while first > 0 and len(found.thresholds) < max_steps and len(set(found.indices)) < max_distinct:
        threshold = log_ratio * mean
        m_max, m_min = np.flatnonzero(u >= threshold), np.flatnonzero(u <= -threshold)
        refreshed = sides == 0 or (sides & 1 and not m_max.size) or (sides & 2 and not m_min.size)
        if refreshed:
            mean, sides = estimate(u, log_ratio, expected, mean)
            if mean == 0:
                break
            ratio = mean / average
            threshold = log_ratio * mean
            m_max, m_min = np.flatnonzero(u >= threshold), np.flatnonzero(u <= -threshold)
        if threshold < 2.0**-300:
            break
        picked = []
        if sides & 1:
            picked.append(int(m_max[min(int(rng.random() * len(m_max)), len(m_max) - 1)]))
        if sides & 2:
            picked.append(int(m_min[min(int(rng.random() * len(m_min)), len(m_min) - 1)]))
        steps = len(found.thresholds)
        estimates = [(steps, mean, sides)] if refreshed else []
        if not found.means and mean != first:
            estimates.insert(0, (0, first, 3))
        refreshes = len(found.means) + len(estimates)
        if pair_bits(steps + 1, refreshes - 1, len(found.indices) + len(picked), index_bits) > budget_bits:
            break
        for at, value, of in estimates:
            found.refresh_at.append(at)
            found.means.append(value)
            found.sides.append(of)
        for index in picked:
            u[index] -= math.copysign(threshold, u[index])
        found.indices += picked
        found.thresholds.append(threshold)
        found.residuals.append(u.copy())
        shrink = (n - len(picked) * log_ratio * ratio) / n
        mean *= shrink
        average *= shrink
    return found


def estimate(u: NDArray[np.float64], log_ratio: float, expected: int, mean: float) -> tuple[float, int]:
    """ParamEst, and the sides that are refined with it; 0 at the end."""
    estimated = min(in_sixteen_bits(math.fsum(np.abs(u)) / len(u), up=True), in_sixteen_bits(mean, down=True))
    if estimated == 0:
        return 0.0, 3
    tops = [np.sort(side[side > 0])[::-1][:expected] for side in (u, -u)]
    totals = [math.fsum(side[side > 0]) for side in (u, -u)]
    has = [bool((top >= log_ratio * estimated).any()) for top in tops]
    least = [min(top, default=0.0) for top in tops]
    if all(has):
        return estimated, 3
    if any(has):
        one = has.index(True)
        if 2 * least[1 - one] >= log_ratio * estimated and totals[one] <= 2 * totals[1 - one]:
            return in_sixteen_bits(least[1 - one] / log_ratio, down=True), 3
        return estimated, 1 + one
    if 2 * min(least) >= max(least):
        return in_sixteen_bits(min(least) / log_ratio, down=True), 3
    return in_sixteen_bits(max(least) / log_ratio, down=True), 1 + least.index(max(least))
