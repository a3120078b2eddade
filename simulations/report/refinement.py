"""Algorithm 2 on trained networks: rows, and Table 3 and the fits of distributions as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from simulations.app.workloads import WORKLOADS
from simulations.pruning.densities import Fit
from simulations.report import json_rows, markdown

_FILE = "refinement.json"


@dataclass(frozen=True)
class Beta:
    """A run of the algorithm with one β, without retraining.

    Attributes:
        network, text, seed: which.
        beta: its value.
        sparsity: at which the run ends.
        iterations: indices that were sent.
        refreshes: further estimates of the parameter.
        distortion: ‖u − û‖₁ / ‖u‖₁.
        reconstructed: accuracy of the network that a decoder makes of the indices.
        pruned: accuracy of the network with the named weights as they are.
    """

    network: str
    text: str
    seed: int
    beta: float
    sparsity: float
    iterations: int
    refreshes: int
    distortion: float
    reconstructed: float
    pruned: float


@dataclass(frozen=True)
class Along:
    """One cycle: points of steps, sparsity, distortion and accuracy; and the sparsity at which the cycle is ended."""

    network: str
    cycle: int
    sparsity: float
    points: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Densities:
    """Fits of one network's weights or updates, layer by layer and whole."""

    network: str
    what: str
    fits: Sequence[Fit]


@dataclass(frozen=True)
class Measured:
    """All that was measured."""

    betas: Sequence[Beta] = ()
    cycles: Sequence[Along] = ()
    densities: Sequence[Densities] = ()


def load(folder: Path) -> Measured:
    """Read what a folder has; nothing where it has none."""
    file = folder / _FILE
    if not file.exists():
        return Measured()
    betas, cycles, densities = json.loads(file.read_text())
    return Measured(
        [Beta(**row) for row in betas["rows"]],
        [Along(**row) for row in cycles["rows"]],
        [Densities(row["network"], row["what"], [Fit(**fit) for fit in row["fits"]]) for row in densities["rows"]],
    )


def save(measured: Measured, folder: Path) -> None:
    """Write it."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = (measured.betas, measured.cycles, measured.densities)
    text = json_rows.text_of({"rows": [asdict(row) for row in rows]} for rows in parts)
    (folder / _FILE).write_text(text)


def text(measured: Measured) -> str:
    """All tables."""
    return f"{beta_table(measured.betas)}\n{density_table(measured.densities)}"


def beta_table(rows: Sequence[Beta]) -> str:
    """Table 3: a line for each network and β, means of the seeds."""
    lines = []
    for network in dict.fromkeys(row.network for row in rows):
        for name in dict.fromkeys(row.text for row in rows):
            mine = [row for row in rows if (row.network, row.text) == (network, name)]
            lines.append(
                [
                    WORKLOADS[network].title, f"{name} = {fmean(row.beta for row in mine):.1f}",
                    f"{fmean(row.iterations for row in mine):,.0f}", f"{fmean(row.refreshes for row in mine):,.0f}",
                    f"{fmean(row.distortion for row in mine):.3f}",
                    f"{fmean(row.reconstructed for row in mine):.2%}", f"{fmean(row.pruned for row in mine):.2%}",
                ]
            )  # fmt: skip
    head = (
        f"Table 3 of the paper: Algorithm 2 with several β, once, without retraining, until {rows[0].sparsity:.0%} of "
        f"the weights are zero; induced l1 norms; mean of {len({row.seed for row in rows})} seeds. Accuracy of what a "
        "decoder makes of the indices, and with the named weights as they are."
    )
    header = ["network", "β", "iterations", "refreshes", "l1 distortion left", "reconstructed", "pruned"]
    return f"{head}\n\n{markdown.table(header, lines, 'llrrrrr')}"


def density_table(rows: Sequence[Densities]) -> str:
    """Figure 2 in numbers: nats that a Gaussian costs more than a Laplacian, for each layer and whole."""
    lines = [
        [
            WORKLOADS[row.network].title, row.what, fit.name, f"{fit.count:,}", f"{fit.gaussian - fit.laplacian:+.3f}",
            f"{fit.kurtosis:.1f}", "Laplacian" if fit.laplacian < fit.gaussian else "Gaussian",
        ]
        for row in rows
        for fit in row.fits
        if len(row.fits) <= 12 or fit.name.startswith("all") or fit.count >= _LARGE
    ]  # fmt: skip
    head = (
        "Figure 2 and appendices C and I of the paper: how many nats a weight (a coordinate of an update) costs more "
        "under the best Gaussian than under the best Laplacian of zero mean; kurtosis is 3 for a Gaussian, 6 for a "
        f"Laplacian. Of networks of many layers those of {_LARGE:,} weights or more are shown."
    )
    header = ["network", "values", "layer", "count", "Gaussian − Laplacian [nats]", "kurtosis", "better fit"]
    return f"{head}\n\n{markdown.table(header, lines, 'lllrrrl')}"


_LARGE = 9000
