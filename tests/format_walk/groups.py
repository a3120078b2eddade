"""Groups: sets of coordinates that share a magnitude; and the codes of magnitudes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from tests.format_walk.index_set import Cells, read_set
from tests.format_walk.symbols import Source

MOST_GROUPS = 4096
MOST_PICKS = (1 << 17) - 1
LARGEST = float(np.finfo(np.float32).max)
MOST_CODE = (1 << 13) - 1  # of a magnitude


def magnitude_of(code: int) -> float:
    return float(min((128 + ((code & 15) << 3)) * 2.0 ** ((code >> 4) - 263), LARGEST))


def unfolded(z: int) -> int:
    """0, −1, 1, −2, 2, …"""
    return z // 2 if z % 2 == 0 else -(z + 1) // 2


def folded(change: int) -> int:
    return 2 * change if change >= 0 else -2 * change - 1


def read_code(source: Source, before: int | None) -> int:
    """The code of a magnitude, after that of the one before."""
    if before is None:
        code = source.bits("first magnitude", 13, source.choose("first magnitude", 1, MOST_CODE))
    else:
        wish = source.choose("magnitude", 1, MOST_CODE)
        change = None if wish is None else folded(wish - before)
        code = before + unfolded(source.uint_of(change))
        source.note("a magnitude that is larger than the one before", code > before)
        source.note("a magnitude that is smaller than the one before", code < before)
        source.note("a magnitude as the one before", code == before)
    source.check(1 <= code <= MOST_CODE, "a magnitude's code out of range")
    return code


def read_groups(source: Source, cells: Sequence[Cells], sums: NDArray[np.float64]) -> None:
    """Add all groups to the sums, until there are no more."""
    n, code = sums.size, None
    for group in count():
        picks = source.uint("picks", 0, min(n, MOST_PICKS))
        if picks == 0:
            source.note("a count of 0 at the end")
            return
        source.check(group < MOST_GROUPS, "too many groups")
        source.check(picks <= min(n, MOST_PICKS), "too many picks of a group")
        code = read_code(source, code)
        magnitude = magnitude_of(code)
        source.note("a magnitude limited to float32's range", magnitude == LARGEST)
        free = sum(each.free(0, each.layer.size, True) for each in cells)
        disjoint = group == 0 or not source.flag("overlap", 15, 1, source.choose("overlap", int(picks > free), 1))
        source.note("first group" if group == 0 else "disjoint group" if disjoint else "overlapping group")

        def add(coordinate: int, negative: int, magnitude: float = magnitude) -> None:
            source.note("a coordinate that comes again", sums[coordinate] != 0)
            sums[coordinate] += -magnitude if negative else magnitude

        read_set(source, cells, picks, disjoint, add)
