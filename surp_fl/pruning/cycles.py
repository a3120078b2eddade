"""How sparse each cycle of iterative pruning is: prune, retrain within the masks, prune further.

Pure functions of numbers. The retraining is the caller's.
"""

from __future__ import annotations


def schedule(sparsity: float, cycles: int) -> tuple[float, ...]:
    """The sparsity after each cycle, if each prunes the same share of what is left.

    After cycle i of c, (1 − sparsity)^(i/c) of the weights are left.

    Args:
        sparsity: after the last cycle, above 0 and below 1.
        cycles: at least 1.

    Raises:
        ValueError: an argument is out of its range.

    >>> [round(each, 4) for each in schedule(0.9375, 4)]
    [0.5, 0.75, 0.875, 0.9375]
    """
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity = {sparsity}; expected the share of zeros after the last cycle, between 0 and 1")
    _check(cycles)
    return (*(1 - (1 - sparsity) ** (i / cycles) for i in range(1, cycles)), sparsity)


def schedule_of_share(share: float = 0.2, cycles: int = 20) -> tuple[float, ...]:
    """The sparsity after each cycle, if each prunes this share of what is left; by default LAMP's schedule.

    Args:
        share: that a cycle prunes of what is left, above 0 and below 1.
        cycles: at least 1.

    Raises:
        ValueError: an argument is out of its range.

    >>> [round(each, 4) for each in schedule_of_share(0.2, 4)]
    [0.2, 0.36, 0.488, 0.5904]
    """
    if not 0 < share < 1:
        raise ValueError(f"share = {share}; expected what a cycle prunes of what is left, between 0 and 1")
    _check(cycles)
    return tuple(1 - (1 - share) ** i for i in range(1, cycles + 1))


def _check(cycles: int) -> None:
    if cycles < 1:
        raise ValueError(f"cycles = {cycles}; expected at least 1")
