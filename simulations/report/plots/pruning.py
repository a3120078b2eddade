"""Test error against the share of weights that are kept: a panel for each network and mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from simulations.app.workloads import WORKLOADS
from simulations.pruning.methods import PRUNING, SPARSE_TRAINING
from simulations.pruning.networks import NETWORKS
from simulations.report.plots.style import save
from simulations.report.pruning import TITLES, Measured, by_method, mean_at

_LINES = {name: f"C{place}" for place, name in enumerate(PRUNING)}
_MARKS = dict(zip(SPARSE_TRAINING, "sv^D", strict=True))
_TITLES = {"one-shot": "one-shot", "iterative": "cycles with retraining"}


def error_at_sparsities(rows: Sequence[Measured], file: Path) -> None:
    """Draw the mean of the seeds; SuRP's lines are thick, sparse training has marks alone."""
    networks = [name for name in NETWORKS if any(row.network == name for row in rows)]
    figure, panels = plt.subplots(2, len(networks), figsize=(4.2 * len(networks) + 3.4, 7.4), squeeze=False)
    for column, network in enumerate(networks):
        for panel, mode in zip(panels[:, column], _TITLES, strict=True):
            mine = [row for row in rows if row.network == network and row.mode in {mode, "sparse"}]
            _draw(panel, [row for row in mine if row.mode == mode], sparse=False)
            if mode == "iterative":
                _draw(panel, [row for row in mine if row.mode == "sparse"], sparse=True)
            panel.set_title(f"{WORKLOADS[network].title}, {_TITLES[mode]}", fontsize=10)
    found = {
        label: line for panel in panels.flat for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(found.values(), found.keys(), loc="center right", fontsize=8, frameon=False)
    figure.supylabel("test error [%]")
    figure.supxlabel("sparsity of the weights [%]")
    figure.tight_layout(rect=(0, 0, 1 - 3.4 / figure.get_figwidth(), 1))
    save(figure, file)


def _draw(axes: Axes, rows: Sequence[Measured], sparse: bool) -> None:
    sparsities = sorted({sparsity for row in rows for sparsity in row.accuracy}, key=float)
    for name, mine in by_method(rows).items():
        points = [(1 - float(s), 100 * (1 - mean)) for s in sparsities if (mean := mean_at(mine, s)) is not None]
        kept, errors = zip(*points, strict=True)
        if sparse:
            axes.plot(kept, errors, _MARKS[name], color="0.4", markersize=5, label=TITLES[name])
        else:
            thick = 2.2 if name.startswith("surp") else 1.1
            axes.plot(kept, errors, "-o", color=_LINES[name], linewidth=thick, markersize=3, label=TITLES[name])
    if rows and not sparse:  # marks are drawn on the axes of lines
        axes.set(xscale="log", yscale="log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.invert_xaxis()
        axes.xaxis.set_major_locator(FixedLocator([1 - float(sparsity) for sparsity in sparsities]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{100 * float(sparsity):g}" for sparsity in sparsities], fontsize=8)
    axes.grid(alpha=0.3, which="both")
    axes.set_visible(bool(axes.lines))
