"""NNCodec and SuRP on recorded updates: rows, and the bytes that SuRP needs for NNCodec's error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simulations.app.workloads import WORKLOADS
from simulations.report import json_rows, markdown

OURS = ("SuRP", "SuRP, model", "SuRP, model and history")  # by what both ends hold
THEIRS = ("NNCodec", "NNCodec, tuned", "NNCodec, temporal context")
SIZES = (50, 100, 250, 1000, 4000, 15_000, 40_000, 91_000, 200_000, 500_000)  # bytes
SURP_SIZES = (
    50, 100, 250, 500, 1000, 2000, 4000, 8000, 15_000, 25_000, 40_000, 60_000, 91_000, 140_000, 200_000, 320_000,
    500_000, 700_000,
)  # fmt: skip
_SAYS_NOTHING, _NEARLY_NOTHING = 0.99995, 0.98  # of the error
_TIMED = 15_000  # bytes


class Tried(NamedTuple):
    """One message.

    Attributes:
        size: bytes that it was to fit.
        bytes: of the message.
        error: ‖v − decoded‖ / ‖v‖.
        seconds, seconds_back: to encode, to decode.
    """

    size: int
    bytes: int
    error: float
    seconds: float
    seconds_back: float


@dataclass(frozen=True)
class Measured:
    """One message of a recorded update.

    Attributes:
        workload: that the update was recorded in.
        source: the scheme of that run.
        way: how the message was made.
        coordinates: of the update.
        tried: the message.
    """

    workload: str
    source: str
    way: str
    coordinates: int
    tried: Tried

    @property
    def curve(self) -> tuple[str, str, str, int]:
        """What all messages of one update in one way share."""
        return self.workload, self.source, self.way, self.coordinates


def load(folder: Path) -> list[Measured]:
    """Read the rows of a folder, workload by workload; none where it has none."""
    files = [folder / f"{name}.json" for name in WORKLOADS]
    rows = []
    for curve in [curve for file in files if file.exists() for curve in json.loads(file.read_text())]:
        workload, source, way, coordinates = curve["of"]
        rows += [Measured(workload, source, way, coordinates, Tried(*row)) for row in curve["rows"]]
    return rows


def save(rows: Iterable[Measured], folder: Path) -> None:
    """Write the rows of one workload, a line for each curve, errors with four digits."""
    folder.mkdir(parents=True, exist_ok=True)
    mine = sorted(rows, key=lambda row: (row.source, (*OURS, *THEIRS).index(row.way), row.tried.size))
    curves = [
        {"of": of, "rows": [_shortened(row.tried) for row in found]}
        for of, found in groupby(mine, key=lambda row: row.curve)
    ]
    file = folder / f"{mine[0].workload}.json"
    (folder / f"{file.name}.new").write_text(json_rows.text_of(curves))
    (folder / f"{file.name}.new").replace(file)


def _shortened(tried: Tried) -> tuple[float, ...]:
    return (
        tried.size, tried.bytes, float(f"{tried.error:.4g}"), *(float(f"{each:.2g}") for each in tried[3:]),
    )  # fmt: skip


def bytes_for(error: float, tried: Sequence[Tried]) -> float | None:
    """The bytes at which a way has this error; None where it is out of the range that was tried.

    Between two messages it is interpolated: log(bytes) is linear in the log of the error in decibels, as both curves
    nearly are, of few bits a coordinate and of many.

    >>> round(bytes_for(0.81, [Tried(10, 10, 0.9, 0, 0), Tried(40, 40, 0.6561, 0, 0)]))
    20
    """
    mine = sorted((each for each in tried if 0 < each.error < 1), key=lambda each: -each.error)
    if not mine or not mine[-1].error <= error <= mine[0].error:
        return None
    decibels = np.log([-np.log(each.error) for each in mine])
    return float(np.exp(np.interp(np.log(-np.log(error)), decibels, np.log([each.bytes for each in mine]))))


def table(rows: Sequence[Measured]) -> str:
    """NNCodec's least error at each size, and SuRP's bytes for it."""
    workloads = _once(row.workload for row in rows)
    lines = [
        [source, f"{size:,}", *(_cell(_of(rows, workload, source), size) for workload in workloads)]
        for source in _once(row.source for row in rows)
        for size in SIZES
    ]
    header = ["update of a run with", "bytes", *(WORKLOADS[each].title for each in workloads)]
    return markdown.table(header, lines, "l" + "r" * (len(header) - 1))


def times(rows: Sequence[Measured]) -> str:
    """Milliseconds to encode and to decode, at one size."""
    workloads = _once(row.workload for row in rows)
    lines = []
    for way in (*OURS, *THEIRS):
        found = [
            [row.tried for row in rows if (row.workload, row.way, row.tried.size) == (name, way, _TIMED)]
            for name in workloads
        ]
        lines.append([way, *(_milliseconds(each) for each in found)])
    return markdown.table([f"ms to encode; decode {_TIMED:,} B", *(WORKLOADS[each].title for each in workloads)], lines)


def _milliseconds(tried: Sequence[Tried]) -> str:
    if not tried:
        return ""
    means = (1000 * np.mean([(each.seconds, each.seconds_back) for each in tried], axis=0)).tolist()
    return "; ".join(f"{each:,.0f}" if each >= 10 else f"{each:.1f}" for each in means)


def _of(rows: Iterable[Measured], workload: str, source: str) -> dict[str, list[Tried]]:
    """The messages of one update, by way."""
    found: dict[str, list[Tried]] = {}
    for row in rows:
        if (row.workload, row.source) == (workload, source):
            found.setdefault(row.way, []).append(row.tried)
    return found


def _cell(ways: dict[str, list[Tried]], size: int) -> str:
    theirs = [each for way in THEIRS for each in ways.get(way, ()) if each.size == size]
    if not theirs:
        return ""
    best = min(theirs, key=lambda each: each.error)
    if best.error > _SAYS_NOTHING:
        return "says nothing"
    ratios = [_ratio(ways.get(way, ()), best) for way in OURS]
    return f"{best.error:{'.4f' if best.error > _NEARLY_NOTHING else '.3g'}}: {', '.join(ratios)}"


def _ratio(ours: Sequence[Tried], theirs: Tried) -> str:
    """Our bytes for their error as a share of theirs, or on which side of all that was tried it lies."""
    if not ours:
        return "—"
    found, sizes = bytes_for(theirs.error, ours), [each.bytes for each in ours]
    if found is not None:
        return f"{found / theirs.bytes:.2f}"
    all_are_better = theirs.error > max(each.error for each in ours)
    return f"<{min(sizes) / theirs.bytes:.2f}" if all_are_better else f">{max(sizes) / theirs.bytes:.2f}"


def _once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
