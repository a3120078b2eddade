"""The writer in C beside the library's encoder: its rows and their table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from simulations.app.workloads import WORKLOADS
from simulations.report import json_rows, markdown

_FILE = "c_writer.json"


class Row(NamedTuple):
    """One message of each.

    Attributes:
        workload, source: of the update; `source` is the scheme of its training.
        context: what both ends hold.
        budget: in bytes.
        bytes: of the message in C.
        share: of the norm that the library's message takes off the update, what the one in C takes off.
        seconds, library_seconds: to encode.
    """

    workload: str
    source: str
    context: str
    budget: int
    bytes: int
    share: float
    seconds: float
    library_seconds: float


def load(folder: Path) -> list[Row]:
    """Read the rows of a folder; none where it has none."""
    file = folder / _FILE
    return [Row(**row) for row in json_rows.rows_of(file.read_text())] if file.exists() else []


def save(rows: Iterable[Row], folder: Path) -> None:
    """Write the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rounded = [
        {name: float(f"{each:.4g}") if isinstance(each, float) else each for name, each in row._asdict().items()}
        for row in rows
    ]
    (folder / _FILE).write_text(json_rows.text_of(rounded))


def table(rows: Sequence[Row]) -> str:
    """A line for each budget: the shares of all updates and contexts, and milliseconds."""
    workloads = list(dict.fromkeys(row.workload for row in rows))
    budgets = list(dict.fromkeys(row.budget for row in rows))
    lines = [
        [
            f"{budget:,} B",
            *(
                _cell([row for row in rows if (row.workload, row.budget) == (workload, budget)])
                for workload in workloads
            ),
        ]
        for budget in budgets
    ]
    least = min(rows, key=lambda row: row.share)
    return (
        "In each cell: least and largest share of what the library's message takes off; mean milliseconds to encode in "
        f"C, and by the library. The least of all {len(rows)} is {least.share:.2f}.\n\n"
        + markdown.table(["budget", *(WORKLOADS[each].title for each in workloads)], lines, "l" + "r" * len(workloads))
    )


def _cell(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    shares = [row.share for row in rows]
    in_c, by_library = (
        1000 * mean(each) for each in ((row.seconds for row in rows), (row.library_seconds for row in rows))
    )
    return f"{min(shares):.2f} to {max(shares):.2f}; {in_c:,.0f}, {by_library:,.0f}"
