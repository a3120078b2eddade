"""Messages at equal bytes: what was measured on each recorded update, and the table of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import NotRequired, TypedDict, TypeVar

from simulations.app.workloads import WORKLOADS
from simulations.report import json_rows, markdown

T = TypeVar("T")

BUDGETS = (50, 100, 218, 436, 1000, 2000)  # bytes
CUTS = (100, 218, 500, 1000, 2000)  # bytes, of a message of 2,000
CONTEXTS = ("none", "model", "history")  # what both ends of SuRP hold
STC_TRIED = 5  # times SuRP's bytes, at most
WAYS = ("default", "progressive")  # of writing a message that is cut


class Contents(TypedDict):
    """What one message says: how many coordinates, its bytes, and how many bits each part takes."""

    coordinates: int
    bytes: int
    indices: float
    signs: float
    magnitudes: float


class Measured(TypedDict):
    """One recorded update; a list has a number for each of `BUDGETS`, or of `CUTS`."""

    workload: NotRequired[str]  # LeNet-5 where it is missing
    dataset: str
    source: str  # the scheme of the run that it was recorded in
    round: int
    stc_error: list[float]  # ‖v − decoded‖ / ‖v‖
    surp_error: dict[str, list[float]]  # by context
    stc_bytes: dict[str, list[int]]  # that STC needs for SuRP's error, by context
    made: dict[str, list[int]]  # length at which SuRP has the error of a message that was cut, by way
    contents: dict[str, Contents]  # by scheme


def load(folder: Path) -> list[Measured]:
    """Read messages.json."""
    rows: list[Measured] = json.loads((folder / "messages.json").read_text())
    return rows


def save(rows: list[Measured], folder: Path) -> None:
    """Write messages.json, one line an update."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "messages.json").write_text(json_rows.text_of(rows))


def table(rows: list[Measured]) -> str:
    """Show means over the recorded updates, and the worst of them."""
    title = WORKLOADS[rows[0].get("workload", "lenet5")].title
    rounds = ", ".join(map(str, _once(row["round"] for row in rows)))
    sources = ", ".join(_once(row["source"] for row in rows))
    header = [
        "bytes", "error, STC", "SuRP, no context", "SuRP, model", "SuRP, model and history",
        "STC's bytes for SuRP's error: no context", "model", "model and history",
    ]  # fmt: skip
    lines = []
    for place, budget in enumerate(BUDGETS):
        cells = [f"{budget:,}", f"{fmean(row['stc_error'][place] for row in rows):.4f}"]
        cells += [f"{fmean(row['surp_error'][context][place] for row in rows):.4f}" for context in CONTEXTS]
        for context in CONTEXTS:
            ratios = [row["stc_bytes"][context][place] / budget for row in rows]
            cells.append(f"{_at_least(ratios)}×{fmean(ratios):.2f} (×{min(ratios):.2f})")
        lines.append(cells)
    cut_lines = []
    for place, cut in enumerate(CUTS):
        losses = [[1 - row["made"][way][place] / cut for row in rows] for way in WAYS]
        cut_lines.append([f"{cut:,}", *(f"{fmean(loss):.1%} ({max(loss):.1%})" for loss in losses)])
    return (
        f"{len(rows)} updates of {title} on **{rows[0]['dataset']}**, rounds {rounds}; "
        f"from {sources}. Means; in brackets the worst update.\n\n"
        f"{markdown.table(header, lines, 'r' * len(header))}\n"
        "Bytes lost by cutting a message of 2,000 bytes, against a default one made for the length "
        f"(negative: gained):\n\n{markdown.table(['cut to', *WAYS], cut_lines, 'rrr')}"
    )


def _at_least(ratios: list[float]) -> str:
    """A sign for a mean of which some were not found among as many times the bytes as STC was tried with."""
    return ">" if max(ratios) >= STC_TRIED else ""


def _once(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
