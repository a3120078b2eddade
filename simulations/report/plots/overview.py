"""What each scheme ends with against the bytes that it uploads, a panel for each part of the protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from simulations.app.row import Row
from simulations.report.overview import part_name
from simulations.report.plots.style import family_of, in_order, save, style_of
from simulations.report.rows import final_accuracy, groups

_SIZES = (70, 3_000_000)  # bytes, from where to where the axis goes


def accuracy_at_budgets(parts: Mapping[str, list[Row]], file: Path) -> None:
    """Draw what each scheme ends with against what it uploads, a panel for each part: mean, worst and best seed."""
    columns = len(parts) if len(parts) < 4 else 2
    datasets = {rows[0].settings.dataset for rows in parts.values()}
    lines = math.ceil(len(parts) / columns)
    size = (1 + 4.6 * columns, 0.7 + 4.2 * lines)
    figure, grid = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    panels: list[Axes] = list(grid.flat)
    for axes in panels[len(parts) :]:
        axes.remove()
    for axes, rows in zip(panels, parts.values(), strict=False):
        families: dict[str, list[list[Row]]] = {}
        for seeds in groups(rows).values():
            families.setdefault(family_of(seeds[0]), []).append(seeds)
        for family, members in families.items():
            _family(axes, family, members)
        title = (f"{rows[0].settings.dataset}, " if len(datasets) > 1 else "") + part_name(rows)
        axes.set(xscale="log", xlabel="bytes up, per client and round", title=title, xlim=_SIZES)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
        axes.grid(alpha=0.3)
    for axes in panels[::columns]:
        axes.set_ylabel("test accuracy [%]: mean, worst and best seed")
    named = {text: line for axes in panels for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    shown = in_order(named)
    ncols = min(len(shown), 5 * columns)
    figure.legend([named[family] for family in shown], shown, loc="outside lower center", ncols=ncols, fontsize=9)
    save(figure, file)


def _family(axes: Axes, family: str, members: list[list[Row]]) -> None:
    """Draw one scheme at all its budgets; a cross at the bottom where a seed diverged."""
    colour, marker = style_of(family)
    points = []
    for seeds in members:
        size = fmean(row.payload_bytes_up_mean for row in seeds)
        ends = [100 * final_accuracy(row) for row in seeds]
        if any(map(math.isnan, ends)):
            axes.plot(size, 0.02, marker="x", color=colour, transform=axes.get_xaxis_transform())
        else:
            points.append((size, min(ends), fmean(ends), max(ends)))
    if not points:
        return
    sizes, worst, mean, best = zip(*sorted(points), strict=True)
    spread = [[m - w for m, w in zip(mean, worst, strict=True)], [b - m for m, b in zip(mean, best, strict=True)]]
    line = "-" if len({round(size, -1) for size in sizes}) == len(sizes) > 1 else ""
    axes.errorbar(sizes, mean, spread, color=colour, marker=marker, linestyle=line, capsize=3, label=family)
    if family == "dense":
        axes.axhline(mean[0], color=colour, linestyle=":", linewidth=1)
