"""Accuracy of pruned networks at each sparsity: a table for each network and mode, and who leads where."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from simulations.app.workloads import WORKLOADS
from simulations.pruning.methods import PRUNING, SPARSE_TRAINING
from simulations.pruning.networks import NETWORKS
from simulations.report import json_rows, markdown

TITLES = {name: each.title for name, each in PRUNING.items()} | {n: each.title for n, each in SPARSE_TRAINING.items()}
_FILE = "pruning.json"
_MODES = {
    "one-shot": "One-shot, no retraining",
    "iterative": "Cycles of pruning and retraining",
}


@dataclass(frozen=True)
class Measured:
    """One chain; see `simulations.pruning.chains`.

    Attributes:
        network, mode, method, seed: of the chain.
        dense: test accuracy of the network before pruning, or of the same network trained dense.
        accuracy: of each sparsity of the prunable weights, by its text.
    """

    network: str
    mode: str
    method: str
    seed: int
    dense: float
    accuracy: Mapping[str, float]


def load(folder: Path) -> list[Measured]:
    """Read the rows of a folder; none where it has none."""
    file = folder / _FILE
    return [Measured(**row) for row in json.loads(file.read_text())] if file.exists() else []


def save(rows: Iterable[Measured], folder: Path) -> None:
    """Write the rows, those of one table together."""
    folder.mkdir(parents=True, exist_ok=True)
    order = {name: place for place, name in enumerate([*NETWORKS, *TITLES])}
    mine = sorted(rows, key=lambda row: (order[row.network], row.mode, order[row.method], row.seed))
    (folder / f"{_FILE}.new").write_text(json_rows.text_of(map(asdict, mine)))
    (folder / f"{_FILE}.new").replace(folder / _FILE)


def line(row: Measured) -> str:
    """A row in a line of text."""
    found = "  ".join(f"{float(sparsity):.1%} {accuracy:.2%}" for sparsity, accuracy in row.accuracy.items())
    return f"{row.network} {row.mode} {row.method} seed {row.seed}: dense {row.dense:.2%}; {found}"


def by_method(rows: Iterable[Measured]) -> dict[str, list[Measured]]:
    """Rows of each method, in the order of the tables."""
    found = list(rows)
    return {name: mine for name in TITLES if (mine := [row for row in found if row.method == name])}


def tables(rows: Sequence[Measured]) -> str:
    """A table for each network and mode."""
    parts = []
    for network in NETWORKS:
        of_network = [row for row in rows if row.network == network]
        for mode, title in _MODES.items():
            chosen = [row for row in of_network if row.mode == mode]
            if chosen:
                parts.append(_table(network, title, chosen, [row for row in of_network if row.mode == "sparse"], mode))
    return "\n".join(parts)


def _table(network: str, title: str, rows: list[Measured], sparse: list[Measured], mode: str) -> str:
    sparsities = list(dict.fromkeys(sparsity for row in rows for sparsity in row.accuracy))
    methods = by_method(rows) | (by_method(sparse) if mode == "iterative" else {})
    means = {
        name: {s: mean for s in sparsities if (mean := mean_at(mine, s)) is not None} for name, mine in methods.items()
    }
    best = {s: max(mean[s] for mean in means.values() if s in mean) for s in sparsities}
    lines = [
        [TITLES[name], str(len(mine)), *(_cell(mine, s, means[name].get(s) == best[s]) for s in sparsities)]
        for name, mine in methods.items()
    ]
    dense = fmean({row.seed: row.dense for row in rows}.values())
    kind = WORKLOADS[network].title
    title += "; trained sparse from the start below" if mode == "iterative" and sparse else ""
    head = (
        f"**{kind} on {'MNIST' if NETWORKS[network].dataset == 'mnist' else 'Fashion-MNIST'}. {title}.** Test accuracy "
        f"[%], mean of the seeds ± standard deviation, at each share of zeros among the weights of convolutions and "
        f"linear layers; dense {dense:.2%}. The best mean of a column is bold."
    )
    header = ["method", "seeds", *(f"{float(sparsity):.1%}" for sparsity in sparsities)]
    return f"{head}\n\n{markdown.table(header, lines)}"


def mean_at(rows: Iterable[Measured], sparsity: str) -> float | None:
    """The mean accuracy at a sparsity; None where no row has it."""
    found = [row.accuracy[sparsity] for row in rows if sparsity in row.accuracy]
    return fmean(found) if found else None


def _cell(rows: list[Measured], sparsity: str, best: bool) -> str:
    found = [100 * row.accuracy[sparsity] for row in rows if sparsity in row.accuracy]
    if not found:
        return "—"
    mean = f"**{fmean(found):.2f}**" if best else f"{fmean(found):.2f}"
    return f"{mean} ± {stdev(found):.2f}" if len(found) > 1 else mean
