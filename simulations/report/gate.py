"""SuRP beside STC at equal bytes: errors of recorded updates and accuracies of federated runs, as one table."""

from __future__ import annotations

from statistics import fmean

from simulations.app.row import Row
from simulations.report import markdown
from simulations.report.messages import BUDGETS, Measured

NAMES = {"surp": "SuRP", "stc": "STC"}


def budgets_of(rows: list[Row]) -> list[int]:
    """The budgets that were run, ascending."""
    return sorted({row.budget for row in rows if row.budget is not None})


def accuracies(rows: list[Row], scheme: str, budget: int) -> list[float]:
    """Final accuracies in percent, one a seed."""
    return [100 * row.accuracy[-1] for row in rows if (row.scheme, row.budget) == (scheme, budget)]


def error(updates: list[Measured], scheme: str, budget: int) -> float:
    """Mean relative error over the recorded updates; SuRP's with model and history as context."""
    place = BUDGETS.index(budget)
    return fmean((row["surp_error"]["history"] if scheme == "surp" else row["stc_error"])[place] for row in updates)


def table(rows: list[Row], updates: list[Measured]) -> str:
    """Budgets down; errors and accuracies of both across."""
    lines = []
    for budget in budgets_of(rows):
        cells = [f"{budget:,}", *(f"{error(updates, scheme, budget):.4f}" for scheme in ("stc", "surp"))]
        for scheme in ("stc", "surp"):
            ends = accuracies(rows, scheme, budget)
            cells.append(f"{fmean(ends):.2f}% (" + ", ".join(f"{end:.2f}" for end in ends) + ")")
        lines.append(cells)
    header = ["bytes", "relative error: STC", "SuRP", "test accuracy: STC", "SuRP"]
    what = rows[0].settings
    head = f"Accuracy on **{what.dataset}** after {what.rounds} rounds, mean (and each seed)."
    return f"{head}\n\n{markdown.table(header, lines, 'r' * len(header))}"
