"""Many clients that keep nothing, side by side: schemes at equal bytes, a column for each way to share examples out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from simulations.app.row import Row
from simulations.report import markdown
from simulations.report.overview import ends_of, partition_name
from simulations.report.rows import groups


def table(parts: Iterable[Sequence[Row]]) -> str:
    """Show a line for each scheme and budget, the fewest bytes first, and a column for each part that has rows.

    Args:
        parts: the rows of each dataset and partition.
    """
    found = [list(rows) for rows in parts if rows]
    by_scheme = [_by_scheme(rows) for rows in found]
    sizes = {
        key: fmean(row.payload_bytes_up_mean for named in by_scheme for row in named.get(key, []))
        for named in by_scheme
        for key in named
    }
    lines = [
        [key, f"{sizes[key]:,.0f}", *(ends_of(named.get(key, [])) for named in by_scheme)]
        for key in sorted(sizes, key=sizes.__getitem__)
    ]
    first = found[0][0].settings
    head = (
        f"Accuracy of {first.kind.title} on the test images after {first.rounds} rounds of {first.taking_part} of "
        f"{first.clients:,} clients, {first.local_steps} steps of {first.batch_size} {first.kind.unit} each: mean of "
        "the seeds (worst to best). No client keeps anything. Payload per client and round, every header included."
    )
    titles = [f"{rows[0].settings.dataset}, {partition_name(rows[0].settings)}" for rows in found]
    return f"{head}\n\n{markdown.table(['scheme', 'up [B]', *titles], lines)}"


def _by_scheme(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of one scheme, budget and options; no client has a memory, so that `stateless` need not be said."""
    return {label.removesuffix(", stateless 1"): seeds for label, seeds in groups(rows).items()}
