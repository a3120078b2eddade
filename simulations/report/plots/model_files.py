"""Accuracy against the bytes of a file, a panel for each model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from simulations.model_files.models import KINDS
from simulations.report.model_files import ITSELF, LOSS, OURS, Measured
from simulations.report.plots.style import save

_WORST = 0.25  # of the accuracy that a model has: what is below is not drawn


def accuracy_at_bytes(rows: Sequence[Measured], file: Path) -> None:
    """Draw one seed; our file is thick, a dashed line is half a point below the model itself."""
    models = [name for name in KINDS if any(row.model == name for row in rows)]
    methods = [each for each in dict.fromkeys(row.method for row in rows) if each != ITSELF]
    figure, panels = plt.subplots(2, 3, figsize=(14.5, 8), squeeze=False)
    for panel, name in zip(panels.flat, models, strict=False):
        mine = [row for row in rows if row.model == name and row.seed == 0]
        itself = next(row for row in mine if row.method == ITSELF)
        panel.axhline(100 * (itself.accuracy - LOSS), color="0.5", linewidth=0.8, linestyle="--")
        for place, method in enumerate(methods):
            points = sorted((row.bytes / 1000, 100 * row.accuracy) for row in mine if row.method == method)
            shown = [each for each in points if each[1] > 100 * itself.accuracy * (1 - _WORST)]
            if shown:
                width = 2.4 if method == OURS else 1.1
                panel.plot(
                    *zip(*shown, strict=True), "-o", color=f"C{place}", linewidth=width, markersize=2.5, label=method
                )
        panel.set(xscale="log", title=KINDS[name].title)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_ylim(bottom=100 * (itself.accuracy * (1 - _WORST / 2)))
        panel.grid(alpha=0.3)
    for panel in panels.flat[len(models) :]:
        panel.set_visible(False)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower right", fontsize=10, frameon=False, bbox_to_anchor=(0.985, 0.1))
    figure.supxlabel("kB of the file")
    figure.supylabel("test accuracy [%]")
    figure.tight_layout()
    save(figure, file)
