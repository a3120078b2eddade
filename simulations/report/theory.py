"""The paper's theory beside what its algorithms do: what was measured, and the tables of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulations.report import json_rows

SOURCES = {1: "Laplacian, Algorithm 1", 2: "exponential, Algorithm 2"}


@dataclass(frozen=True)
class Curve:
    """One source of n coordinates, refined; the mean of its seeds. A list has a number for each of some step counts.

    Attributes:
        algorithm: 1 or 2.
        n: coordinates.
        seeds: sources that were drawn.
        first_slope: −λ times the fall of distortion a nat, in the first step.
        slope_to_refresh: the same until λ was first estimated again.
        first_refresh: steps until then.
        one_sided: share of steps that refined one side alone, of Algorithm 1.
        exceeding: coordinates that were decoded larger than they are, or with the other sign; of all seeds.
        rates: nats a symbol of the indices, as the paper counts them.
        reductions: 1 − λD, with D the distortion.
        refresh_rates: nats a symbol of the refreshes.
        set_rates: nats a symbol if steps of like thresholds were sent as sets.
        set_reductions: 1 − λD of these.
    """

    algorithm: int
    n: int
    seeds: int
    first_slope: float
    slope_to_refresh: float
    first_refresh: float
    one_sided: float
    exceeding: int
    rates: Sequence[float]
    reductions: Sequence[float]
    refresh_rates: Sequence[float]
    set_rates: Sequence[float]
    set_reductions: Sequence[float]

    def ratio(self, kept: float, sets: bool = False) -> float | None:
        """The rate at a distortion of `kept`/λ in units of R(D) = −ln(λD); None where it was not reached."""
        rates, reductions = (self.set_rates, self.set_reductions) if sets else (self.rates, self.reductions)
        if not reductions[0] <= 1 - kept <= reductions[-1]:
            return None
        return float(np.interp(1 - kept, reductions, rates)) / -math.log(kept)


@dataclass(frozen=True)
class Refreshes:
    """How often the first step finds a side without a candidate.

    Attributes:
        algorithm: 1 or 2.
        n: coordinates of a source.
        trials: sources that were drawn.
        beta: β.
        known: share of them, with the λ that they were drawn with.
        estimated: share of them, with λ = 1/mean(|u|).
    """

    algorithm: int
    n: int
    trials: int
    beta: float
    known: float
    estimated: float


@dataclass(frozen=True)
class Network:
    """Random ReLU networks of a shape, pruned; ratios of the change of the output to Theorem 1's bound.

    Attributes:
        algorithm: that pruned them, 1 or 2.
        depth: layers.
        width: inputs of each layer.
        sparsity: share of all weights that are 0.
        seeds: networks that were drawn.
        of_random: the largest ratio, of random inputs alone.
        of_all: the largest ratio, of the vertices ±e_i and mixtures of the worst inputs too.
        larger_norms: layers of a network whose norm grew.
    """

    algorithm: int
    depth: int
    width: int
    sparsity: float
    seeds: int
    of_random: float
    of_all: float
    larger_norms: int


@dataclass(frozen=True)
class Floor:
    """What a source that was refined for long is left with: D in units of 1/λ, after so many nats a symbol."""

    algorithm: int
    n: int
    nats: float
    left: float


Measured = Curve | Refreshes | Network | Floor
KINDS: dict[str, Callable[..., Measured]] = {
    "curve": Curve, "floor": Floor, "refreshes": Refreshes, "network": Network,
}  # fmt: skip


def save(found: Sequence[Measured], folder: Path) -> None:
    """Write theory.json, one line a row."""
    names = {kind: name for name, kind in KINDS.items()}
    folder.mkdir(parents=True, exist_ok=True)
    rows = ({"kind": names[type(each)], **asdict(each)} for each in found)
    (folder / "theory.json").write_text(json_rows.text_of(rows))


def load(folder: Path) -> list[Measured]:
    """Read theory.json."""
    rows: list[dict[str, Any]] = json_rows.rows_of((folder / "theory.json").read_text())
    return [KINDS[row.pop("kind")](**row) for row in rows]


def slope_of(algorithm: int, n: float) -> float:
    """−λ·ΔD/ΔR of a step as Theorem 2 has it, with β = ln n: 2·ln(n/2β)/ln n(n − 1); of Algorithm 2 ln(n/β)/ln n."""
    beta = math.log(n)
    if algorithm == 2:
        return math.log(n / beta) / beta
    return 2 * math.log(n / 2 / beta) / (math.log(n) + math.log(n - 1))


def bound_of(algorithm: int, beta: float) -> float:
    """Eq. 8's bound on the probability of a refresh: 2·exp(−β), or of one side exp(−β); at most 1."""
    return min(1.0, (2 if algorithm == 1 else 1) * math.exp(-beta))


def probability_of(algorithm: int, n: int, beta: float) -> float:
    """What Eq. 8 bounds, of n coordinates: that a side of two has no candidate, or of Algorithm 2 its only one.

    >>> round(probability_of(1, 1000, 2.0), 4), round(bound_of(1, 2.0), 4)
    (0.252, 0.2707)
    """
    one = (1 - beta / n) ** n
    return 2 * one - (1 - 2 * beta / n) ** n if algorithm == 1 else one


def size_for(slope: float) -> float:
    """The n from which on Algorithm 1's slope of Theorem 2 is this, with β = ln n."""
    low, high = 3.0, 1e300
    while high / low > 1.001:
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = (low, middle) if slope_of(1, middle) > slope else (middle, high)
    return high


def least_ratio(n: int, kept: float) -> float:
    """The least rate of indices, in units of R(D), at a distortion of `kept`/λ, whatever an encoder chooses.

    k indices of ln n nats take away at most the k largest of n magnitudes, which on average are k·(ln(n/k) + 1)/λ.
    """
    low, high = 0.0, 1.0  # k/n
    for _ in range(60):
        share = (low + high) / 2
        low, high = (share, high) if share * (1 - math.log(share)) < 1 - kept else (low, share)
    return high * math.log(n) / -math.log(kept)
