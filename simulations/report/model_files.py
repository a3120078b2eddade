"""Trained models as few bytes: rows, and the smallest files that lose no more than some accuracy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean

from sklearn.isotonic import IsotonicRegression

from simulations.model_files.models import KINDS
from simulations.model_files.nncodec_peer import VARIANTS
from simulations.model_files.ways import METHODS, OURS
from simulations.report import json_rows, markdown

_FILE = "model_files.json"
ITSELF = "itself"
LOSS = 0.005  # of accuracy, at which ways are compared


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
    curves = json.loads(file.read_text()) if file.exists() else []
    return [Measured(*curve["of"], *row) for curve in curves for row in curve["rows"]]


def save(rows: Iterable[Measured], folder: Path) -> None:
    """Write the rows, a line for each curve: model, seed and method, and of each file all else."""
    folder.mkdir(parents=True, exist_ok=True)
    order = {name: place for place, name in enumerate((*KINDS, ITSELF, *METHODS, *VARIANTS))}
    mine = sorted(rows, key=lambda row: (order[row.model], row.seed, order[row.method], row.bytes))
    curves = [
        {"of": of, "rows": [astuple(row)[len(of) :] for row in found]}
        for of, found in groupby(mine, key=lambda row: (row.model, row.seed, row.method))
    ]
    (folder / f"{_FILE}.new").write_text(json_rows.text_of(curves))
    (folder / f"{_FILE}.new").replace(folder / _FILE)


def smallest(rows: Sequence[Measured], least_accuracy: float) -> Measured | None:
    """The smallest file that is accurate enough, where accuracy is smoothed to rise with the bytes; None if none is.

    Single files are a tenth of a point better or worse by chance; isotonic regression is the closest curve that rises.
    """
    mine = sorted(rows, key=lambda row: row.bytes)
    if not mine:
        return None
    smooth = IsotonicRegression().fit_transform([row.bytes for row in mine], [row.accuracy for row in mine])
    return next((row for row, accuracy in zip(mine, smooth, strict=True) if accuracy >= least_accuracy), None)


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
    """Our smallest files that lose at most half a point, a row for each model."""
    lines = []
    for name in KINDS:
        itself, sizes = _of(rows, model=name, method=ITSELF), _bytes_at(rows, name, OURS, LOSS)
        if itself and sizes:
            accuracy = f"{fmean(row.accuracy for row in itself):.2%}"
            times = f"{itself[0].bytes / fmean(sizes):.0f}"
            lines.append([_heading(rows, name), accuracy, f"{itself[0].bytes:,}", f"{fmean(sizes):,.0f}", times])
    header = ["model", "accuracy", "bytes", f"file at −{100 * LOSS:g} points", "times smaller"]
    return markdown.table(header, lines)
