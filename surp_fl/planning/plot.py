"""An analysis as a picture: bytes on the wire and time of the run over the budget, dense as a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from surp_fl.planning.federation import PlanError
from surp_fl.planning.options import Analysis, Option
from surp_fl.planning.text import protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS_PER_INCH = 100
_DENSE = "0.35"  # grey


def draw(analysis: Analysis, file: Path) -> None:
    """Write a PNG.

    Args:
        analysis: what `plan` gives.
        file: to write.

    Raises:
        PlanError: matplotlib is not installed, or the file's name does not end in .png.
        OSError: the file cannot be written.
    """
    if file.suffix.lower() != ".png":
        raise PlanError(f"the picture is to be {file.name!r}; expected a name with .png: give one")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as fault:
        raise PlanError(
            "a picture needs matplotlib, which is not installed: pip install matplotlib, or leave out --plot"
        ) from fault
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_bytes(left, analysis)
    _draw_time(right, analysis)
    for axes in (left, right):
        axes.set(xlabel="budget up [bytes of a message]", xscale="log")
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(protocol(analysis.federation), fontsize=9)
    figure.savefig(file, dpi=_DOTS_PER_INCH, format="png")


def _draw_bytes(axes: Axes, analysis: Analysis) -> None:
    axes.axhline(analysis.dense.run_wire / 1e6, color=_DENSE, linestyle="-.", label="dense, on the wire")
    for place, options in enumerate(_by_downlink(analysis)):
        label, colour = _label(options[0]), f"C{place}"
        budgets = [option.budget or 0 for option in options]
        wire = [option.run_wire / 1e6 for option in options]
        payload = [option.run_payload / 1e6 for option in options]
        own = [all_of_it - part for all_of_it, part in zip(wire, payload, strict=True)]
        axes.plot(budgets, wire, color=colour, marker="o", label=f"{label}: on the wire")
        axes.plot(budgets, payload, color=colour, linestyle="--", marker=".", label=f"{label}: payload")
        axes.plot(budgets, own, color=colour, linestyle=":", marker=".", label=f"{label}: Flower's part")
    _mark(axes, analysis.sensible, analysis.sensible.run_wire / 1e6)
    axes.set(ylabel="bytes of the run, all clients, both ways [MB]", yscale="log")


def _draw_time(axes: Axes, analysis: Analysis) -> None:
    dense = analysis.dense.run_seconds / 60
    axes.axhline(dense, color=_DENSE, linestyle="-.")
    for place, options in enumerate(_by_downlink(analysis)):
        minutes = [option.run_seconds / 60 for option in options]
        axes.plot([option.budget or 0 for option in options], minutes, color=f"C{place}", marker="o")
    _mark(axes, analysis.sensible, analysis.sensible.run_seconds / 60)
    axes.set(
        ylabel="time of the run [min]",
        ylim=(0, 1.1 * max(dense, *(each.run_seconds / 60 for each in analysis.options))),
    )


def _mark(axes: Axes, option: Option, height: float) -> None:
    """A ring around the sensible option."""
    axes.plot(
        [option.budget or 0], [height], linestyle="none", marker="o", markersize=13, fillstyle="none", color="black",
        label="sensible",
    )  # fmt: skip


def _by_downlink(analysis: Analysis) -> list[list[Option]]:
    downlinks = dict.fromkeys(option.downlink for option in analysis.options)
    return [[option for option in analysis.options if option.downlink == downlink] for downlink in downlinks]


def _label(option: Option) -> str:
    return "whole models down" if option.downlink is None else f"{option.downlink:,} B down"
