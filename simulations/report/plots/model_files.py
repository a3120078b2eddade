"""Accuracy that is lost against the bytes of a file, a panel for each model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from simulations.model_files.models import KINDS
from simulations.model_files.ways import OURS
from simulations.report.model_files import ITSELF, LOSS, Measured
from simulations.report.plots.style import save

_LEAST, _MOST = 0.05, 20  # points of accuracy: what is lost below is drawn at the least, what is above not at all
_COLUMNS = 3


def accuracy_at_bytes(rows: Sequence[Measured], file: Path) -> None:
    """Draw one seed; our file is thick, a dashed line is at half a point."""
    models = [name for name in KINDS if any(row.model == name for row in rows)]
    methods = [each for each in dict.fromkeys(row.method for row in rows) if each != ITSELF]
    height = -(-(len(models) + 1) // _COLUMNS)  # one place for the legend
    figure, panels = plt.subplots(height, _COLUMNS, figsize=(14.5, 4 * height), squeeze=False)
    for panel, name in zip(panels.flat, models, strict=False):
        _draw(panel, [row for row in rows if row.model == name and row.seed == 0], methods)
        panel.set_title(KINDS[name].title, fontsize=10)
    for panel in panels.flat[len(models) :]:
        panel.set_axis_off()
    handles, labels = panels[0, 0].get_legend_handles_labels()
    panels.flat[len(models)].legend(handles, labels, loc="center", fontsize=10, frameon=False)
    figure.supxlabel("kB of the file")
    figure.supylabel("test accuracy that is lost [points]")
    figure.tight_layout()
    save(figure, file)


def _draw(panel: Axes, rows: Sequence[Measured], methods: Sequence[str]) -> None:
    itself = next(row for row in rows if row.method == ITSELF)
    for place, method in enumerate(methods):
        lost = {row.bytes / 1000: 100 * (itself.accuracy - row.accuracy) for row in rows if row.method == method}
        points = [(size, max(lost[size], _LEAST)) for size in sorted(lost) if lost[size] < _MOST]
        x, y = zip(*points, strict=True) if points else ((), ())
        width = 2.6 if method == OURS else 1.1
        panel.plot(x, y, "-o", color=f"C{place}", linewidth=width, markersize=2.5, label=method)
    panel.axhline(100 * LOSS, color="0.4", linewidth=0.8, linestyle="--")
    panel.set(xscale="log", yscale="log", ylim=(_LEAST * 0.9, _MOST))
    for axis, places in ((panel.xaxis, (1, 2, 5)), (panel.yaxis, (1, 2, 5))):
        axis.set_major_locator(LogLocator(subs=places))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    panel.grid(alpha=0.3)
