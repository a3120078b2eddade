"""Each method as its source defines it, weight by weight, in exact or double arithmetic; no code of `surp_fl`.

A model is a list of layers; a layer a list of weights that are left, a pruned one being None.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Layers = list[NDArray[np.float64]]  # flat, NaN where pruned earlier


def kept_by_score(scores: Layers, keep: int) -> set[tuple[int, int]]:
    """Layer and index of the largest scores; among equals the earlier layer, then the lower index."""
    places = [(-s, i, j) for i, layer in enumerate(scores) for j, s in enumerate(layer) if not math.isnan(s)]
    return {(i, j) for _, i, j in sorted(places)[:keep]}


def ranked_scores(layers: Layers, power: int) -> Layers:
    """|w|^p over the sum of all |w'|^p that come before it in its layer, itself included; 0 in a layer of zeros."""
    scores = []
    for layer in layers:
        found = np.full(len(layer), np.nan)
        order = sorted((-abs(w), j) for j, w in enumerate(layer) if not math.isnan(w))
        for rank, (negative, j) in enumerate(order):
            total = math.fsum((-w) ** power for w, _ in order[: rank + 1])
            found[j] = (-negative) ** power / total if total > 0 else 0.0
        scores.append(found)
    return scores


def shared_out(shares: list[int], capacities: list[int], count: int) -> list[int]:
    """The largest remainders of min(capacity, f·share), with the f that gives the count."""
    capped: set[int] = set()
    while True:
        free = [i for i in range(len(shares)) if i not in capped]
        rest = count - sum(capacities[i] for i in capped)
        total = sum(shares[i] for i in free)
        parts = {i: Fraction(rest * shares[i], total) if total else Fraction(0) for i in free}
        largest = max(free, key=lambda i: parts[i] - capacities[i], default=None)
        if largest is None or parts[largest] <= capacities[largest]:
            break
        capped.add(largest)  # one at a time, as the published code of LAMP does
    counts = [capacities[i] if i in capped else math.floor(parts[i]) for i in range(len(shares))]
    by_remainder = sorted(free, key=lambda i: (math.floor(parts[i]) - parts[i], i))
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    return counts
