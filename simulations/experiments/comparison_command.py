"""The command of a comparison: tune every scheme on held-out examples, run it with what was best, write the tables.

Does not know which comparisons there are.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace

from simulations.engines.in_process import complete
from simulations.experiments import tune
from simulations.experiments.command_line import add_jobs, add_settings, parsed, parser_of, settings_of
from simulations.experiments.comparisons import Comparison
from simulations.report import files


def run(
    comparisons: Mapping[str, Comparison], module: str, doc: str | None, precision: str, arguments: list[str] | None
) -> int:
    """The whole of such a command: tune where it is not done yet, run all that were asked for, write tables and plots.

    Args:
        comparisons: by their names.
        module: of the command.
        doc: of that module.
        precision: of the local training, by default.
        arguments: of the command line; None for those of the process.

    Returns:
        0.
    """
    parser = parser_of(module, doc)
    parser.add_argument("--parts", nargs="+", choices=list(comparisons), default=list(comparisons), help="(all)")
    parser.add_argument("--tuning-rounds", type=int, default=40, help="rounds of a trial (%(default)s)")
    parser.add_argument("--only", nargs="+", help="schemes to tune and run, as stc; all by default")
    parser.add_argument("--most-seeds", type=int, default=3, help="of those that the protocol asks for (%(default)s)")
    parser.add_argument("--tune-only", action="store_true", help="run nothing else")
    add_settings(parser, ("rounds", "precision", "data_root"), rounds=100, precision=precision)
    add_jobs(parser)
    options = parsed(parser, arguments)
    for name in options.parts:
        _run_one(name, comparisons[name], options)
    return 0


def _run_one(name: str, whole: Comparison, options: Namespace) -> None:
    comparison = whole.only(options.only)
    base = settings_of(options, **comparison.settings)
    folder = options.out / name / "tuning"
    trials = replace(base, rounds=options.tuning_rounds, held_out=comparison.held_out)
    tuned = [
        scheme
        for scheme in whole.tuned  # those that were tuned before stay in the table
        if scheme in comparison.tuned or tune.is_tuned(scheme, trials, [0], folder, comparison.grid)
    ]
    chosen = tune.tuned(tuned, trials, [0], folder, options.jobs, grid=comparison.grid, more_seeds=0)
    if not options.tune_only:
        complete(list(comparison.runs(base, chosen, options.most_seeds)), options.out / name, options.jobs)
        files.write(files.comparison(options.out / name))
        print(f"\n{(options.out / name / 'summary.md').read_text()}")
