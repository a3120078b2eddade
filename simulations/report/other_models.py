"""Models that are not LeNet-5 on MNIST, side by side: schemes at equal shares of each model's bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from simulations.app.row import Row
from simulations.report import markdown
from simulations.report.rows import final_score, shown_score

SHARES = ("1/8,000", "1/2,000", "1/1,000", "1/100")  # of the model's bytes, about
_BUDGETED = ("surp", "stc", "top-k")
_HEADLINE = ("no training", "dense", *(f"surp {share}" for share in SHARES), "stc 1/1,000", "top-k 1/1,000")


@dataclass(frozen=True)
class Measured:
    """What was measured of one model.

    Attributes:
        rows: of all schemes; at least one.
        budgets: bytes of a message, at each of the shares.
    """

    rows: tuple[Row, ...]
    budgets: tuple[int, ...]

    @property
    def title(self) -> str:
        """The model, its dataset and what the figures are."""
        settings = self.rows[0].settings
        metric = "accuracy" if settings.kind.metric == "accuracy" else "loss, nats"
        return f"{settings.kind.title}, {settings.dataset}: {metric}"

    def cell(self, name: str) -> str:
        """The mean final score of a scheme at a share, with the number of its seeds; or of the initial models."""
        metric = self.rows[0].settings.kind.metric
        if name == "no training":
            return shown_score(
                fmean(row.accuracy[0] if metric == "accuracy" else row.loss[0] for row in self.rows), metric
            )
        scheme, _, share = name.partition(" ")
        budget = self.budgets[SHARES.index(share)] if share else None
        seeds = [row for row in self.rows if (row.scheme, row.budget) == (scheme, budget)]
        if not seeds:
            return "—"
        many = f" ({len(seeds)} seeds)" if len(seeds) > 1 else ""
        return shown_score(fmean(map(final_score, seeds)), metric) + many


def _schemes() -> list[str]:
    """The lines of the whole table."""
    return ["no training", "dense", "qsgd", *(f"{name} {share}" for name in _BUDGETED for share in SHARES)]


def table(models: Mapping[str, Measured]) -> str:
    """Show a line for each scheme and share, and a column for each model that has rows."""
    found = list(models.values())
    sizes = ["bytes of the model", *(f"{model.rows[0].dense_bytes:,}" for model in found)]
    bytes_at = [
        [f"{share} of it", *(f"{model.budgets[place]:,}" for model in found)] for place, share in enumerate(SHARES)
    ]
    lines = [[name, *(model.cell(name) for model in found)] for name in _schemes()]
    return markdown.table(["scheme", *(model.title for model in found)], [sizes, *bytes_at, *lines])


def headline(models: Mapping[str, Measured]) -> str:
    """Show a line for each model that has rows, with the schemes that most readers ask for."""
    lines = [[model.title, *map(model.cell, _HEADLINE)] for model in models.values()]
    return markdown.table(["model, data: measure", *_HEADLINE], lines)
