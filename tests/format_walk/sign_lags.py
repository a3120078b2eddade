"""Lags of a layer in trellis mode: how many columns back a sign of the same row is alike, and how sure that is."""

from __future__ import annotations

from itertools import pairwise

from tests.format_walk.adaptive import counted
from tests.format_walk.symbols import Source

Lags = list[tuple[int, int]]  # lag and weight

MOST_TOLD = 48


class LagModels:
    """What is kept of lags from layer to layer."""

    def __init__(self) -> None:
        self._any, self._same, self._last = [16, 16], [16, 16], Lags()

    def read(self, source: Source) -> Lags:
        if not counted(source, "lags", self._any):
            source.note("no lags")
            return []
        if self._last and counted(source, "same lags", self._same):
            source.note("lags of the layer before")
            return self._last
        wish = source.choose("number of lags", 1, 8)
        count = 1 + source.bits("number of lags", 3, None if wish is None else wish - 1)
        lags, least = Lags(), 1
        for left in range(count - 1, -1, -1):
            wish = source.choose("lag", least, 256 - left)
            lag = 1 + source.bits("lag", 8, None if wish is None else wish - 1)
            least, code = lag + 1, source.bits("weight of a lag", 6)
            lags.append((lag, -(code // 2 + 1) if code % 2 else code // 2 + 1))
        source.check(all(one < other for (one, _), (other, _) in pairwise(lags)), "lags that do not ascend")
        source.note("lags of the layer's own")
        self._last = lags
        return lags


def told(lags: Lags, sent: list[int], column: int) -> int:
    """What the signs before say of the one in this column."""
    total = sum(weight * sent[column - lag] for lag, weight in lags if lag <= column)
    return min(MOST_TOLD, max(-MOST_TOLD, total))


def factor(t: int) -> int:
    """E(t): by how much the sign that is told is more likely, of 4096."""
    return (4096, 4467, 4871, 5312, 5793, 6317, 6889, 7512)[t % 8] << t // 8
