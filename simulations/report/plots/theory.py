"""The paper's theory: distortion against rate of i.i.d. sources, and what bounds and asymptotics promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from simulations.report.plots.style import save
from simulations.report.theory import SOURCES, Curve, Measured, Network, Refreshes, bound_of, slope_of

_MARKERS, _COLOURS = {1: "o", 2: "s"}, {1: "C0", 2: "C1"}  # by algorithm


def distortion_against_rate(found: Sequence[Measured], file: Path) -> None:
    """Draw distortions of both sources against the rate, and the rate in units of R(D): of indices, and of sets."""
    curves = [each for each in found if isinstance(each, Curve)]
    sizes = sorted({each.n for each in curves})
    colours = dict(zip(sizes, mpl.colormaps["viridis"](np.linspace(0, 0.87, len(sizes))), strict=True))
    figure, (first, second, ratios) = plt.subplots(1, 3, figsize=(11.5, 4.2), layout="constrained")
    for each in curves:
        axes, colour = (first if each.algorithm == 1 else second), colours[each.n]
        axes.plot(each.rates, 1 - np.array(each.reductions), color=colour, label=f"n = {_power(each.n)}")
        axes.plot(each.set_rates, 1 - np.array(each.set_reductions), color=colour, linestyle="--", linewidth=1)
        if each.algorithm == 1:
            _ratio(ratios, each.rates, each.reductions, colour, "-")
            _ratio(ratios, each.set_rates, each.set_reductions, colour, "--")
    rates = np.linspace(0, 2, 200)
    for axes, algorithm in ((first, 1), (second, 2)):
        axes.plot(rates, np.exp(-rates), color="black", linewidth=2, label="ideal: R(D) = −ln(λD)")
        axes.set(xlim=(0, 2), ylim=(0.1, 1), xlabel="rate [nats a symbol]", ylabel="L1 distortion [1/λ]")
        axes.set_title(SOURCES[algorithm])
    ratios.axhline(1, color="black", linewidth=2)
    ratios.set(xscale="log", xlim=(1e-4, 0.6), ylim=(0.9, 4.5), title="Algorithm 1, beside the ideal")
    ratios.set(xlabel="distortion that was removed [1/λ]", ylabel="rate, in units of R(D)")
    for axes in (first, second, ratios):
        axes.grid(alpha=0.3)
    handles, labels = first.get_legend_handles_labels()
    handles += [Line2D([], [], color="0.4"), Line2D([], [], color="0.4", linestyle="--", linewidth=1)]
    labels += ["indices, as the paper counts them", "steps of like thresholds as sets"]
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    save(figure, file)


def _ratio(axes: Axes, rates: Sequence[float], reductions: Sequence[float], colour: str, line: str) -> None:
    axes.plot(reductions, np.array(rates) / -np.log1p(-np.array(reductions)), line, color=colour, linewidth=1.4)


def _power(n: int) -> str:
    return f"$10^{{{round(math.log10(n))}}}$"


def slopes_and_bounds(found: Sequence[Measured], file: Path) -> None:
    """Draw the slope at zero rate, the probability of a refresh in the first step, and Theorem 1's slack."""
    figure, (slopes, refreshes, networks) = plt.subplots(1, 3, figsize=(11.5, 3.8), layout="constrained")
    _slopes(slopes, [each for each in found if isinstance(each, Curve)])
    _refreshes(refreshes, [each for each in found if isinstance(each, Refreshes)])
    _networks(networks, [each for each in found if isinstance(each, Network)])
    for axes in (slopes, refreshes, networks):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7.5)
    save(figure, file)


def _slopes(axes: Axes, curves: Sequence[Curve]) -> None:
    sizes = np.geomspace(1e3, 1e15, 50)
    for algorithm, colour in _COLOURS.items():
        mine = [each for each in curves if each.algorithm == algorithm]
        axes.plot(sizes, [slope_of(algorithm, n) for n in sizes], color=colour, label=f"Algorithm {algorithm}: formula")
        axes.plot(
            [each.n for each in mine], [each.first_slope for each in mine], _MARKERS[algorithm], color=colour,
            label="first step, measured",
        )  # fmt: skip
        axes.plot(
            [each.n for each in mine], [0.01 / (each.ratio(0.99) or math.nan) / -math.log(0.99) for each in mine], "x",
            color=colour, label="down to 0.99/λ, measured",
        )  # fmt: skip
    axes.axhline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="n", ylabel="−λ·ΔD/ΔR", title="Slope at zero rate (Theorem 2)", ylim=(0.4, 1.02))


def _refreshes(axes: Axes, measured: Sequence[Refreshes]) -> None:
    most = min(each.n for each in measured)
    shown = [each for each in measured if each.n == most]
    betas = np.linspace(0.7, max(each.beta for each in shown), 50)
    for algorithm, colour in _COLOURS.items():
        mine = [each for each in shown if each.algorithm == algorithm]
        bound = "2·exp(−β)" if algorithm == 1 else "exp(−β)"
        axes.plot(
            betas, [bound_of(algorithm, beta) for beta in betas], color=colour,
            label=f"Algorithm {algorithm}: bound, {bound}",
        )  # fmt: skip
        for name, marker, filled in (("λ known", _MARKERS[algorithm], colour), ("λ estimated", "D", "none")):
            shares = [each.known if name == "λ known" else each.estimated for each in mine]
            axes.plot(
                [each.beta for each in mine], shares, marker, color=colour, markerfacecolor=filled, label=name
            )  # fmt: skip
    axes.set(yscale="log", xlabel="β", ylabel="probability", title=f"Refresh in the first step (Eq. 8), n = {most:,}")


def _networks(axes: Axes, measured: Sequence[Network]) -> None:
    mine = [each for each in measured if each.algorithm == 1]
    for width, colour in zip(sorted({each.width for each in mine}), ("C2", "C3"), strict=False):
        for sparsity, marker in zip(sorted({each.sparsity for each in mine}), "os^", strict=False):
            same = [each for each in mine if (each.width, each.sparsity) == (width, sparsity)]
            axes.plot(
                [each.depth for each in same], [each.of_all for each in same], "-", marker=marker,
                color=colour, label=f"width {width}, {sparsity:.0%} zeros",
            )  # fmt: skip
    axes.axhline(1, color="black", linewidth=1)
    axes.set(yscale="log", xlabel="layers", ylabel="change of the output [bound]", title="Theorem 1, ReLU networks")
