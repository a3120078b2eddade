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
_ONE = 1  # as a 64-bit integer, for C
_NEVER = 1e300  # costs of what may not be
_UPPER_OF_ZERO = 0b10010110  # which states are reached from the upper half of states by a level of 0
_EACH_SUBTRACTS = 63  # coordinates, and one
_RATES, _STATES = RATES, STATES  # as C numbers


def in_steps(values: Vector, step: float, rounding: float, magnitudes: Vector, rough: NDArray[np.int32]) -> int:
    """Magnitudes of values in steps, and levels of a plain rounding to even steps, in one pass.

    Args:
        values: float32, shape (n,).
        step: above 0.
        rounding: what is added before a level is rounded down.
        magnitudes: filled in; float32, shape (n,).
        rough: filled in; int32, shape (n,).

    Returns:
        The sum of these levels.
    """
    total = 0
    for i in range(len(values)):
        value = float(values[i])
        magnitudes[i] = (value if value >= 0 else -value) / step
        level = int(0.5 * float(magnitudes[i]) + rounding)
        rough[i] = level
        total += level
    return total


def choose_levels(
    magnitudes: Vector,
    contexts: NDArray[np.int16],
    rates: Floats,
    slope: float,
    usual: Floats,
    state: int,
    levels: NDArray[np.int32],
) -> tuple[int, float, float]:
    """Choose the level of each coordinate of a run.

    Args:
        magnitudes: in steps; float32, shape (n,), below 2^24.
        contexts: int16, shape (n,).
        rates: bits by quantiser, context and level, RATES each; float64, flat.
        slope: squared error, in squared steps, that a bit has to remove.
        usual: as `usual_magnitudes` gives them.
        state: in which the run begins.
        levels: filled in; int32, shape (n,).

    Returns:
        The state in which it ends, the squared error, in squared steps, and the bits by `rates`; 0 for a slope of 0.
    """
    n = len(magnitudes)
    costs = np.empty(_STATES)
    chosen = np.empty(n, np.uint8)  # a bit for each state: whether it is reached from the upper half of states
    offered = np.empty(4 * n, np.int32)  # levels by quantiser and parity
    least = _run(magnitudes, contexts, rates, slope, usual, state, costs, chosen, offered, np.empty(4))
    end = int(costs.argmin())
    squares = _trace(chosen, offered, end, magnitudes, usual, levels)
    return end, squares, (least - squares) / slope if slope > 0 else 0.0


def _run(
    magnitudes: Vector, contexts: NDArray[np.int16], rates: Floats, slope: float, usual: Floats, state: int,
    costs: Floats, chosen: NDArray[np.uint8], offered: NDArray[np.int32], own: Floats,
) -> float:  # fmt: skip
    """Costs of all states after the run, and how each was reached.

    Args:
        costs: filled in, of states, over the same number for all; float64, shape (8,).
        own: room for costs of a coordinate's levels, by quantiser and parity; float64, shape (4,).

    Returns:
        The least cost.
    """
    for each in range(_STATES):
        costs[each] = 0.0 if each == state else _NEVER
    odd_rates = len(rates) // 2
    least_of_all = min(usual[1], usual[_RATES + 1])
    subtracted = 0.0  # from all costs, so that they stay exact
    c0, c1, c2, c3 = costs[0], costs[1], costs[2], costs[3]
    c4, c5, c6, c7 = costs[4], costs[5], costs[6], costs[7]
    for i in range(len(magnitudes)):
        u = float(magnitudes[i])
        at = contexts[i] * _RATES
        if least_of_all > 2.0 * u:  # neither quantiser has a level but 0, which leads to one state
            even, odd = u * u + slope * rates[at], u * u + slope * rates[at + odd_rates]
            offered[4 * i] = offered[4 * i + 1] = offered[4 * i + 2] = offered[4 * i + 3] = 0
            chosen[i] = _UPPER_OF_ZERO
            c0, c1, c2, c3, c4, c5, c6, c7 = (
                c0 + even, c4 + even, c5 + odd, c1 + odd, c6 + even, c2 + even, c3 + odd, c7 + odd,
            )  # fmt: skip
        else:
            _offer(u, 0, rates, at, slope, usual, offered, 4 * i, own)
            _offer(u, 1, rates, at + odd_rates, slope, usual, offered, 4 * i + 2, own)
            even, odd = own[0], own[1]
            a0, b0, a1, b1 = c0 + even, c4 + odd, c0 + odd, c4 + even
            a4, b4, a5, b5 = c2 + odd, c6 + even, c2 + even, c6 + odd
            even, odd = own[2], own[3]
            a2, b2, a3, b3 = c1 + odd, c5 + even, c1 + even, c5 + odd
            a6, b6, a7, b7 = c3 + even, c7 + odd, c3 + odd, c7 + even
            upper = (b0 < a0) | (b1 < a1) << 1 | (b2 < a2) << 2 | (b3 < a3) << 3
            chosen[i] = upper | (b4 < a4) << 4 | (b5 < a5) << 5 | (b6 < a6) << 6 | (b7 < a7) << 7
            c0, c1, c2, c3 = min(a0, b0), min(a1, b1), min(a2, b2), min(a3, b3)
            c4, c5, c6, c7 = min(a4, b4), min(a5, b5), min(a6, b6), min(a7, b7)
        if i & _EACH_SUBTRACTS == 0:
            least = min(min(min(c0, c1), min(c2, c3)), min(min(c4, c5), min(c6, c7)))
            subtracted += least
            c0, c1, c2, c3 = c0 - least, c1 - least, c2 - least, c3 - least
            c4, c5, c6, c7 = c4 - least, c5 - least, c6 - least, c7 - least
    costs[0], costs[1], costs[2], costs[3] = c0, c1, c2, c3
    costs[4], costs[5], costs[6], costs[7] = c4, c5, c6, c7
    return subtracted + float(min(min(min(c0, c1), min(c2, c3)), min(min(c4, c5), min(c6, c7))))


def _offer(
    u: float, quantiser: int, rates: Floats, at: int, slope: float, usual: Floats, offered: NDArray[np.int32],
    place: int, own: Floats,
) -> None:  # fmt: skip
    """The best even and the best odd level of a quantiser for a magnitude, and their costs; without branches.

    Args:
        rates: of which those from `at` on are the quantiser's in the context.
        usual: as `usual_magnitudes` gives them.
        offered: two levels are filled in from `place` on.
        own: the same of their costs, for each quantiser.
    """
    low = int((u + quantiser) * 0.5)
    odd_level, even_level = low | 1, (low + 1) & ~_ONE
    if low < _LAST - 1:
        odd_magnitude, even_magnitude = usual[_RATES * quantiser + odd_level], usual[_RATES * quantiser + even_level]
        odd, even = rates[at + odd_level], rates[at + even_level]
    else:
        odd_magnitude, even_magnitude = 2.0 * odd_level - quantiser, 2.0 * even_level - quantiser
        odd = rates[at + _LAST] + (odd_level - _LAST) * rates[at + _RATES - 1]
        even = rates[at + _LAST] + (even_level - _LAST) * rates[at + _RATES - 1]
    odd = (u - odd_magnitude) * (u - odd_magnitude) + slope * odd + (odd_magnitude > 2.0 * u) * _NEVER
    even = (u - even_magnitude) * (u - even_magnitude) + slope * even + (even_magnitude > 2.0 * u) * _NEVER
    zero = u * u + slope * rates[at]
    own[2 * quantiser], own[2 * quantiser + 1] = min(zero, even), odd
    offered[place], offered[place + 1] = even_level * (even < zero), odd_level


def usual_magnitudes(first: Floats) -> Floats:
    """Magnitudes of the levels below RATES in both quantisers, in steps; float64, flat.

    Args:
        first: of level 1 in both; float64, shape (2,).
    """
    usual = np.empty((2, RATES))
    usual[0], usual[1] = 2.0 * np.arange(RATES), 2.0 * np.arange(RATES) - 1
    usual[:, 0], usual[:, 1] = 0.0, first
    return usual.reshape(-1)


def _trace(
    chosen: NDArray[np.uint8], offered: NDArray[np.int32], state: int, magnitudes: Vector, usual: Floats,
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
        u -= usual[_RATES * quantiser + level] if level < _RATES else 2.0 * level - quantiser
        squares += u * u
        state = low_bits + 4 * upper
    return squares


def count_levels(
    levels: NDArray[np.int32], contexts: NDArray[np.int16], state: int, weight: float, counts: Floats
) -> int:
    """Count how often each level comes in each context and quantiser.

    Args:
        levels: of a run; int32, shape (n,).
        contexts: int16, shape (n,).
        state: in which the run begins.
        weight: of each.
        counts: added to; by quantiser, context and level, RATES each; float64, flat.

    Returns:
        The state in which it ends.
    """
    contexts_of_all = len(counts) // (2 * _RATES)
    for i in range(len(levels)):
        level = levels[i]
        at = ((state & 1) * contexts_of_all + contexts[i]) * _RATES
        counts[at + (level if level < _LAST else _LAST)] += weight
        state = next_state(state, level & 1)
    return state
