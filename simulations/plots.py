"""Accuracy by round, and accuracy against the bytes that a client has uploaded."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from simulations.results import MARKS, Row, bytes_to, groups, protocol

_LEAST = 1000  # bytes, where the axis begins


def accuracy_vs_bytes(rows: list[Row], file: Path) -> None:
    """Draw accuracy by round and by uploaded bytes into a PNG: the seeds' mean, in a band of all."""
    figure, (by_round, by_bytes) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
    for place, (label, seeds) in enumerate(groups(rows).items()):
        accuracies = 100 * np.array([[accuracy for _, accuracy in row["accuracy"][1:]] for row in seeds])
        rounds = [server_round for server_round, _ in seeds[0]["accuracy"][1:]]
        spent = [[fmean(sizes) for sizes in row["payload_bytes_up_by_round"]] for row in seeds]
        uploaded = np.cumsum(np.mean(spent, axis=0)) * (seeds[0].get("sampled") or seeds[0]["clients"])
        uploaded /= seeds[0]["clients"]
        style: dict[str, Any] = {"color": f"C{place % 10}", "linewidth": 1.8, "linestyle": "-" if place < 10 else "--"}
        for axes, x in ((by_round, rounds), (by_bytes, uploaded)):
            axes.plot(x, accuracies.mean(axis=0), label=f"{label}: {accuracies[:, -1].mean():.2f}%", **style)
            axes.fill_between(x, accuracies.min(axis=0), accuracies.max(axis=0), color=style["color"], alpha=0.18)
    settled = [accuracy for row in rows for _, accuracy in row["accuracy"][-max(1, len(row["accuracy"]) * 3 // 4) :]]
    by_round.set(xlabel="round", ylabel="test accuracy [%]", ylim=(max(0.0, 100 * min(settled) - 5), 100.5))
    by_round.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_bytes.set(xlabel="bytes uploaded by one client so far (messages, headers included)", xscale="log")
    for axes in (by_round, by_bytes):
        axes.grid(alpha=0.3)
    by_round.legend(loc="lower right", fontsize=8)
    title = protocol(rows).replace("**", "").replace(" Bytes are per client and round.", "")
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=140)
    plt.close(figure)


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
