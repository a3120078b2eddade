"""How often the first step of the paper's algorithms finds no candidate: what Eq. 8 bounds, by drawing sources."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from simulations.report.theory import Refreshes

_BLOCK = 1 << 20  # coordinates that are drawn at a time


def first_step(
    algorithm: int, n: int, betas: Sequence[float], trials: int, rng: np.random.Generator
) -> list[Refreshes]:
    """How often a source has no candidate in the first step, with the true λ and with the estimated one.

    Args:
        algorithm: 1, of a Laplacian source, where a side without a candidate counts; or 2, of an exponential source.
        n: coordinates of a source.
        betas: values of β.
        trials: sources that are drawn.
        rng: they are drawn from it.
    """
    draw = rng.laplace if algorithm == 1 else rng.exponential
    largest, means = np.empty(trials), np.empty(trials)
    rows = max(1, _BLOCK // n)
    for start in range(0, trials, rows):
        u = draw(size=(min(rows, trials - start), n))
        part = slice(start, start + len(u))
        largest[part] = u.max(axis=1) if algorithm == 2 else np.minimum(u.max(axis=1), -u.min(axis=1))
        means[part] = np.abs(u).mean(axis=1)
    found = []
    for beta in betas:
        threshold = math.log(n / (beta if algorithm == 2 else 2 * beta))
        known, estimated = (float((largest < threshold * mean).mean()) for mean in (1.0, means))
        found.append(Refreshes(algorithm, n, trials, round(beta, 4), round(known, 6), round(estimated, 6)))
    return found
