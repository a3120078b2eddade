"""The path through the trellis with the least squared error plus `slope` times the bits: the Viterbi algorithm.

The encoder's side alone. The bits of a level are those that `rates` gives in its context; the contexts are those of a
plain rounding, as a path's own are known when it is. No magnitude exceeds twice that of the coordinate: so none adds
error, and a message that is cut anywhere is better the longer it is.

Source: Viterbi 1967; Fischer and Wang 1992, "Entropy-constrained trellis coded quantization".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.trellis.transitions import STATES, next_state
from surp_fl.types import Floats, Vector

RATES = 17  # bits of levels 0 to 15, and of one more level from there on
_LAST = RATES - 2
_NEVER = 1e300  # costs of what may not be
_RATES, _STATES = RATES, STATES  # as C numbers


def choose_levels(
    magnitudes: Vector,
    contexts: NDArray[np.int16],
    rates: Floats,
    slope: float,
    first: Floats,
    state: int,
    levels: NDArray[np.int32],
) -> tuple[int, float]:
    """Choose the level of each coordinate of a run.

    Args:
        magnitudes: in steps; float32, shape (n,), below 2^24.
        contexts: int16, shape (n,).
        rates: bits by quantiser, context and level, RATES each; float64, flat.
        slope: squared error, in squared steps, that a bit has to remove.
        first: magnitude of level 1 in both quantisers, in steps; float64, shape (2,).
        state: in which the run begins.
        levels: filled in; int32, shape (n,).

    Returns:
        The state in which it ends, and the squared error, in squared steps.
    """
    n = len(magnitudes)
    costs, before = np.full(_STATES, _NEVER), np.empty(_STATES)
    cost, next_cost = costs, before
    cost[state] = 0.0
    chosen = np.empty(n, np.uint8)  # a bit for each state: whether it is reached from the upper half of states
    offered = np.empty(4 * n, np.int32)  # levels by quantiser and parity
    even_cost, odd_cost = np.empty(2), np.empty(2)
    _run(magnitudes, contexts, rates, slope, first, cost, next_cost, chosen, offered, even_cost, odd_cost)
    end = int(np.argmin(costs))
    return end, _trace(chosen, offered, end, magnitudes, first, levels)


def _run(
    magnitudes: Vector, contexts: NDArray[np.int16], rates: Floats, slope: float, first: Floats, cost: Floats,
    next_cost: Floats, chosen: NDArray[np.uint8], offered: NDArray[np.int32], even_cost: Floats, odd_cost: Floats,
) -> None:  # fmt: skip
    """Costs of all states after the run, and how each was reached."""
    contexts_of_all = len(rates) // (2 * _RATES)
    for i in range(len(magnitudes)):
        u = float(magnitudes[i])
        if first[0] > 2.0 * u and first[1] > 2.0 * u:  # neither quantiser has a level but 0
            at = contexts[i] * _RATES
            even, odd = u * u + slope * rates[at], u * u + slope * rates[at + contexts_of_all * _RATES]
            offered[4 * i] = offered[4 * i + 1] = offered[4 * i + 2] = offered[4 * i + 3] = 0
            chosen[i] = _after_zero(even, odd, cost, next_cost)
            _subtract_least(next_cost, cost)
            continue
        for quantiser in range(2):
            at = (quantiser * contexts_of_all + contexts[i]) * _RATES
            low = int((u + quantiser) * 0.5)
            even, odd = u * u + slope * rates[at], _NEVER
            even_level = odd_level = 0
            for level in range(max(low, 1), low + 2):
                magnitude = first[quantiser] if level == 1 else 2.0 * level - quantiser
                if magnitude > 2.0 * u:
                    continue
                bits = (
                    rates[at + level] if level < _LAST else rates[at + _LAST] + (level - _LAST) * rates[at + _RATES - 1]
                )
                found = (u - magnitude) * (u - magnitude) + slope * bits
                if level & 1:
                    if found < odd:
                        odd, odd_level = found, level
                elif found < even:
                    even, even_level = found, level
            even_cost[quantiser], odd_cost[quantiser] = even, odd
            offered[4 * i + 2 * quantiser], offered[4 * i + 2 * quantiser + 1] = even_level, odd_level
        upper = 0
        for low_bits in range(4):
            quantiser = low_bits & 1
            straight, crossed = even_cost[quantiser], odd_cost[quantiser]
            if (low_bits ^ (low_bits >> 1)) & 1:
                straight, crossed = crossed, straight
            a, b = cost[low_bits] + straight, cost[low_bits + 4] + crossed
            if b < a:
                a = b
                upper |= 1 << (2 * low_bits)
            next_cost[2 * low_bits] = a
            a, b = cost[low_bits] + crossed, cost[low_bits + 4] + straight
            if b < a:
                a = b
                upper |= 2 << (2 * low_bits)
            next_cost[2 * low_bits + 1] = a
        chosen[i] = upper
        _subtract_least(next_cost, cost)


def _after_zero(of_even: float, of_odd: float, cost: Floats, next_cost: Floats) -> int:
    """Costs of all states after a level of 0, which leads from each to another: most coordinates, at low rates.

    Args:
        of_even: cost of the level in even states.
        of_odd: the same in odd ones.
        cost: of states before; float64, shape (8,).
        next_cost: filled in; float64, shape (8,).

    Returns:
        Which states were reached from the upper half, a bit for each.
    """
    next_cost[0], next_cost[1] = cost[0] + of_even, cost[4] + of_even
    next_cost[2], next_cost[3] = cost[5] + of_odd, cost[1] + of_odd
    next_cost[4], next_cost[5] = cost[6] + of_even, cost[2] + of_even
    next_cost[6], next_cost[7] = cost[3] + of_odd, cost[7] + of_odd
    return 0b10010110


def _subtract_least(next_cost: Floats, cost: Floats) -> None:
    """Costs over the least of them, so that they stay exact."""
    least = next_cost[0]
    for each in range(1, _STATES):
        least = min(least, next_cost[each])
    for each in range(_STATES):
        cost[each] = next_cost[each] - least


def _trace(
    chosen: NDArray[np.uint8], offered: NDArray[np.int32], state: int, magnitudes: Vector, first: Floats,
    levels: NDArray[np.int32],
) -> float:  # fmt: skip
    """The levels of the path that ends in a state, filled in; its squared error."""
    squares = 0.0
    for back in range(len(levels)):
        i = len(levels) - 1 - back
        upper = 1 if (chosen[i] >> state) & 1 else 0
        low_bits = state >> 1
        parity = (state ^ low_bits ^ (low_bits >> 1) ^ upper) & 1
        quantiser = low_bits & 1
        level = offered[4 * i + 2 * quantiser + parity]
        levels[i] = level
        u = float(magnitudes[i])
        if level > 0:
            u -= first[quantiser] if level == 1 else 2.0 * level - quantiser
        squares += u * u
        state = low_bits + 4 * upper
    return squares


def count_levels(levels: NDArray[np.int32], contexts: NDArray[np.int16], state: int, counts: Floats) -> int:
    """Count how often each level comes in each context and quantiser.

    Args:
        levels: of a run; int32, shape (n,).
        contexts: int16, shape (n,).
        state: in which the run begins.
        counts: added to; by quantiser, context and level, RATES each; float64, flat.

    Returns:
        The state in which it ends.
    """
    contexts_of_all = len(counts) // (2 * _RATES)
    for i in range(len(levels)):
        level = levels[i]
        at = ((state & 1) * contexts_of_all + contexts[i]) * _RATES
        counts[at + (level if level < _LAST else _LAST)] += 1.0
        state = next_state(state, level & 1)
    return state
