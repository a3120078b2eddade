"""The parts of the protocol side by side: one table, and one picture of accuracy against bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from simulations.report.plots import family_of, in_order, style_of
from simulations.report.rows import Row, bytes_down, final_accuracy, groups

_SIZES = (70, 3_000_000)  # bytes, from where to where the axis goes


def overview(parts: Mapping[str, list[Row]]) -> str:
    """Show a line for each scheme, with its bytes and what it ends with in each part.

    Args:
        parts: rows of each part, by the part's name.
    """
    by_label = {part: groups(rows) for part, rows in parts.items()}
    most_first = sorted(by_label.values(), key=len, reverse=True)  # it has all in their order
    labels = dict.fromkeys(label for named in most_first for label in named)
    first = next(iter(parts.values()))[0]
    lines = [
        ["scheme", "up [B]", "down [B]", *map(_what, parts.values())],
        ["---", "---:", "---:"] + ["---:"] * len(parts),
    ]
    for label in labels:
        there = [named[label] for named in by_label.values() if label in named]
        up = _sizes([fmean(row["payload_bytes_up_mean"] for row in seeds) for seeds in there])
        down = _sizes([fmean(map(bytes_down, seeds)) for seeds in there])
        ends = [_ends(named.get(label, [])) for named in by_label.values()]
        lines.append([label, up, down, *ends])
    head = (
        f"Accuracy of LeNet-5-Caffe on the test images of **{first['dataset']}** after {first['rounds']} rounds: mean "
        "of the seeds (worst to best). Payload per client and round, every header included; down, first models apart."
    )
    return f"{head}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def accuracy_at_budgets(parts: Mapping[str, list[Row]], file: Path) -> None:
    """Draw what each scheme ends with against what it uploads, a panel for each part: mean, worst and best seed."""
    columns = len(parts) if len(parts) < 4 else 2
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
        axes.set(xscale="log", xlabel="bytes up, per client and round", title=_what(rows), xlim=_SIZES)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
        axes.grid(alpha=0.3)
    for axes in panels[::columns]:
        axes.set_ylabel("test accuracy [%]: mean, worst and best seed")
    named = {text: line for axes in panels for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    shown = in_order(named)
    figure.legend([named[family] for family in shown], shown, loc="outside lower center", ncols=len(shown), fontsize=9)
    figure.savefig(file, dpi=140)
    plt.close(figure)


def _family(axes: Axes, family: str, members: list[list[Row]]) -> None:
    """Draw one scheme at all its budgets; a cross at the bottom where a seed diverged."""
    colour, marker = style_of(family)
    points = []
    for seeds in members:
        size = fmean(row["payload_bytes_up_mean"] for row in seeds)
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


def _what(rows: list[Row]) -> str:
    """Name a part by how images and rounds are shared out."""
    row = rows[0]
    partition = row["partition"].replace("dirichlet:", "Dirichlet ").replace("iid", "IID")
    return partition + (f", {row['sampled']} of {row['clients']} a round" if row.get("sampled") else "")


def _sizes(of_parts: list[float]) -> str:
    """One number of bytes, or two where the parts differ by more than a hundredth."""
    low, high = min(of_parts), max(of_parts)
    return f"{fmean(of_parts):,.0f}" if high < 1.01 * low else f"{low:,.0f} to {high:,.0f}"


def _ends(seeds: list[Row]) -> str:
    ends = [100 * final_accuracy(row) for row in seeds]
    diverged = sum(map(math.isnan, ends))
    if not ends or diverged:
        return f"diverged ({diverged} of {len(ends)})" if ends else "—"
    spread = f"{min(ends):.2f} to {max(ends):.2f}" if len(ends) > 1 else "one seed"
    return f"{fmean(ends):.2f} % ({spread})"
