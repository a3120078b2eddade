"""SuRP beside STC at equal bytes, as one table and one picture: errors of messages, accuracy of federated runs.

    python -m simulations.experiments.gate

Reads simulations/results/gate/results.json (experiments.compare) and simulations/results/messages/messages.json
(experiments.messages); writes gate.md and gate.png into the gate's folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from simulations.report.rows import Row

RESULTS = Path(__file__).resolve().parents[1] / "results"
SCHEMES = {"surp": ("SuRP", "C0", "o"), "stc": ("STC", "C1", "s")}


def accuracies(rows: list[Row], scheme: str, budget: int) -> list[float]:
    """Final accuracies in percent, one a seed."""
    return [100 * row["accuracy"][-1][1] for row in rows if (row["scheme"], row["budget"]) == (scheme, budget)]


def error(updates: list[dict[str, Any]], scheme: str, budget: int) -> float:
    """Mean relative error over the recorded updates; SuRP's against model and history."""
    context = "history" if scheme == "surp" else "none"
    wanted = {"scheme": scheme, "budget": budget, "context": context}
    return fmean(row["error"] for row in updates if all(row.get(key) == value for key, value in wanted.items()))


def table(rows: list[Row], updates: list[dict[str, Any]]) -> str:
    """Budgets down; errors and accuracies of both across."""
    budgets = sorted({row["budget"] for row in rows if row["budget"] is not None})
    lines = [
        f"Accuracy on **{rows[0]['dataset']}** after {rows[0]['rounds']} rounds, mean (and each seed).", "",
        "| bytes | relative error: STC | SuRP | test accuracy: STC | SuRP |", "| ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for budget in budgets:
        cells = [f"{budget:,}", *(f"{error(updates, scheme, budget):.4f}" for scheme in ("stc", "surp"))]
        for scheme in ("stc", "surp"):
            ends = accuracies(rows, scheme, budget)
            cells.append(f"{fmean(ends):.2f}% (" + ", ".join(f"{end:.2f}" for end in ends) + ")")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(rows: list[Row], updates: list[dict[str, Any]], file: Path) -> None:
    """Error and accuracy against bytes; the band is from the worst seed to the best."""
    budgets = sorted({row["budget"] for row in rows if row["budget"] is not None})
    figure, (errors, ends) = plt.subplots(1, 2, figsize=(11, 4.4))
    for scheme, (label, colour, marker) in SCHEMES.items():
        style: dict[str, Any] = {"color": colour, "marker": marker, "linewidth": 1.8, "label": label}
        errors.plot(budgets, [error(updates, scheme, budget) for budget in budgets], **style)
        found = [accuracies(rows, scheme, budget) for budget in budgets]
        ends.plot(budgets, [fmean(end) for end in found], **style)
        ends.fill_between(budgets, [min(end) for end in found], [max(end) for end in found], color=colour, alpha=0.2)
    errors.set(ylabel="relative error of the decoded update, mean")
    ends.set(ylabel=f"test accuracy after {rows[0]['rounds']} rounds [%]")
    for axes in (errors, ends):
        axes.set(xscale="log", xlabel="bytes of a message, header included")
        axes.xaxis.set_major_locator(FixedLocator(budgets))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=140)
    plt.close(figure)


def main() -> int:
    """Write gate.md and gate.png."""
    folder = RESULTS / "gate"
    rows: list[Row] = json.loads((folder / "results.json").read_text())
    updates = json.loads((RESULTS / "messages" / "messages.json").read_text())
    (folder / "gate.md").write_text(table(rows, updates))
    draw(rows, updates, folder / "gate.png")
    print(table(rows, updates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
