"""Accuracy or loss by round, and against the bytes that a client has uploaded."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from simulations.app.row import Row
from simulations.report.plots.style import family_of, save, style_of
from simulations.report.rows import final_score, groups, mean_reached, metric_of, shown_score, uploaded_by_round
from simulations.report.tables import MARKS, protocol

_DASHES = ("-", "--", ":", "-.", (0, (1, 4)))  # of one scheme's budgets and options
_LIGHTEST = 0.45  # share of its colour, where a scheme has several budgets
_LEAST = 1000  # bytes, where the axis begins
_LEGEND = 3  # columns
_TICKS = (20, 50, 70, 80, 85, 88, 90, 92, 95, 97, 98, 98.5, 99, 99.3, 99.5, 99.8)  # of accuracies
_BEST = 99.9  # above it, accuracies are drawn as it: the scale has no end


def score_vs_bytes(rows: list[Row], file: Path) -> None:
    """Draw test scores by round and by uploaded bytes into a PNG: the seeds' mean, in a band of all."""
    named = groups(rows)
    of_family = Counter(family_of(seeds[0]) for seeds in named.values())
    drawn: Counter[str] = Counter()
    lines_of_legend = -(-len(named) // _LEGEND)
    size = (11, 4.4 + 0.19 * lines_of_legend)
    figure, (by_round, by_bytes) = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    for label, seeds in named.items():
        last = min(len(row.accuracy) for row in seeds)  # not all alike, where one diverged
        scores = np.array([_scores(row)[1:last] for row in seeds])
        rounds = seeds[0].tested_rounds[1:last]
        uploaded = np.mean([[uploaded_by_round(row)[number - 1] for number in rounds] for row in seeds], axis=0)
        family = family_of(seeds[0])
        dashes = _DASHES[drawn[family] % len(_DASHES)]
        colour = _shade(style_of(family)[0], drawn[family], of_family[family])
        style: dict[str, Any] = {"color": colour, "linewidth": 1.6, "linestyle": dashes}
        drawn[family] += 1
        for axes, x in ((by_round, rounds), (by_bytes, uploaded)):
            axes.plot(x, scores.mean(axis=0), label=f"{label}: {_end(seeds)}", **style)
            axes.fill_between(x, scores.min(axis=0), scores.max(axis=0), color=style["color"], alpha=0.15)
    (_scale_of_accuracies if metric_of(rows) == "accuracy" else _scale_of_losses)(by_round, rows)
    by_round.set(xlabel="round")
    by_round.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_bytes.set(xlabel="bytes uploaded by one client so far (messages, headers included)", xscale="log")
    for axes in (by_round, by_bytes):
        axes.grid(alpha=0.3)
    figure.legend(*by_round.get_legend_handles_labels(), loc="outside lower center", ncols=_LEGEND, fontsize=8)
    title = protocol(rows).replace("**", "").replace(" Bytes are per client and round.", "")
    lines = math.ceil(len(title) / 140)
    figure.suptitle(fill(title, len(title) // lines + 15), fontsize=9)  # lines of like length
    save(figure, file)


def _scores(row: Row) -> NDArray[np.float64]:
    """Accuracies in percent, or losses in nats; of the initial model first."""
    return 100 * np.array(row.accuracy) if row.settings.kind.metric == "accuracy" else np.array(row.loss)


def _scale_of_accuracies(axes: Axes, rows: list[Row]) -> None:
    """The scale of the errors' logarithm."""
    axes.set_yscale("function", functions=(_of_error, lambda scaled: 100 - 10**-scaled))
    middle = np.median([accuracy for row in rows for accuracy in row.accuracy[:5]])
    best = max(accuracy for row in rows for accuracy in row.accuracy)
    shown = (100 * middle, 100 - 90 * max(1 - best, 0.001))
    axes.set(ylabel="test accuracy [%]", ylim=shown)
    axes.set_yticks([tick for tick in _TICKS if shown[0] <= tick < shown[1]])
    axes.yaxis.set_major_formatter("{x:g}")


def _scale_of_losses(axes: Axes, rows: list[Row]) -> None:
    """From the best loss to about where the runs start, or where the slowest are after a few rounds."""
    best = min(loss for row in rows for loss in row.loss)
    worst = max(max(row.loss[min(3, len(row.loss) - 1) :]) for row in rows if not row.failed)
    axes.set(ylabel="test loss [nats]", ylim=(best - 0.05 * (worst - best), worst))


def _shade(colour: str, place: int, places: int) -> tuple[float, ...]:
    """The colour of one of a scheme's budgets: light for the first, full for the last."""
    share = _LIGHTEST + (1 - _LIGHTEST) * (place + 1) / places if places > 1 else 1.0
    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def _of_error(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the logarithm of the error; both in percent."""
    scaled: NDArray[np.float64] = -np.log10(100 - np.minimum(accuracy, _BEST))
    return scaled


def _end(seeds: list[Row]) -> str:
    return shown_score(fmean(map(final_score, seeds)), metric_of(seeds))


def bytes_to_accuracy(rows: list[Row], file: Path) -> None:
    """Draw how many bytes a client uploads until an accuracy is reached; no bar where a seed never does."""
    named = groups(rows)
    figure, axes = plt.subplots(figsize=(11, 0.9 + 0.42 * len(named)))
    height = 0.8 / len(MARKS)
    for place, mark in enumerate(MARKS):
        for position, seeds in enumerate(named.values()):
            spent, reached = mean_reached(seeds, mark)
            y = position + (place - (len(MARKS) - 1) / 2) * height
            label = f"{100 * mark:g}%" if position == 0 else None
            axes.barh(y, spent or 0, height, color=f"C{place}", label=label)
            text = f" not by all seeds: {reached} of {len(seeds)}" if spent is None else f" {spent:,.0f}"
            axes.annotate(text, (1.2 * _LEAST if spent is None else spent, y), va="center", fontsize=7)
    axes.set_xlim(_LEAST, 3 * max(10 * _LEAST, axes.get_xlim()[1]))
    axes.set(xscale="log", xlabel="bytes uploaded by one client until the test accuracy is reached, mean of the seeds")
    axes.set_yticks(range(len(named)), list(named))
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    axes.legend(loc="lower right")
    figure.tight_layout()
    save(figure, file)
