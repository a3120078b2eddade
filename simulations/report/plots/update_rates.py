"""The error of an update against bits for each coordinate, a panel for each workload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from simulations.app.workloads import WORKLOADS
from simulations.report.plots.style import save
from simulations.report.update_rates import OURS, THEIRS, Measured

_COLUMNS = 3
_STYLES = ("C0", "C9", "C2", "C1", "C3", "C4")
_LEAST = 1e-4  # dB: what says less is not drawn


def error_at_bits(rows: Sequence[Measured], file: Path) -> None:
    """Draw signal to noise, −20·log10 of the error; solid for the first source, dashed for the second."""
    workloads = list(dict.fromkeys(row.workload for row in rows))
    height = -(-(len(workloads) + 1) // _COLUMNS)  # one place for the legend
    figure, panels = plt.subplots(height, _COLUMNS, figsize=(14.5, 4.2 * height), squeeze=False)
    for panel, name in zip(panels.flat, workloads, strict=False):
        _draw(panel, [row for row in rows if row.workload == name])
        panel.set_title(WORKLOADS[name].title, fontsize=10)
    for panel in panels.flat[len(workloads) :]:
        panel.set_axis_off()
    handles, labels = panels[0, 0].get_legend_handles_labels()
    panels.flat[len(workloads)].legend(handles, labels, loc="center", fontsize=10, frameon=False)
    figure.supxlabel("bits of the message for each coordinate of the update")
    figure.supylabel("signal to noise of the decoded update [dB], higher is better")
    figure.tight_layout()
    save(figure, file)


def _draw(panel: Axes, rows: Sequence[Measured]) -> None:
    sources = list(dict.fromkeys(row.source for row in rows))
    for source, line in zip(sources, ("-", "--"), strict=False):
        for way, colour in zip((*OURS, *THEIRS), _STYLES, strict=True):
            mine = [row for row in rows if (row.source, row.way) == (source, way)]
            points = [(8 * row.tried.bytes / row.coordinates, -20 * np.log10(row.tried.error)) for row in mine]
            x, y = zip(*(each for each in points if each[1] > _LEAST), strict=True) if points else ((), ())
            panel.plot(x, y, line, color=colour, linewidth=1.4, marker=".", markersize=3.5, label=f"{way}; {source}")
    panel.set(xscale="log", yscale="log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    panel.grid(alpha=0.3)
