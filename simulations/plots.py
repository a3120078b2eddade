"""Accuracy by round, and accuracy against the bytes that a client has uploaded."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from statistics import fmean

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from simulations.results import Row, protocol


def label_of(row: Row) -> str:
    """Name a row in a legend."""
    budget = "" if row["budget"] is None else f" {row['budget']:,} B"
    return f"{row['scheme']}{budget}"


def accuracy_vs_bytes(rows: list[Row], file: Path) -> None:
    """Draw both panels into a PNG; rows of one scheme and budget share a colour."""
    figure, (by_round, by_bytes) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
    colours = {label: f"C{place}" for place, label in enumerate(dict.fromkeys(map(label_of, rows)))}
    seen: set[str] = set()
    for row in rows:
        label = label_of(row)
        shown = None if label in seen else f"{label}: {row['accuracy'][-1][1]:.1%}"
        style = {"color": colours[label], "label": shown, "linewidth": 1.8}
        seen.add(label)
        rounds = [server_round for server_round, _ in row["accuracy"]][1:]
        accuracies = [100 * accuracy for _, accuracy in row["accuracy"]][1:]
        uploaded = list(accumulate(fmean(sizes) for sizes in row["payload_bytes_up_by_round"]))
        by_round.plot(rounds, accuracies, **style)
        by_bytes.plot(uploaded, accuracies, marker=".", **style)
    low = min(accuracy for row in rows for _, accuracy in row["accuracy"][-max(1, len(row["accuracy"]) * 3 // 4) :])
    by_round.set(xlabel="round", ylabel="test accuracy [%]", ylim=(max(0.0, 100 * low - 5), 100.5))
    by_round.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_bytes.set(xlabel="bytes uploaded by one client so far (messages, headers included)", xscale="log")
    for axes in (by_round, by_bytes):
        axes.grid(alpha=0.3)
    by_round.legend(loc="lower right")
    title = protocol(rows).replace("**", "").replace(" Bytes are per client and round.", "")
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=140)
    plt.close(figure)
