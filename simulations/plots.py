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

from simulations.results import Row, groups, protocol


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
