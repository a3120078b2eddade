"""The bench of all schemes on recorded updates: its rows and their table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from simulations.app.workloads import WORKLOADS
from simulations.report import json_rows, markdown

_FILE = "bench_schemes.json"


class Row(NamedTuple):
    """One message.

    Attributes:
        workload: that the update was recorded in.
        scheme, setting: what coded it.
        size: n, coordinates of the update.
        bytes: of the message.
        coordinates: that it changes.
        error: ‖v − decoded‖ / ‖v‖.
        seconds, seconds_back: to encode, to decode.
    """

    workload: str
    scheme: str
    setting: str
    size: int
    bytes: int
    coordinates: int
    error: float
    seconds: float
    seconds_back: float


def load(folder: Path) -> list[Row]:
    """Read the rows of a folder; none where it has none."""
    file = folder / _FILE
    groups = json.loads(file.read_text()) if file.exists() else []
    return [Row(group["workload"], *row) for group in groups for row in group["rows"]]


def save(rows: Iterable[Row], folder: Path) -> None:
    """Write the rows, a line for each workload."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = [
        {"workload": workload, "rows": [_shortened(row) for row in mine]}
        for workload, mine in groupby(rows, key=lambda row: row.workload)
    ]
    (folder / _FILE).write_text(json_rows.text_of(groups))


def _shortened(row: Row) -> list[object]:
    return [float(f"{each:.4g}") if isinstance(each, float) else each for each in row[1:]]


def table(rows: Sequence[Row]) -> str:
    """A line for each scheme at each budget; bytes and bits a coordinate, error, and milliseconds."""
    workloads = list(dict.fromkeys(row.workload for row in rows))
    cells = {(row.scheme, row.setting, row.workload): _cell(row) for row in rows}
    settings = list(dict.fromkeys((row.scheme, row.setting) for row in rows))
    lines = [
        [scheme, _grouped(setting), *(cells.get((scheme, setting, workload), "") for workload in workloads)]
        for scheme, setting in settings
    ]
    header = ["scheme", "at", *(WORKLOADS[workload].title for workload in workloads)]
    return (
        "In each cell: bytes (bits for each coordinate), relative error, milliseconds to encode and to decode.\n\n"
        + markdown.table(header, lines, "ll" + "r" * len(workloads))
    )


def _grouped(setting: str) -> str:
    return " ".join(f"{int(word):,}" if word.isdigit() else word for word in setting.split(" "))


def _cell(row: Row) -> str:
    bits = 8 * row.bytes / row.size
    return f"{row.bytes:,} ({bits:.2g}), {row.error:.3g}, {_ms(row.seconds)} + {_ms(row.seconds_back)}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.0f}" if seconds >= 0.01 else f"{1000 * seconds:.1f}"
