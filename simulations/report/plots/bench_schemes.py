"""Error against bytes of all schemes, a panel for each workload."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from simulations.app.workloads import WORKLOADS
from simulations.report.bench_schemes import Row
from simulations.report.plots.style import in_order, save, style_of

_COLUMNS = 3
_MOST = 1.2  # of the error: what unbiased schemes add above is not drawn
_HISTORY = "history"  # in settings


def error_at_bytes(rows: Sequence[Row], file: Path) -> None:
    """Draw a line for each scheme, through the settings that are better than all of its with fewer bytes.

    It is dashed where messages are coded against the model and its history.
    """
    workloads = list(dict.fromkeys(row.workload for row in rows))
    height = -(-(len(workloads) + 1) // _COLUMNS)  # one place for the legend
    figure, panels = plt.subplots(height, _COLUMNS, figsize=(14.5, 4.2 * height), squeeze=False)
    for panel, workload in zip(panels.flat, workloads, strict=False):
        for scheme in in_order({row.scheme for row in rows}):
            colour, marker = style_of(scheme)
            for line, in_history in (("-", False), ("--", True)):
                mine = [row for row in rows if (row.workload, row.scheme) == (workload, scheme)]
                points = sorted(
                    (row.bytes, row.error) for row in mine if row.error and (_HISTORY in row.setting) == in_history
                )
                if not points:
                    continue
                label = None if in_history else scheme
                panel.plot(*_columns(points), marker, color=colour, markersize=5)
                panel.plot(*_columns(_better(points)), line + marker, color=colour, markersize=5, lw=1.2, label=label)
        panel.set(xscale="log", yscale="log")
        panel.set_ylim(top=_MOST)
        panel.set_title(WORKLOADS[workload].title, fontsize=10)
        panel.xaxis.set_major_locator(LogLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
    for panel in panels.flat[len(workloads) :]:
        panel.set_axis_off()
    handles, labels = panels[0, 0].get_legend_handles_labels()
    panels.flat[len(workloads)].legend(handles, labels, loc="center", fontsize=10, ncols=2, frameon=False)
    figure.supxlabel("bytes of a message")
    figure.supylabel(f"relative error of the decoded update, up to {_MOST:g}", x=0.008)
    figure.tight_layout()
    save(figure, file)


def _better(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Those of less error than all before them; `points` are bytes and errors, in order of bytes."""
    least = accumulate((error for _, error in points), min, initial=math.inf)
    return [point for point, before in zip(points, least, strict=False) if point[1] < before]


def _columns(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [size for size, _ in points], [error for _, error in points]
