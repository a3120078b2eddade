"""One setting changed at a time: what each lever ends with, and how much better that is with the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.report import markdown
from simulations.report.overview import ends_of
from simulations.report.rows import final_accuracy


def table(rows: Sequence[Row], levers: Mapping[str, Sequence[Settings]]) -> str:
    """Show a line for each lever that has rows; differences are to the first one's, over the seeds that both have.

    Args:
        rows: of all levers; at least one.
        levers: the runs of each, by its name; the first one is what others are compared with.
    """
    found = {
        name: {row.settings.seed: row for row in rows if any(row.settings.same_run(run) for run in runs)}
        for name, runs in levers.items()
    }
    base = next(iter(found.values()))
    lines = []
    for name, seeds in found.items():
        both = [(final_accuracy(row) - final_accuracy(base[seed])) for seed, row in seeds.items() if seed in base]
        change = f"{100 * fmean(both):+.2f}" if both and seeds is not base else "—"
        if seeds:
            lines.append([name, str(len(seeds)), ends_of(list(seeds.values())), change])
    first = rows[0].settings
    head = (
        f"{first.kind.title} on {first.held_out:,} held-out training images of **{first.dataset}** after "
        f"{first.rounds} rounds, {first.taking_part} of {first.clients} clients a round, {first.partition}, "
        f"{rows[0].budget} bytes: mean of the seeds (worst to best)."
    )
    return f"{head}\n\n{markdown.table(['change', 'seeds', 'accuracy', 'points more'], lines)}"
