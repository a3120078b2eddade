"""Sum-preserving rounding of a convolution's filters: what is left out of one does not all pull in one direction.

The inputs of a convolution are mostly positive, and alike around a place: what a filter's output loses is close to the
sum of the filter's errors, times the mean input. So a row's error is Σ e² + κ (Σ e)². Among all ways to round, the
least of that rounds each value as if it were κ Σ e larger: a shift of the whole row, found by bisection. Only values
near a threshold change their level. The encoder's side alone; no message tells it. A row is an index of the first axis,
an output channel as PyTorch has it; where the first axis is another, sums of other parts are kept, to no one's benefit.

Source: Guo et al. 2022, "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation", arXiv
2202.07471, which has sums of kernels and of filters. Knows rows and levels. Does not know layers.
"""

from __future__ import annotations

import numpy as np

from surp_fl.types import Floats, Vector

# Tuned by hand on trained networks; see docs/models.md.
_KAPPA = 0.01
_STEPS = 10  # of the bisection
_MOST_LEVELS = 64  # with finer ones hardly anything is lost


def balanced(values: Vector, rows: int, thresholds: Floats, magnitudes: Floats) -> Vector:
    """Shift each row so that rounding it keeps its sum.

    Args:
        values: of one array, row by row; float32, shape (n,).
        rows: n is a multiple of it.
        thresholds: where the levels begin, ascending; float64, shape (levels,).
        magnitudes: of these levels, ascending; float64, shape (levels,).

    Returns:
        What is to be rounded in place of the values; float32, shape (n,).

    >>> values = np.array([0.49, 0.45, 0.42, 0.4], np.float32)  # all of them would be lost
    >>> balanced(values, 1, np.array([0.5]), np.array([1.0])) >= 0.5
    array([ True, False, False, False])
    """
    shifted = np.array(values, np.float32)
    if rows and values.size and 0 < len(thresholds) <= _MOST_LEVELS:
        shift_rows(shifted, values.size // rows, np.ascontiguousarray(thresholds), np.ascontiguousarray(magnitudes))
    return shifted


def shift_rows(values: Vector, columns: int, thresholds: Floats, magnitudes: Floats) -> None:
    """Shift in place; see `balanced`."""
    for start in range(0, len(values), columns):
        low, high = -magnitudes[0], magnitudes[0]
        for step in range(_STEPS):  # noqa: B007
            middle = (low + high) / 2
            if _KAPPA * error_sum(values, start, start + columns, middle, thresholds, magnitudes) > middle:
                low = middle
            else:
                high = middle
        for i in range(start, start + columns):
            values[i] += (low + high) / 2


def error_sum(values: Vector, start: int, end: int, shift: float, thresholds: Floats, magnitudes: Floats) -> float:
    """What the values of a row lose together, where they are rounded after a shift."""
    total, levels = 0.0, len(thresholds)
    for i in range(start, end):
        total += values[i]
        shifted = values[i] + shift
        magnitude = shifted if shifted >= 0 else -shifted
        level = 0
        while level < levels and magnitude >= thresholds[level]:
            level += 1
        if level > 0:
            total += -magnitudes[level - 1] if shifted >= 0 else magnitudes[level - 1]
    return total
