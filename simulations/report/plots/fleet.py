"""What schemes end with against the bytes of the whole fleet: all clients a round beside few of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from simulations.app.row import Row
from simulations.report.fleet import Point, partitions_of, points_of
from simulations.report.plots.style import in_order, save, style_of
from simulations.report.rows import final_accuracy

_LINES = ("-", "--", ":")  # by clients a round, the most first
_SHOWN = ("surp", "stc", "top-k", "dense")


def accuracy_at_fleet_bytes(parts: Mapping[str, list[Row]], file: Path) -> None:
    """Draw mean accuracies against what all clients of a round upload together, a panel for each partition."""
    points, partitions = points_of(parts), partitions_of(parts)
    counts = sorted({point.taking_part for point in points}, reverse=True)
    figure, grid = plt.subplots(1, len(partitions), figsize=(1 + 5 * len(partitions), 5), layout="constrained")
    for axes, (partition, title) in zip([grid] if len(partitions) == 1 else grid, partitions.items(), strict=True):
        for count, line in zip(counts, _LINES, strict=False):
            for family in in_order(_SHOWN):
                there = [point for point in points if _is_of(point, family, count, partition)]
                if not there:
                    continue
                colour, marker = style_of(family)
                ends = [100 * fmean(map(final_accuracy, point.seeds[partition])) for point in there]
                filled = colour if line == "-" else "white"
                sizes = [point.fleet_bytes for point in there]
                style = {"color": colour, "marker": marker, "linestyle": line, "markerfacecolor": filled}
                axes.plot(sizes, ends, label=f"{family}, {count} clients a round", **style)
        axes.set(xscale="log", xlabel="bytes up, all clients of a round together", title=title)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("test accuracy [%], mean of the seeds")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names) // 2, fontsize=9)
    save(figure, file)


def _is_of(point: Point, family: str, count: int, partition: str) -> bool:
    rows = point.seeds.get(partition, [])
    return bool(rows) and rows[0].scheme == family and point.taking_part == count
