"""Sources that the paper's theory is about, through its algorithms: distortion, rate and slope after every step.

Knows the two algorithms, their ideal rates, and how a step's threshold follows from a refinement. Does not know
messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from simulations.report.theory import Curve, Floor
from surp_fl.codecs.surp_laplacian import refinement as pairs
from surp_fl.codecs.surp_laplacian._estimates import BOTH, shrink_of
from surp_fl.codecs.surp_paper import refinement as singles
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from surp_fl.entropy.minifloat import decode_minifloat
from surp_fl.types import Floats, Integers, Vector

INDEX_BITS = 24  # of 10^7 coordinates; not counted where a budget is none
GROUP = 0.1  # share by which the thresholds of a set may differ
_ESTIMATE_BITS = 16
_SHOWN = 14  # steps that a curve has in a geometric series, and as many in an arithmetic one
_BLOCK = 1 << 20  # coordinates that are drawn at a time


@dataclass(frozen=True)
class Run:
    """One source refined, step by step.

    Attributes:
        algorithm: 1 or 2.
        u: the source; float32, shape (n,).
        v: its reconstruction; float64, shape (n,).
        thresholds: τ of each step; shape (steps,).
        picks: coordinates of each step; shape (steps,).
        refresh_at: steps before which λ is estimated, the first included; shape (refreshes,).
        refresh_bits: of each of these but the first.
    """

    algorithm: int
    u: Vector
    v: Floats
    thresholds: Floats
    picks: Integers
    refresh_at: Integers
    refresh_bits: int

    @property
    def first_distortion(self) -> float:
        """1/λ: the mean magnitude, what the algorithm estimates, before it is rounded."""
        return float(np.abs(self.u).sum(dtype=np.float64)) / self.u.size

    @property
    def distortions(self) -> Floats:
        """L1 distortion after each step: each takes τ/n for each of its coordinates."""
        taken: Floats = np.cumsum(self.thresholds * self.picks)
        return self.first_distortion - taken / self.u.size

    @property
    def rates(self) -> Floats:
        """The paper's rate after each step, in nats a symbol: ln n(n − 1) for a pair, ln n for one index."""
        n = self.u.size
        of_picks = np.array([0.0, math.log(n), math.log(n * (n - 1))])
        nats: Floats = np.cumsum(of_picks[self.picks], dtype=np.float64)
        return nats / n

    @property
    def refresh_rates(self) -> Floats:
        """What the refreshes add to the rate."""
        made = np.searchsorted(self.refresh_at[1:], np.arange(self.thresholds.size), side="right")
        return np.multiply(made, self.refresh_bits * math.log(2) / self.u.size, dtype=np.float64)

    def as_sets(self) -> tuple[Floats, Floats]:
        """Distortion and rate if steps whose τ are alike were sent as a set, in which the order is free.

        All of a set have its smallest threshold, which all reach; it costs the logarithm of the number of multisets.
        """
        groups = np.floor(np.log(self.thresholds / self.thresholds[0]) / math.log(1 - GROUP) + 1e-9).astype(np.int64)
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        lengths = np.diff(starts, append=groups.size)
        smallest = np.repeat(self.thresholds[starts + lengths - 1], lengths)
        place = np.arange(groups.size) - np.repeat(starts, lengths) + 1  # of a step in its group, from 1
        n = self.u.size
        taken: Floats = np.cumsum(smallest * self.picks)
        nats: Floats = np.cumsum(self.picks * np.log((n + place - 1) / place))
        return self.first_distortion - taken / n, nats / n

    def exceeding(self) -> int:
        """Coordinates whose reconstruction is larger than they are, or has the other sign; it only grows by steps."""
        most = np.abs(self.u, dtype=np.float64) * (1 + 1e-12)  # for the rounding of sums
        return int((np.abs(self.v) > most).sum() + (self.v * self.u < 0).sum())


def laplacian(n: int, steps: int, rng: np.random.Generator) -> Run:
    """Refine n Laplacian coordinates with λ = 1 by Algorithm 1."""
    u = _drawn(rng.laplace, n)
    schedule = Schedule.of(n, sides=2)
    found = pairs.refine(u, np.array([n]), np.ones(1), schedule, Limits(steps=steps), INDEX_BITS, rng)
    lengths = np.diff(found.refresh_at, append=found.steps)
    means = [decode_minifloat(int(code)) for code in found.refresh_code]
    average, parts = means[0], []  # of |u|, as both ends hold it
    for mean, sides, length in zip(means, found.refresh_sides, lengths, strict=True):
        shrink = shrink_of(n, schedule.log_ratio, int(sides), mean / average)
        parts.append(schedule.log_ratio * mean * shrink ** np.arange(length))
        average *= shrink ** int(length)
    picks = np.repeat(np.where(found.refresh_sides == BOTH, 2, 1), lengths)
    v = pairs.signed_sums_of_all(found, schedule, n)
    bits = _ESTIMATE_BITS + 2 + (found.steps - 1).bit_length()
    return Run(1, u, v, np.concatenate(parts), picks, found.refresh_at, bits)


def exponential(n: int, steps: int, rng: np.random.Generator) -> Run:
    """Refine n exponential coordinates with λ = 1 by Algorithm 2."""
    u = _drawn(rng.exponential, n)
    schedule = Schedule.of(n)
    found = singles.refine(u, np.array([n]), np.ones(1), schedule, Limits(steps=steps), INDEX_BITS, rng)
    made = found.indices.size
    lengths = np.diff(found.refresh_at, append=made)
    parts = [
        schedule.log_ratio * decode_minifloat(int(code)) * schedule.shrink ** np.arange(length)
        for code, length in zip(found.refresh_code, lengths, strict=True)
    ]
    v = singles.magnitudes_of_all(found, schedule, n)
    bits = _ESTIMATE_BITS + (made - 1).bit_length()
    return Run(2, u, v, np.concatenate(parts), np.ones(made, np.int64), found.refresh_at, bits)


SOURCES: dict[int, Callable[[int, int, np.random.Generator], Run]] = {1: laplacian, 2: exponential}


def _drawn(draw: Callable[..., Floats], n: int) -> Vector:
    u = np.empty(n, np.float32)
    for start in range(0, n, _BLOCK):
        u[start : start + _BLOCK] = draw(size=min(_BLOCK, n - start))
    return u


def steps_for(algorithm: int, n: int, nats: float) -> int:
    """Steps that the paper's rate makes of so many nats a symbol."""
    return max(1, round(n * nats / (math.log(n * (n - 1)) if algorithm == 1 else math.log(n))))


def floor(algorithm: int, n: int, nats: float, rng: np.random.Generator) -> Floor:
    """What is left of the distortion after so many nats a symbol, of which an ideal code would need a few."""
    run = SOURCES[algorithm](n, steps_for(algorithm, n, nats), rng)
    return Floor(algorithm, n, nats, float(f"{run.distortions[-1] / run.first_distortion:.3g}"))


def curve(runs: Sequence[Run]) -> Curve:
    """The mean of runs of one algorithm, size and number of steps, after some of the steps."""
    steps = min(run.thresholds.size for run in runs)
    shown = np.concatenate([np.geomspace(1, steps, _SHOWN), np.linspace(steps / 10, steps, _SHOWN)])
    at = np.unique(shown.round().astype(np.int64)) - 1

    def mean(values: Callable[[Run], Floats]) -> list[float]:
        return [float(f"{each:.5g}") for each in np.mean([values(run)[at] for run in runs], axis=0)]

    first = [int(np.append(run.refresh_at[run.refresh_at > 0], run.thresholds.size)[0]) for run in runs]
    return Curve(
        algorithm=runs[0].algorithm,
        n=runs[0].u.size,
        seeds=len(runs),
        first_slope=_slope(runs, [1] * len(runs)),
        slope_to_refresh=_slope(runs, first),
        first_refresh=fmean(first),
        one_sided=fmean(float((run.picks < runs[0].picks.max()).mean()) for run in runs),
        exceeding=sum(run.exceeding() for run in runs),
        rates=mean(lambda run: run.rates),
        reductions=mean(lambda run: 1 - run.distortions / run.first_distortion),
        refresh_rates=mean(lambda run: run.refresh_rates),
        set_rates=mean(lambda run: run.as_sets()[1]),
        set_reductions=mean(lambda run: 1 - run.as_sets()[0] / run.first_distortion),
    )


def _slope(runs: Sequence[Run], steps: Sequence[int]) -> float:
    """−λ times the fall of distortion for each nat of rate, over the first steps of each run; the mean."""
    ratios = (
        (1 - run.distortions[made - 1] / run.first_distortion) / run.rates[made - 1]
        for run, made in zip(runs, steps, strict=True)
    )
    return round(fmean(float(ratio) for ratio in ratios), 5)
