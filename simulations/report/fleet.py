"""Parts of the protocol at equal bytes of the whole fleet: few clients a round with large messages, or many with small.

Bytes of the fleet are those that all clients of a round upload together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.report import markdown
from simulations.report.overview import ends_of, partition_name
from simulations.report.rows import groups, label_of

# each without options, and with whole models going down
_SHOWN = ("dense", "surp", "surp-unbiased", "stc", "top-k", "dgc", "qsgd")


@dataclass(frozen=True)
class Point:
    """What one scheme costs and reaches with one number of clients a round.

    Attributes:
        label: of the scheme and its budget.
        taking_part: clients of a round.
        fleet_bytes: that they upload together in a round.
        seeds: the rows, by how examples are shared out.
    """

    label: str
    taking_part: int
    fleet_bytes: float
    seeds: Mapping[str, list[Row]]


def points_of(parts: Mapping[str, list[Row]]) -> list[Point]:
    """All schemes that are shown, with all numbers of clients a round; the fewest bytes first."""
    found: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for rows in parts.values():
        for seeds in groups(rows).values():
            settings, first = seeds[0].settings, seeds[0]
            if first.scheme in _SHOWN and not first.options and not settings.downlink:
                found.setdefault((label_of(first), settings.taking_part), {})[settings.partition] = seeds
    points = [
        Point(label, taking_part, taking_part * fmean(_payloads(seeds)), seeds)
        for (label, taking_part), seeds in found.items()
    ]
    return sorted(points, key=lambda point: point.fleet_bytes)


def partitions_of(parts: Mapping[str, list[Row]]) -> dict[str, str]:
    """The partitions of all parts, and how people name them."""
    return {rows[0].settings.partition: partition_name(rows[0].settings) for rows in parts.values() if rows}


def table(parts: Mapping[str, list[Row]]) -> str:
    """Show a line for each scheme and number of clients a round, in the order of the fleet's bytes.

    Args:
        parts: rows of each part of the protocol, by the part's name.
    """
    partitions = partitions_of(parts)
    first: Settings = next(iter(parts.values()))[0].settings
    lines = [
        [
            f"{point.fleet_bytes:,.0f}", point.label, f"{point.taking_part} of {first.clients}",
            *(ends_of(point.seeds.get(partition, [])) for partition in partitions),
        ]
        for point in points_of(parts)
    ]  # fmt: skip
    head = (
        f"Accuracy of {first.kind.title} on the test images of **{first.dataset}** after {first.rounds} rounds: mean "
        "of the seeds (worst to best). Bytes are what all clients of a round upload together, every header included."
    )
    header = ["up, all clients of a round [B]", "scheme", "clients a round", *partitions.values()]
    return f"{head}\n\n{markdown.table(header, lines, align='rl' + 'r' * (len(header) - 2))}"


def _payloads(seeds: Mapping[str, list[Row]]) -> list[float]:
    """Mean bytes of a message in each row, of all partitions."""
    return [row.payload_bytes_up_mean for rows in seeds.values() for row in rows]
