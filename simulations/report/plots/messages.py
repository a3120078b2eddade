"""What the bits of messages say, and SuRP beside STC at equal bytes."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from simulations.app.row import Row
from simulations.app.schemes import parse
from simulations.report.gate import NAMES, accuracies, budgets_of, error
from simulations.report.messages import Measured
from simulations.report.plots.style import save, style_of
from simulations.report.rows import text_of


def contents_of_messages(rows: list[Measured], file: Path) -> None:
    """Draw what the bits of each scheme's messages say, in bits for each coordinate that is sent."""
    schemes = list(rows[0]["contents"])
    figure, axes = plt.subplots(figsize=(11, 0.9 + 0.5 * len(schemes)))
    for position, scheme in enumerate(schemes):
        mine = [row["contents"][scheme] for row in rows]
        whole = fmean(8 * contents["bytes"] for contents in mine)
        sent = fmean(contents["coordinates"] for contents in mine)
        bits = {
            "indices": fmean(contents["indices"] for contents in mine),
            "signs": fmean(contents["signs"] for contents in mine),
            "magnitudes": fmean(contents["magnitudes"] for contents in mine),
        }
        bits = {"header": whole - sum(bits.values())} | bits
        left = 0.0
        for place, (part, spent) in enumerate(bits.items()):
            width = spent / sent
            axes.barh(position, width, left=left, color=f"C{place}", label=part if position == 0 else None)
            if width > 1:
                axes.annotate(f"{width:.1f}", (left + width / 2, position), va="center", ha="center", fontsize=8)
            left += width
        terms = ", most by rank-one terms" if whole < sent else ""  # less than a bit for each
        axes.annotate(
            f"  {sent:,.0f} coordinates in {whole / 8:,.0f} B{terms}", (left, position), va="center", fontsize=8
        )
    axes.set_xlim(0, 1.25 * axes.get_xlim()[1])
    axes.set_yticks(range(len(schemes)), [text_of(*parse(scheme)) for scheme in schemes])
    axes.invert_yaxis()
    axes.set_xlabel("bits for each coordinate that is sent, mean over recorded updates")
    axes.grid(alpha=0.3, axis="x")
    axes.legend(loc="upper right", title="what they say")
    figure.tight_layout()
    save(figure, file)


def surp_beside_stc(rows: list[Row], updates: list[Measured], file: Path) -> None:
    """Error and accuracy against bytes; the band is from the worst seed to the best."""
    budgets = budgets_of(rows)
    figure, (errors, ends) = plt.subplots(1, 2, figsize=(11, 4.4))
    for scheme, label in NAMES.items():
        colour, marker = style_of(scheme)
        style: dict[str, Any] = {"color": colour, "marker": marker, "linewidth": 1.8, "label": label}
        errors.plot(budgets, [error(updates, scheme, budget) for budget in budgets], **style)
        found = [accuracies(rows, scheme, budget) for budget in budgets]
        ends.plot(budgets, [fmean(end) for end in found], **style)
        ends.fill_between(budgets, [min(end) for end in found], [max(end) for end in found], color=colour, alpha=0.2)
    errors.set(ylabel="relative error of the decoded update, mean")
    ends.set(ylabel=f"test accuracy after {rows[0].settings.rounds} rounds [%]")
    for axes in (errors, ends):
        axes.set(xscale="log", xlabel="bytes of a message, header included")
        axes.xaxis.set_major_locator(FixedLocator(budgets))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    save(figure, file)
