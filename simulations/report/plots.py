"""Accuracy by round, and accuracy against the bytes that a client has uploaded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator

from simulations.app.schemes import parse
from simulations.report.rows import Row, bytes_to, final_accuracy, groups, text_of
from simulations.report.tables import MARKS, protocol

_STYLES = {  # of a family of schemes: colour, marker; in the order of legends
    "surp": ("C0", "o"),
    "surp both ways": ("C9", "D"),
    "stc": ("C3", "s"),
    "rtop-k": ("C2", "^"),
    "dgc": ("C4", "v"),
    "top-k": ("C1", "P"),
    "qsgd": ("C5", "X"),
    "dense": ("0.35", "*"),
    "surp-paper": ("C6", "p"),
}
_DASHES = ("-", "--", ":", "-.", (0, (1, 4)))  # of one scheme's budgets and options
_LIGHTEST = 0.45  # share of its colour, where a scheme has several budgets
_LEAST = 1000  # bytes, where the axis begins
_LEGEND = 3  # columns
_TICKS = (20, 50, 70, 80, 90, 95, 97, 98, 98.5, 99, 99.3, 99.5, 99.8)  # of accuracies
_BEST = 99.9  # above it, accuracies are drawn as it: the scale has no end


def family_of(row: Row) -> str:
    """Name a scheme at all its budgets, apart from itself with the way down compressed."""
    return row["scheme"] + (" both ways" if row.get("downlink") else "")


def style_of(family: str) -> tuple[str, str]:
    """Its colour and marker, the same in all pictures."""
    return _STYLES.get(family, ("k", "."))


def in_order(families: Iterable[str]) -> list[str]:
    """Put families into the order of legends."""
    known = list(_STYLES)
    return sorted(families, key=lambda family: known.index(family) if family in known else len(known))


def accuracy_vs_bytes(rows: list[Row], file: Path) -> None:
    """Draw accuracy by round and by uploaded bytes into a PNG: the seeds' mean, in a band of all.

    The scale of the accuracies is that of the errors' logarithm.
    """
    named = groups(rows)
    of_family = Counter(family_of(seeds[0]) for seeds in named.values())
    drawn: Counter[str] = Counter()
    lines_of_legend = -(-len(named) // _LEGEND)
    size = (11, 4.4 + 0.19 * lines_of_legend)
    figure, (by_round, by_bytes) = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    for label, seeds in named.items():
        last = min(len(row["accuracy"]) for row in seeds)  # not all alike, where one diverged
        accuracies = 100 * np.array([[accuracy for _, accuracy in row["accuracy"][1:last]] for row in seeds])
        rounds = [server_round for server_round, _ in seeds[0]["accuracy"][1:last]]
        spent = [[fmean(sizes) for sizes in row["payload_bytes_up_by_round"][: last - 1]] for row in seeds]
        uploaded = np.cumsum(np.mean(spent, axis=0)) * (seeds[0].get("sampled") or seeds[0]["clients"])
        uploaded /= seeds[0]["clients"]
        family = family_of(seeds[0])
        dashes = _DASHES[drawn[family] % len(_DASHES)]
        colour = _shade(style_of(family)[0], drawn[family], of_family[family])
        style: dict[str, Any] = {"color": colour, "linewidth": 1.6, "linestyle": dashes}
        drawn[family] += 1
        for axes, x in ((by_round, rounds), (by_bytes, uploaded)):
            axes.plot(x, accuracies.mean(axis=0), label=f"{label}: {_end(seeds)}", **style)
            axes.fill_between(x, accuracies.min(axis=0), accuracies.max(axis=0), color=style["color"], alpha=0.15)
    by_round.set_yscale("function", functions=(_of_error, lambda scaled: 100 - 10**-scaled))
    middle = np.median([accuracy for row in rows for _, accuracy in row["accuracy"][:5]])
    best = max(accuracy for row in rows for _, accuracy in row["accuracy"])
    shown = (100 * middle, 100 - 70 * max(1 - best, 0.001))
    by_round.set(xlabel="round", ylabel="test accuracy [%]", ylim=shown)
    by_round.set_yticks([tick for tick in _TICKS if shown[0] <= tick < shown[1]])
    by_round.yaxis.set_major_formatter("{x:g}")
    by_round.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_bytes.set(xlabel="bytes uploaded by one client so far (messages, headers included)", xscale="log")
    for axes in (by_round, by_bytes):
        axes.grid(alpha=0.3)
    figure.legend(*by_round.get_legend_handles_labels(), loc="outside lower center", ncols=_LEGEND, fontsize=8)
    title = protocol(rows).replace("**", "").replace(" Bytes are per client and round.", "")
    lines = math.ceil(len(title) / 140)
    figure.suptitle(fill(title, len(title) // lines + 15), fontsize=9)  # lines of like length
    figure.savefig(file, dpi=140)
    plt.close(figure)


def _shade(colour: str, place: int, places: int) -> tuple[float, ...]:
    """The colour of one of a scheme's budgets: light for the first, full for the last."""
    share = _LIGHTEST + (1 - _LIGHTEST) * (place + 1) / places if places > 1 else 1.0
    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def _of_error(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the logarithm of the error; both in percent."""
    scaled: NDArray[np.float64] = -np.log10(100 - np.minimum(accuracy, _BEST))
    return scaled


def _end(seeds: list[Row]) -> str:
    ends = [final_accuracy(row) for row in seeds]
    return "diverged" if np.isnan(ends).any() else f"{fmean(ends):.2%}"


def bytes_to_accuracy(rows: list[Row], file: Path) -> None:
    """Draw how many bytes a client uploads until an accuracy is reached; no bar where a seed never does."""
    named = groups(rows)
    figure, axes = plt.subplots(figsize=(11, 0.9 + 0.42 * len(named)))
    height = 0.8 / len(MARKS)
    for place, mark in enumerate(MARKS):
        for position, seeds in enumerate(named.values()):
            spent = [bytes_to(row, mark) for row in seeds]
            known = [reached for reached in spent if reached is not None]
            y = position + (place - (len(MARKS) - 1) / 2) * height
            label = f"{100 * mark:g}%" if position == 0 else None
            if len(known) == len(spent):
                axes.barh(y, fmean(known), height, color=f"C{place}", label=label)
                axes.annotate(f" {fmean(known):,.0f}", (fmean(known), y), va="center", fontsize=7)
            else:
                axes.barh(y, 0, height, color=f"C{place}", label=label)
                axes.annotate(
                    f" not by all seeds: {len(known)} of {len(spent)}", (1.2 * _LEAST, y), va="center", fontsize=7
                )
    axes.set_xlim(_LEAST, 3 * max(10 * _LEAST, axes.get_xlim()[1]))
    axes.set(xscale="log", xlabel="bytes uploaded by one client until the test accuracy is reached, mean of the seeds")
    axes.set_yticks(range(len(named)), list(named))
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(file, dpi=140)
    plt.close(figure)


def contents_of_messages(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw what the bits of each scheme's messages say, in bits for each coordinate that is sent."""
    counted = [row for row in rows if "contents_of" in row]
    schemes = list(dict.fromkeys(row["contents_of"] for row in counted))
    figure, axes = plt.subplots(figsize=(11, 0.9 + 0.5 * len(schemes)))
    for position, scheme in enumerate(schemes):
        mine = [row for row in counted if row["contents_of"] == scheme]
        whole = fmean(8 * row["bytes"] for row in mine)
        sent = fmean(row["coordinates"] for row in mine)
        bits = {part: fmean(row[part] for row in mine) for part in ("indices", "signs", "magnitudes")}
        bits = {"header": whole - sum(bits.values())} | bits
        left = 0.0
        for place, (part, spent) in enumerate(bits.items()):
            width = spent / sent
            axes.barh(position, width, left=left, color=f"C{place}", label=part if position == 0 else None)
            if width > 1:
                axes.annotate(f"{width:.1f}", (left + width / 2, position), va="center", ha="center", fontsize=8)
            left += width
        axes.annotate(f"  {sent:,.0f} coordinates in {whole / 8:,.0f} B", (left, position), va="center", fontsize=8)
    axes.set_xlim(0, 1.25 * axes.get_xlim()[1])
    axes.set_yticks(range(len(schemes)), [text_of(*parse(scheme)) for scheme in schemes])
    axes.invert_yaxis()
    axes.set_xlabel("bits for each coordinate that is sent, mean over recorded updates")
    axes.grid(alpha=0.3, axis="x")
    axes.legend(loc="upper right", title="what they say")
    figure.tight_layout()
    figure.savefig(file, dpi=140)
    plt.close(figure)
