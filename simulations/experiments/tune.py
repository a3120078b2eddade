"""Choose each scheme's learning rates on held-out training images: one small grid, the same for all.

    python -m simulations.experiments.tune --schemes dense surp:218 stc:218 --rounds 50 --out results/tuning

The test images are not looked at: 5,000 training images are kept from training and take their place. DGC brings its own
momentum, of the same strength, which must not come twice: its points have none locally. What is best in few rounds may
diverge in more of them: the rehearsal runs each scheme's best point for as long as it is needed, and where that goes
astray takes the next best one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from simulations.app.data import LOADERS, data_root, load
from simulations.app.schemes import parse
from simulations.app.settings import Settings
from simulations.app.training import PRECISIONS
from simulations.engines.in_process import complete
from simulations.report import rows as results
from simulations.report.rows import Row

HELD_OUT = 5000  # images
_RAMP = {"final_rate": 0.1, "warm_up": 0.3}
_AVERAGED = {"learning_rate": 0.05, "weight_decay": 0.001, "final_rate": 0.3, "warm_up": 0.3, "averaging": 0.9}
Grid = tuple[dict[str, float], ...]
GRID: Grid = (
    {"learning_rate": 0.015},
    {"learning_rate": 0.03, "server_momentum": 0.5} | _RAMP,
    {"learning_rate": 0.05} | _RAMP,
    {"learning_rate": 0.05, "weight_decay": 0.002} | _RAMP,
    {"learning_rate": 0.1, "weight_decay": 0.002} | _RAMP,
    _AVERAGED,
    _AVERAGED | {"server_learning_rate": 2, "fading": True},
)
TAKING_TURNS: Grid = (_AVERAGED | {"server_learning_rate": 1.5, "fading": True},)  # more points, where clients sit out
CLIPPED: Grid = (  # and where their images differ as well: one client's local steps may explode
    _AVERAGED | {"server_learning_rate": 1.5, "fading": True, "clipping": 2},
    _AVERAGED | {"server_learning_rate": 2, "fading": True, "clipping": 2},
)
OWN_MOMENTUM = {"dgc"}  # schemes that bring one
_LOCAL_MOMENTUM = 0.9
_CLOSE = 0.0015  # points this near to a scheme's best one go into a run-off,
_MORE_SEEDS = 2  # with so many more seeds
_WORSE = 0.01  # a rehearsal that ends so much below the tuning went astray
_SETTLED = 5  # last rounds that are averaged: single ones differ by chance more than neighbouring points do


def point(settings: Settings, levers: dict[str, float]) -> Settings:
    """The settings at a point of the grid; its warm-up is a share of the rounds."""
    given: dict[str, Any] = dict(levers)
    given["warm_up"] = round(given.get("warm_up", 0) * settings.rounds)
    given["momentum"] = _LOCAL_MOMENTUM
    if parse(settings.scheme)[0] in OWN_MOMENTUM:
        given["momentum"] = 0.0
    return replace(settings, **given)


def chosen(rows: list[Row], scheme: str, base: Settings, grid: Grid, rehearsal: int = 0) -> dict[str, float]:
    """The best point that did not go astray when it was rehearsed, as far as the rows know.

    Args:
        rows: of the tuning and of rehearsals.
        scheme: with its budget.
        base: settings of the tuning.
        grid: the points.
        rehearsal: rounds of it; 0 for none.
    """
    ranked = _ranked(rows, scheme, base, grid)
    return next((levers for levers in ranked if not _astray(rows, scheme, base, levers, rehearsal)), ranked[0])


def _ranked(rows: list[Row], scheme: str, base: Settings, grid: Grid) -> list[dict[str, float]]:
    """The points by their mean accuracy, best first; those that were run with most seeds before all others."""
    found = [(levers, _accuracies(rows, scheme, base, levers)) for levers in grid]
    return [levers for levers, seeds in sorted(found, key=lambda each: (len(each[1]), fmean(each[1])), reverse=True)]


def _astray(rows: list[Row], scheme: str, base: Settings, levers: dict[str, float], rounds: int) -> bool:
    """Whether a point is known to have diverged in a rehearsal, or to have ended well below where it was before."""
    rehearsed = _accuracies(rows, scheme, replace(base, rounds=rounds), levers) if rounds else []
    return bool(rehearsed) and min(rehearsed) < fmean(_accuracies(rows, scheme, base, levers)) - _WORSE


def _close(rows: list[Row], scheme: str, base: Settings, grid: Grid) -> list[dict[str, float]]:
    """The points whose order chance may have made; none if the best is clearly the best."""
    means = [fmean(_accuracies(rows, scheme, base, levers)) for levers in grid]
    close = [levers for levers, mean in zip(grid, means, strict=True) if mean >= max(means) - _CLOSE]
    return close if len(close) > 1 else []


def _accuracies(rows: list[Row], scheme: str, base: Settings, levers: dict[str, float]) -> list[float]:
    """The accuracy of each seed at a point; 0 where it diverged."""
    return [
        0.0 if row.get("failed") else fmean(accuracy for _, accuracy in row["accuracy"][-_SETTLED:])
        for row in rows
        if row["scheme"] == parse(scheme)[0]
        and results.is_of(row, point(replace(base, scheme=scheme, seed=row["seed"]), levers))
    ]


def table(rows: list[Row], schemes: list[str], base: Settings, grid: Grid, rehearsal: int = 0) -> str:
    """Schemes down, points across, the chosen one of each in bold."""
    points = [", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in levers.items()) for levers in grid]
    lines = [
        f"Accuracy on {base.held_out:,} held-out training images of **{base.dataset}** over the last {_SETTLED} of "
        f"{base.rounds} rounds, at each point of the grid:", "",
        *(f"{place}. {levers}" for place, levers in enumerate(points, 1)), "",
        f"Points that came within {_CLOSE:.2%} of a scheme's best one with the first seed were run with {_MORE_SEEDS} "
        f"more. Local momentum {_LOCAL_MOMENTUM:g}; none for DGC, which brings its own. "
        "Warm-up as a share of the rounds.",
        "",
        "| scheme | " + " | ".join(f"point {place}" for place in range(1, len(grid) + 1)) + " |",
        "| --- |" + " ---: |" * len(grid),
    ]  # fmt: skip
    for scheme in schemes:
        best = chosen(rows, scheme, base, grid, rehearsal)
        cells = []
        for levers in grid:
            seeds = _accuracies(rows, scheme, base, levers)
            shown = "—" if not seeds else f"{fmean(seeds):.2%}" if min(seeds) > 0 else "diverged"
            shown += f" ({len(seeds)} seeds)" if len(seeds) > 1 else ""
            shown += f", astray in {rehearsal} rounds" if _astray(rows, scheme, base, levers, rehearsal) else ""
            cells.append(f"**{shown}**" if levers is best else shown)
        lines.append(f"| {scheme} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def tuned(
    schemes: list[str],
    base: Settings,
    seeds: list[int],
    folder: Path,
    jobs: int,
    grid: Grid | None = None,
    rehearsal: int = 0,
) -> dict[str, dict[str, float]]:
    """Run the grid for every scheme where the folder does not hold it; write tables; give the point for each.

    Args:
        schemes: with their budgets.
        base: settings of the tuning.
        seeds: that every point is run with.
        folder: of the results.
        jobs: rows at a time.
        grid: the points; None for `GRID`.
        rehearsal: rounds in which a chosen point must not go astray; 0 for no rehearsal.
    """
    grid = GRID if grid is None else grid
    rehearsal = 0 if rehearsal == base.rounds else rehearsal  # it was one

    def run(points: list[tuple[str, dict[str, float]]], seeds: Iterable[int], rounds: int = base.rounds) -> list[Row]:
        found = [
            (replace(base, scheme=scheme, seed=seed, rounds=rounds), at) for scheme, at in points for seed in seeds
        ]
        return complete([point(settings, levers) for settings, levers in found], folder, jobs)

    rows = run([(scheme, levers) for scheme in schemes for levers in grid], seeds)
    close = [(scheme, levers) for scheme in schemes for levers in _close(rows, scheme, base, grid)]
    more = list(range(max(seeds) + 1, max(seeds) + 1 + _MORE_SEEDS))
    rows += run(close, more)
    best = {scheme: chosen(rows, scheme, base, grid) for scheme in schemes}
    rehearsed: dict[str, dict[str, float]] = {}
    while rehearsal and rehearsed != best:
        rows += run(
            [each for each in best.items() if rehearsed.get(each[0]) != each[1]],
            [*seeds, *more],
            rehearsal,
        )
        rehearsed = best
        best = {scheme: chosen(rows, scheme, base, grid, rehearsal) for scheme in schemes}
    for mixed in ("summary.md", "table.md"):  # of all points together, which says nothing
        (folder / mixed).unlink(missing_ok=True)
    (folder / "tuning.md").write_text(table(rows, schemes, base, grid, rehearsal))
    (folder / "chosen.json").write_text(json.dumps(best, indent=1) + "\n")
    print("\n" + table(rows, schemes, base, grid, rehearsal), flush=True)
    return best


def main(arguments: list[str] | None = None) -> int:
    """Run the grid; write results.json, tuning.md and chosen.json."""
    parser = argparse.ArgumentParser(prog="python -m simulations.experiments.tune", description=__doc__.split("\n")[0])
    parser.add_argument("--schemes", nargs="+", required=True, help="with their budgets, as in surp:218")
    parser.add_argument("--rounds", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--rehearsal", type=int, default=0, help="rounds in which the chosen points must not go astray")
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
    tuned(options.schemes, base, options.seeds, options.out, options.jobs, rehearsal=options.rehearsal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
