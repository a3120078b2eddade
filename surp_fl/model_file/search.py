"""The smallest file whose model is accurate enough, by bisection of its size.

Accuracy need not fall steadily with the size: the file that is found is one that was evaluated, and about the smallest.
Knows no models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

CLOSE = 1.02  # sizes whose ratio is smaller are not told apart


@dataclass(frozen=True)
class Trial:
    """A size that was evaluated.

    Attributes:
        budget: bytes that the file could have.
        file: of that budget.
        accuracy: of its model.
        enough: whether that is accurate enough.
    """

    budget: int
    file: bytes
    accuracy: float
    enough: bool


def smallest_file(
    of_budget: Callable[[int], bytes],
    accuracy_of: Callable[[bytes], float],
    least_accuracy: float,
    smallest: int,
    largest: int,
    evaluations: int,
    report: Callable[[Trial], None] = lambda trial: None,
) -> Trial | None:
    """Find the smallest file that is accurate enough.

    The largest one is evaluated first; then the logarithm of the size is bisected.

    Args:
        of_budget: makes the file of a budget in bytes.
        accuracy_of: evaluates a file's model; higher is better.
        least_accuracy: that is enough.
        smallest: budget, in bytes.
        largest: budget, in bytes.
        evaluations: at most; at least 1.
        report: called after each.

    Returns:
        The trial with the smallest file among those that are accurate enough; None if the largest one is not.

    >>> found = smallest_file(lambda budget: bytes(budget), lambda file: min(len(file), 500), 400, 10, 10_000, 20)
    >>> 400 <= len(found.file) <= 400 * CLOSE
    True
    """
    best = None
    low, high, budget = smallest, largest, largest
    for _ in range(evaluations):
        file = of_budget(budget)
        accuracy = accuracy_of(file)
        trial = Trial(budget, file, accuracy, accuracy >= least_accuracy)
        report(trial)
        if trial.enough:
            best, high = trial, min(budget, len(file))
        elif best is None:
            return None
        else:
            low = budget
        if high <= CLOSE * low:
            break
        budget = math.ceil(math.sqrt(low * high))
    return best
