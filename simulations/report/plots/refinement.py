"""Algorithm 2 along its iterations, and the distributions that weights and updates have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from simulations.app.workloads import WORKLOADS
from simulations.pruning.densities import centres
from simulations.report.plots.style import save
from simulations.report.refinement import Along, Densities

_SHOWN = {
    1: ("sparsity of the reconstruction [%]", 100),
    2: ("l1 distortion left, ‖u − û‖₁ / ‖u‖₁", 1),
    3: ("test accuracy [%]", 100),
}


def along_iterations(rows: Sequence[Along], file: Path) -> None:
    """Draw sparsity, distortion and accuracy against the steps of each cycle; a dot is where the cycle ends."""
    networks = list(dict.fromkeys(row.network for row in rows))
    figure, panels = plt.subplots(3, len(networks), figsize=(4.2 * len(networks), 8.4), squeeze=False, sharex="col")
    for column, network in enumerate(networks):
        for row in (each for each in rows if each.network == network):
            steps = [point[0] for point in row.points]
            sparsities = [point[1] for point in row.points]
            before = max(sparsities[-1], 0.0)
            text = f"cycle {row.cycle}: from {100 * before:.0f} to {100 * row.sparsity:.0f} % sparsity"
            for panel, (place, (label, unit)) in zip(panels[:, column], _SHOWN.items(), strict=True):
                values = [unit * point[place] for point in row.points]
                panel.semilogx(steps, values, "-", color=f"C{row.cycle - 1}", label=text)
                end = np.interp(-row.sparsity, [-s for s in sparsities], steps)
                panel.semilogx(end, np.interp(end, steps, values), "o", color=f"C{row.cycle - 1}")
                panel.set_ylabel(label if column == 0 else "")
                panel.grid(alpha=0.3)
        panels[0, column].set_title(WORKLOADS[network].title, fontsize=10)
        panels[0, column].legend(fontsize=8)
        panels[2, column].set_xlabel("iterations of Algorithm 2")
    figure.tight_layout()
    save(figure, file)


def fitted_densities(rows: Sequence[Densities], file: Path) -> None:
    """Draw the density of all weights and of all coordinates of an update, beside both fits, on a logarithmic scale."""
    networks = list(dict.fromkeys(row.network for row in rows))
    figure, panels = plt.subplots(2, len(networks), figsize=(4.2 * len(networks), 6.6), squeeze=False, sharex=True)
    x = centres()
    for row in rows:
        panel = panels[int(row.what == "updates"), networks.index(row.network)]
        fit = next(each for each in row.fits if each.name == "all, normalised")
        deviation = math.exp(fit.gaussian - 0.5 * math.log(2 * math.pi * math.e))  # in mean magnitudes
        density = np.array(fit.density)
        panel.semilogy(x[density > 0], density[density > 0], ".", color="0.3", label="measured")
        panel.semilogy(x, np.exp(-np.abs(x)) / 2, "C0", label="Laplacian")
        panel.semilogy(
            x, np.exp(-((x / deviation) ** 2) / 2) / deviation / math.sqrt(2 * math.pi), "C1", label="Gaussian"
        )
        panel.set_ylim(1e-5, 5)
        panel.set_title(f"{WORKLOADS[row.network].title}, {row.what}", fontsize=10)
        panel.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=8)
    figure.supxlabel("value / its layer's norm, in mean magnitudes", fontsize=10)
    figure.supylabel("density")
    figure.tight_layout()
    save(figure, file)
