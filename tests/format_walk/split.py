"""How many of k picks are on the left of two halves: a symbol that expects about their weights' share."""

from __future__ import annotations

from tests.format_walk.symbols import Between, Source

LARGEST_ONE = 1 << 28  # sum of weights where one pick is split
LARGEST_SUM = 1 << 40  # elsewhere
MANY = 1024  # picks, from which frequencies are coarser


def limited(left: int, right: int, most: int) -> tuple[int, int]:
    """The weights halved until their sum is at most this."""
    while left + right > most:
        left, right = (left + 1) // 2, (right + 1) // 2
    return max(1, left), max(1, right)


def read_split(source: Source, picks: int, free: tuple[int, int], weights: tuple[int, int], concentration: int) -> int:
    """How many picks are on the left."""
    least, most = max(0, picks - free[1]), min(picks, free[0])
    if least == most:
        return least
    if picks == 1:
        source.spend(4)
        left, right = limited(*weights, LARGEST_ONE)
        source.note("weights of one pick limited", sum(weights) > LARGEST_ONE)
        source.note("split of one pick")
        return 1 - source.flag("split of one", left, right)
    sizes = frequencies(picks, least, most, limited(*weights, LARGEST_SUM), concentration)
    source.spend(4 + sum(size > 0 for size in sizes) - 1)
    source.note("split of a few picks", picks < MANY)
    source.note("split of 1024 picks or more", picks >= MANY)
    source.note("split with a frequency of 0 sent as 1", 0 in sizes)
    return least + source.symbol("split", Between.of_frequencies([max(1, size) for size in sizes]))


def frequencies(k: int, least: int, most: int, weights: tuple[int, int], concentration: int) -> list[int]:
    """f(j) for each possible j; those that are 0 are not yet made 1."""
    q = min(max((weights[0] << 16) // sum(weights), 1), (1 << 16) - 1)
    a = max(1, 64 * q * concentration >> 16)
    b = max(1, 64 * concentration - a)
    middle = min(max(k * q >> 16, least), most)
    largest = 1 << (20 if k < MANY else 12)
    upward, downward = [], []
    size = largest
    for j in range(middle, most):
        size = min(size * (k - j) * (a + 64 * j) // ((j + 1) * (b + 64 * (k - j - 1))), 8 * largest)
        upward.append(size)
    size = largest
    for j in range(middle, least, -1):
        size = min(size * j * (b + 64 * (k - j)) // ((k - j + 1) * (a + 64 * (j - 1))), 8 * largest)
        downward.append(size)
    return [*downward[::-1], largest, *upward]
