"""The variance of unbiased schemes at equal bytes: a line for each model and share of its bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from simulations.app.workloads import WORKLOADS
from simulations.report import markdown


@dataclass(frozen=True)
class Measured:
    """What was measured of one model at one share of its bytes.

    Attributes:
        workload: by its name.
        bytes: of a message, at most.
        ratio: how many times smaller than the model that is.
        variances: of each scheme, by its name: one an update, in the same order.
    """

    workload: str
    bytes: int
    ratio: int
    variances: Mapping[str, Sequence[float]]


def table(measured: Sequence[Measured]) -> str:
    """Show means over updates; and how many times larger EDEN's is, with the least that any update has."""
    lines = []
    for each in measured:
        ours, edens = each.variances["surp-unbiased"], each.variances["eden"]
        times = [theirs / own for theirs, own in zip(edens, ours, strict=True)]
        title, share = WORKLOADS[each.workload].title, f"{each.bytes:,} (1/{each.ratio:,})"
        lines.append(
            [title, share, f"{fmean(ours):.3g}", f"{fmean(edens):.3g}", f"{fmean(times):.2f} ({min(times):.2f})"]
        )
    count = len(measured[0].variances["eden"])
    head = (
        f"Variance, ‖v − decoded‖² / ‖v‖², of {count} updates of each model: the mean; and "
        "how many times SuRP's EDEN's is, on average and at least."
    )
    return f"{head}\n\n{markdown.table(['model', 'bytes', 'SuRP, unbiased', 'EDEN', 'times'], lines)}"
