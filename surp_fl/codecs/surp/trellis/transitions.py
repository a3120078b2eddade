"""The trellis of both ends: eight states, two quantisers, and which state follows.

In a state a coordinate has one of two quantisers: 0 with the magnitudes 0, 2, 4, … steps, 1 with 0, 1, 3, 5, …; which
state follows, the parity of the level tells. So neighbouring magnitudes of the union of both, a step apart, are in
different places of the trellis, and a path through it comes nearer to a vector than one quantiser of the same rate.

Source: Marcellin and Fischer 1990, "Trellis coded quantization of memoryless and Gauss–Markov sources", with
Ungerboeck's (1982) trellis of eight states; two union quantisers with a zero in both, as in Kasner, Marcellin and Hunt
1999, "Universal trellis coded quantization". Knows states. Does not know values.
"""

from __future__ import annotations

STATES = 8


def next_state(state: int, parity: int) -> int:
    """The state after one: its lower two bits become the upper ones, and the lowest depends on the level's parity.

    >>> [next_state(0, 0), next_state(0, 1), next_state(5, 0)]
    [0, 1, 2]
    """
    low = state & 3
    return 2 * low + ((parity ^ low ^ (low >> 1) ^ (state >> 2)) & 1)


def after_zeros(state: int, count: int) -> int:
    """The state after so many levels of 0: four of them lead back.

    >>> [after_zeros(1, count) for count in (1, 3, 4, 401)]
    [3, 4, 1, 3]
    """
    for _ in range(count & 3):
        state = next_state(state, 0)
    return state
