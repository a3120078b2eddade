"""Choose each scheme's hyperparameters on held-out training images: one small grid, the same for all.

    python -m simulations.experiments.tune --schemes dense surp:218 stc:218 --rounds 50 --full-length 100 --out tuning

The test images are not looked at: 5,000 training images are kept from training and take their place. What is best in
few rounds may diverge in more of them: the full-length check runs each scheme's best trial for as many rounds as it is
wanted for, and where it degrades there the next best one is taken.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.engines.in_process import complete
from simulations.experiments import protocol
from simulations.experiments.command_line import add_jobs, add_seeds, add_settings, parsed, parser_of, settings_of
from simulations.experiments.protocol import Grid, Hyperparameters, trial
from simulations.report import rows as results
from simulations.report.tuning import MORE_SEEDS, Tuning


def tuned(
    schemes: list[str],
    base: Settings,
    seeds: list[int],
    folder: Path,
    jobs: int,
    grid: Grid | None = None,
    full_length: int = 0,
    more_seeds: int = MORE_SEEDS,
) -> dict[str, Hyperparameters]:
    """Run the grid for every scheme where the folder does not hold it; write tables; give the best trial of each.

    Args:
        schemes: with their budgets.
        base: settings of the tuning.
        seeds: that every trial is run with.
        folder: of the results.
        jobs: rows at a time.
        grid: the trials; None for the protocol's `GRID`.
        full_length: rounds in which a chosen trial must not degrade; 0 for no such check.
        more_seeds: that trials are run with which come close to a scheme's best one.
    """
    checked_in = 0 if full_length == base.rounds else full_length
    found = Tuning((), base, protocol.GRID if grid is None else grid, checked_in, more_seeds)

    def run(trials: Iterable[tuple[str, Hyperparameters]], seeds: list[int], rounds: int = base.rounds) -> list[Row]:
        return complete(_runs(replace(base, rounds=rounds), trials, seeds), folder, jobs)

    found = replace(found, rows=tuple(run([(scheme, each) for scheme in schemes for each in found.grid], seeds)))
    more = list(range(max(seeds) + 1, max(seeds) + 1 + more_seeds))
    close = [(scheme, each) for scheme in schemes for each in found.close(scheme)]
    found = replace(found, rows=(*found.rows, *run(close, more)))
    best = {scheme: found.best(scheme) for scheme in schemes}
    checked: dict[str, Hyperparameters] = {}
    while found.full_length and checked != best:
        unchecked = [(scheme, each) for scheme, each in best.items() if checked.get(scheme) != each]
        found = replace(found, rows=(*found.rows, *run(unchecked, [*seeds, *more], found.full_length)))
        checked, best = best, {scheme: found.best(scheme) for scheme in schemes}
    (folder / "tuning.md").write_text(found.table(schemes))
    (folder / "chosen.json").write_text(json.dumps(best, indent=1) + "\n")
    print("\n" + found.table(schemes), flush=True)
    return best


def is_tuned(scheme: str, base: Settings, seeds: list[int], folder: Path, grid: Grid) -> bool:
    """Whether the folder holds every trial of a scheme."""
    rows, runs = results.load(folder), _runs(base, [(scheme, each) for each in grid], seeds)
    return all(any(row.settings.same_run(run) for row in rows) for run in runs)


def _runs(base: Settings, trials: Iterable[tuple[str, Hyperparameters]], seeds: list[int]) -> list[Settings]:
    return [trial(replace(base, scheme=scheme, seed=seed), each) for scheme, each in trials for seed in seeds]


def main(arguments: list[str] | None = None) -> int:
    """Run the grid; write results.json, tuning.md and chosen.json."""
    parser = parser_of("simulations.experiments.tune", __doc__)
    parser.add_argument("--schemes", nargs="+", required=True, help="with their budgets, as in surp:218")
    parser.add_argument("--full-length", type=int, default=0, help="rounds in which the best trials must not degrade")
    add_seeds(parser, 0)
    names = ("workload", "rounds", "clients", "local_steps", "precision", "held_out", "dataset", "data_root")
    add_settings(parser, names, rounds=40, held_out=protocol.HELD_OUT)
    add_jobs(parser)
    options = parsed(parser, arguments)
    base = settings_of(options)
    tuned(options.schemes, base, options.seeds, options.out, options.jobs, full_length=options.full_length)
    return 0


if __name__ == "__main__":
    sys.exit(main())
