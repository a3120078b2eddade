"""The parts of the protocol side by side: one table of all schemes, and one of a few."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.report import markdown
from simulations.report.rows import bytes_down, final_accuracy, groups


def overview(parts: Mapping[str, list[Row]]) -> str:
    """Show a line for each scheme, with its bytes and what it ends with in each part.

    Args:
        parts: rows of each part, by the part's name.
    """
    by_label = {part: groups(rows) for part, rows in parts.items()}
    most_first = sorted(by_label.values(), key=len, reverse=True)  # it has all in their order
    labels = dict.fromkeys(label for named in most_first for label in named)
    first = next(iter(parts.values()))[0].settings
    lines = []
    for label in labels:
        there = [named[label] for named in by_label.values() if label in named]
        up = _sizes([fmean(row.payload_bytes_up_mean for row in seeds) for seeds in there])
        down = _sizes([fmean(map(bytes_down, seeds)) for seeds in there])
        ends = [ends_of(named.get(label, [])) for named in by_label.values()]
        lines.append([label, up, down, *ends])
    head = (
        f"Accuracy of LeNet-5-Caffe on the test images of **{first.dataset}** after {first.rounds} rounds: mean "
        "of the seeds (worst to best). Payload per client and round, every header included; down, first models apart."
    )
    header = ["scheme", "up [B]", "down [B]", *map(part_name, parts.values())]
    return f"{head}\n\n{markdown.table(header, lines)}"


HEADLINE = ("dense", "surp 218 B", "surp 218 B, down surp 2,000 B", "stc 218 B", "top-k 2,050 B")
HEADLINE_PARTS = ("iid", "dirichlet", "sampled")


def headline(parts: Mapping[str, list[Row]]) -> str:
    """Show what a newcomer reads first: five schemes, the means alone.

    Args:
        parts: rows of each part, by the part's name.
    """
    shown = {part: parts[part] for part in HEADLINE_PARTS}
    by_label = {part: groups(rows) for part, rows in shown.items()}
    lines = []
    for label in HEADLINE:
        there = [named[label] for named in by_label.values()]
        up, down = ([fmean(map(each, seeds)) for seeds in there] for each in (_bytes_up, bytes_down))
        ends = [f"{fmean(map(final_accuracy, seeds)):.2%}" for seeds in there]
        lines.append([label, _sizes(up), _sizes(down), *ends])
    return markdown.table(["scheme", "up [B]", "down [B]", *map(part_name, shown.values())], lines)


def _bytes_up(row: Row) -> float:
    return row.payload_bytes_up_mean


def part_name(rows: list[Row]) -> str:
    """Name a part by how images and rounds are shared out."""
    first = rows[0].settings
    return partition_name(first) + (
        f", {first.clients_per_round:,} of {first.clients:,} a round" if first.clients_per_round else ""
    )


def partition_name(settings: Settings) -> str:
    """Name how examples are shared out."""
    how, _, alpha = settings.partition.partition(":")
    names = {"iid": "IID", "dirichlet": f"Dirichlet {alpha}", "label-skew": f"label skew {alpha}"}
    return names.get(how, how)


def _sizes(of_parts: list[float]) -> str:
    """One number of bytes, or two where the parts differ by more than a hundredth."""
    low, high = min(of_parts), max(of_parts)
    return f"{fmean(of_parts):,.0f}" if high < 1.01 * low else f"{low:,.0f} to {high:,.0f}"


def ends_of(seeds: list[Row]) -> str:
    """The mean final accuracy of a scheme's seeds, and the worst and the best; a dash where there are none."""
    ends = [100 * final_accuracy(row) for row in seeds]
    diverged = sum(map(math.isnan, ends))
    if not ends or diverged:
        return f"diverged ({diverged} of {len(ends)})" if ends else "—"
    spread = f"{min(ends):.2f} to {max(ends):.2f}" if len(ends) > 1 else "one seed"
    return f"{fmean(ends):.2f} % ({spread})"
