"""Trained models as few bytes: rows, and the smallest files that lose no more than some accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from simulations.model_files.models import KINDS
from simulations.report import json_rows, markdown

_FILE = "model_files.json"
ITSELF, OURS = "itself", "model file"
LOSS = 0.005  # of accuracy, at which ways are compared
_LOSSES = (0.001, 0.0025, LOSS, 0.01)  # of accuracy


@dataclass(frozen=True)
class Measured:
    """One file.

    Attributes:
        model, seed: that was trained.
        method: how it was compressed; "itself" for the model as it is.
        setting: of the method: a budget in bytes, a share of the weights, bits, or a quantisation parameter.
        bytes: of the file.
        accuracy, loss: on the test set; the loss in nats.
        seconds, seconds_back: to compress, to decompress.
    """

    model: str
    seed: int
    method: str
    setting: float
    bytes: int
    accuracy: float
    loss: float
    seconds: float
    seconds_back: float


def load(folder: Path) -> list[Measured]:
    """Read the rows of a folder; none where it has none."""
    file = folder / _FILE
    return [Measured(**row) for row in json_rows.rows_of(file.read_text())] if file.exists() else []


def save(rows: Iterable[Measured], folder: Path) -> None:
    """Write the rows, those of one model together."""
    folder.mkdir(parents=True, exist_ok=True)
    order = {name: place for place, name in enumerate(KINDS)}
    mine = sorted(rows, key=lambda row: (order[row.model], row.seed))  # methods stay in the order of the runs
    (folder / f"{_FILE}.new").write_text(json_rows.text_of(map(asdict, mine)))
    (folder / f"{_FILE}.new").replace(folder / _FILE)


def smallest(rows: Iterable[Measured], least_accuracy: float) -> Measured | None:
    """The smallest file that is accurate enough, as all larger ones of its method are; None if the largest is not."""
    found = None
    for row in sorted(rows, key=lambda row: -row.bytes):
        if row.accuracy < least_accuracy:
            break
        found = row
    return found


def _of(rows: Iterable[Measured], **wanted: object) -> list[Measured]:
    return [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]


def _bytes_at(rows: Sequence[Measured], model: str, method: str, loss: float) -> list[int] | None:
    """The sizes that lose no more, one for each seed that the method was run with; None if some seed has none."""
    sizes = []
    for itself in _of(rows, model=model, method=ITSELF):
        mine = _of(rows, model=model, method=method, seed=itself.seed)
        found = smallest(mine, itself.accuracy - loss - 1e-9)
        if mine and found is None:
            return None
        sizes += [found.bytes] if found else []
    return sizes or None


def equal_accuracy(rows: Sequence[Measured]) -> str:
    """The smallest file of each way that loses at most half a point: a row for each way, a column for each model."""
    models = [name for name in KINDS if _of(rows, model=name)]
    methods = [each for each in dict.fromkeys(row.method for row in rows) if each != ITSELF]
    found = {(each, name): _bytes_at(rows, name, each, LOSS) for each in methods for name in models}
    lines = []
    for method in methods:
        cells = []
        for name in models:
            sizes, ours = found[method, name], found.get((OURS, name))
            if not sizes:
                cells.append("more than tried" if _of(rows, model=name, method=method) else "")
                continue
            times = "" if method == OURS or not ours else f" (×{fmean(sizes) / fmean(ours):.2f})"
            cells.append(f"{fmean(sizes):,.0f}{times}")
        lines.append([method, *cells])
    dense = ["no compression", *(f"{_itself(rows, name)}" for name in models)]
    header = [f"bytes at a loss of {100 * LOSS:g} points", *(_heading(rows, name) for name in models)]
    return markdown.table(header, [*lines, dense])


def _itself(rows: Sequence[Measured], model: str) -> str:
    found = _of(rows, model=model, method=ITSELF)
    return f"{found[0].bytes:,} at {fmean(row.accuracy for row in found):.2%}"


def _heading(rows: Sequence[Measured], model: str) -> str:
    seeds = len(_of(rows, model=model, method=ITSELF))
    return f"{KINDS[model].title}, {seeds} seed{'s' * (seeds > 1)}"


def headline(rows: Sequence[Measured]) -> str:
    """How many times smaller our smallest files are that lose no more than so much, a row for each model."""
    lines = []
    for name in KINDS:
        itself = _of(rows, model=name, method=ITSELF)
        if itself:
            sizes = [_bytes_at(rows, name, OURS, loss) for loss in _LOSSES]
            times = [f"{itself[0].bytes / fmean(each):.0f}" if each else "—" for each in sizes]
            accuracy = f"{fmean(row.accuracy for row in itself):.2%}"
            lines.append([_heading(rows, name), f"{itself[0].bytes:,}", accuracy, *times])
    header = ["model", "bytes", "accuracy", *(f"−{100 * loss:g} points" for loss in _LOSSES)]
    return markdown.table(header, lines)
