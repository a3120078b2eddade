"""What both ends derive from n and β alone, and where an encoder stops; for both of the paper's algorithms.

Source: Isik, Weissman, No 2022, "An Information-Theoretic Justification for Model Pruning", Appendix E.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_LOG_STEPS = 2**32  # ln(n/β) is rounded to 1/2^32, as the last bit of a logarithm depends on the platform
_RATIOS = {1: "n/β", 2: "n/2β"}  # by sides


@dataclass(frozen=True)
class Schedule:
    """How the threshold changes: a function of n and β alone, so never sent.

    Algorithm 2 refines one side, magnitudes; Algorithm 1 two, what is above zero and what is below it.

    Attributes:
        log_ratio: ln(n/β) of one side, ln(n/2β) of two: the threshold is τ = log_ratio / λ.
        shrink: (n − sides·log_ratio) / n, by which 1/λ shrinks at a step that refines a coordinate of each side.
        expected: candidates that an exponential (Laplacian) source has at the threshold on each side:
            (n/sides)·exp(−log_ratio) = β, rounded.

    >>> Schedule.of(1000).expected, Schedule.of(1000, sides=2).expected
    (7, 7)
    """

    log_ratio: float
    shrink: float
    expected: int

    @classmethod
    def of(cls, n: int, beta: float | None = None, sides: int = 1) -> Schedule:
        """Derive the schedule for n coordinates.

        Args:
            n: size of the vector, at least 1.
            beta: the paper's β; None stands for its choice, ln n. A larger β lowers the threshold: more
                candidates, fewer refreshes, more steps for the same magnitude.
            sides: 1 for Algorithm 2, 2 for Algorithm 1.

        Raises:
            ValueError: the threshold or the growth of λ would not be positive.
        """
        side = n / sides
        if beta is None:
            log_ratio = math.log(side / math.log(n)) if n > 2 else 0.5 / sides  # ln n ≤ 0.7: β would exceed its range
        else:
            log_ratio = math.log(side / beta) if beta > 0 else math.inf
        log_ratio = round(log_ratio * _LOG_STEPS) / _LOG_STEPS if math.isfinite(log_ratio) else log_ratio
        if not 0 < log_ratio < side:
            raise ValueError(
                f"beta = {beta} gives ln({_RATIOS[sides]}) = {log_ratio:g} for n = {n}; it must lie between 0 and "
                f"{side:g}: choose beta between {side * math.exp(-min(side, 700)):g} and {side:g}"
            )
        expected = max(1, round(side * math.exp(-log_ratio)))
        return cls(log_ratio, (n - sides * log_ratio) / n, expected)


@dataclass(frozen=True)
class Limits:
    """Where a refinement stops: at the first limit that is reached. −1 is no limit.

    Attributes:
        bits: of the refinement as `bits_of` counts them.
        steps: number of steps.
        distinct: number of distinct indices.
    """

    bits: int = -1
    steps: int = -1
    distinct: int = -1
