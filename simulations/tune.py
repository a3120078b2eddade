"""Choose each scheme's learning rates on held-out training images: one small grid, the same for all.

    python -m simulations.tune --schemes dense surp:218 stc:218 --out simulations/results/tuning

The test images are not looked at: 5,000 training images are kept from training and take their place. DGC brings its own
momentum, of the same strength, which must not come twice: its points have none locally.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from simulations import results
from simulations.compare import complete
from simulations.data import LOADERS, data_root, load
from simulations.results import Row
from simulations.schemes import parse
from simulations.settings import Settings
from simulations.training import PRECISIONS

HELD_OUT = 5000  # images
_RAMP = {"final_rate": 0.1, "warm_up": 0.3}
_AVERAGED = {"learning_rate": 0.05, "weight_decay": 0.001, "final_rate": 0.3, "warm_up": 0.3, "averaging": 0.9}
GRID: tuple[dict[str, float], ...] = (
    {"learning_rate": 0.015},
    {"learning_rate": 0.03, "server_momentum": 0.5} | _RAMP,
    {"learning_rate": 0.05} | _RAMP,
    {"learning_rate": 0.05, "weight_decay": 0.002} | _RAMP,
    {"learning_rate": 0.1, "weight_decay": 0.002} | _RAMP,
    _AVERAGED,
    _AVERAGED | {"server_learning_rate": 2, "fading": True},
)
OWN_MOMENTUM = {"dgc"}  # schemes that bring one
_LOCAL_MOMENTUM = 0.9
_CLOSE = 0.0015  # points this near to a scheme's best one go into a run-off,
_MORE_SEEDS = 2  # with so many more seeds
_SETTLED = 5  # last rounds that are averaged: single ones differ by chance more than neighbouring points do


def point(settings: Settings, levers: dict[str, float]) -> Settings:
    """The settings at a point of the grid; its warm-up is a share of the rounds."""
    given: dict[str, Any] = dict(levers)
    given["warm_up"] = round(given.get("warm_up", 0) * settings.rounds)
    given["momentum"] = _LOCAL_MOMENTUM
    if parse(settings.scheme)[0] in OWN_MOMENTUM:
        given["momentum"] = 0.0
    return replace(settings, **given)


def chosen(rows: list[Row], scheme: str, base: Settings) -> dict[str, float]:
    """The point of the grid with the best mean accuracy, among those that were run with most seeds."""
    found = _accuracies(rows, scheme, base)
    most = max(len(seeds) for seeds in found)
    return max(
        (point for point in zip(GRID, found, strict=True) if len(point[1]) == most), key=lambda each: fmean(each[1])
    )[0]


def _close(rows: list[Row], scheme: str, base: Settings) -> list[dict[str, float]]:
    """The points whose order chance may have made; none if the best is clearly the best."""
    means = [fmean(seeds) for seeds in _accuracies(rows, scheme, base)]
    close = [levers for levers, mean in zip(GRID, means, strict=True) if mean >= max(means) - _CLOSE]
    return close if len(close) > 1 else []


def _accuracies(rows: list[Row], scheme: str, base: Settings) -> list[list[float]]:
    """For each point of the grid, the accuracy of each seed; 0 where it diverged."""
    mine = [row for row in rows if row["scheme"] == parse(scheme)[0]]
    return [
        [
            0.0 if row.get("failed") else fmean(accuracy for _, accuracy in row["accuracy"][-_SETTLED:])
            for row in mine
            if results.is_of(row, point(replace(base, scheme=scheme, seed=row["seed"]), levers))
        ]
        for levers in GRID
    ]


def table(rows: list[Row], schemes: list[str], base: Settings) -> str:
    """Schemes down, points across, the best of each in bold."""
    points = [", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in levers.items()) for levers in GRID]
    lines = [
        f"Accuracy on {base.held_out:,} held-out training images of **{base.dataset}** over the last {_SETTLED} of "
        f"{base.rounds} rounds, at each point of the grid:", "",
        *(f"{place}. {levers}" for place, levers in enumerate(points, 1)), "",
        f"Points within {_CLOSE:.2%} of a scheme's best one were run with {_MORE_SEEDS} more seeds. "
        f"Local momentum {_LOCAL_MOMENTUM:g}; none for DGC, which brings its own. Warm-up as a share of the rounds.",
        "",
        "| scheme | " + " | ".join(f"point {place}" for place in range(1, len(GRID) + 1)) + " |",
        "| --- |" + " ---: |" * len(GRID),
    ]  # fmt: skip
    for scheme in schemes:
        best = chosen(rows, scheme, base)
        cells = []
        for levers, seeds in zip(GRID, _accuracies(rows, scheme, base), strict=True):
            shown = "—" if not seeds else f"{fmean(seeds):.2%}" if min(seeds) > 0 else "diverged"
            shown += f" ({len(seeds)} seeds)" if len(seeds) > 1 else ""
            cells.append(f"**{shown}**" if levers is best else shown)
        lines.append(f"| {scheme} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def tuned(schemes: list[str], base: Settings, seeds: list[int], folder: Path, jobs: int) -> dict[str, dict[str, float]]:
    """Run the grid for every scheme where the folder does not hold it; write tables; give the best point of each."""
    runs = [
        point(replace(base, scheme=scheme, seed=seed), levers)
        for scheme in schemes
        for levers in GRID
        for seed in seeds
    ]
    rows = complete(runs, folder, jobs)
    more = range(max(seeds) + 1, max(seeds) + 1 + _MORE_SEEDS)
    run_off = [
        point(replace(base, scheme=scheme, seed=seed), levers)
        for scheme in schemes
        for levers in _close(rows, scheme, base)
        for seed in more
    ]
    rows += complete(run_off, folder, jobs)
    best = {scheme: chosen(rows, scheme, base) for scheme in schemes}
    (folder / "tuning.md").write_text(table(rows, schemes, base))
    (folder / "chosen.json").write_text(json.dumps(best, indent=1) + "\n")
    print("\n" + table(rows, schemes, base), flush=True)
    return best


def main(arguments: list[str] | None = None) -> int:
    """Run the grid; write results.json, tuning.md and chosen.json."""
    parser = argparse.ArgumentParser(prog="python -m simulations.tune", description=__doc__.split("\n")[0])
    parser.add_argument("--schemes", nargs="+", required=True, help="with their budgets, as in surp:218")
    parser.add_argument("--rounds", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--clients", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--local-steps", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--precision", choices=sorted(PRECISIONS), default="float32", help="of local products")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="training images (%(default)s)")
    parser.add_argument("--dataset", choices=sorted(LOADERS), default="auto", help="default: %(default)s")
    parser.add_argument("--data-root", default="", help="folder of the datasets (SURP_FL_DATA, or data/)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="output folder (%(default)s)")
    options = parser.parse_args(arguments)
    dataset = load(options.dataset, data_root(options.data_root), options.held_out)
    base = Settings(
        rounds=options.rounds, clients=options.clients, dataset=dataset.name, data_root=options.data_root,
        held_out=options.held_out, local_steps=options.local_steps, precision=options.precision,
    )  # fmt: skip
    tuned(options.schemes, base, options.seeds, options.out, options.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
