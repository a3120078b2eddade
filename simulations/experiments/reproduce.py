"""The comparison that the README quotes: every scheme as it was tuned, three seeds, four ways to share the work.

    python -m simulations.experiments.reproduce --out simulations/results        # or make reproduce

Four parts: all clients a round or 3 of 10, with IID images or Dirichlet(0.5) ones. Every scheme is tuned first, on
images held out of the training ones (experiments.tune), and then run with what it was best with; with all clients,
Dirichlet(0.5) is run as IID images tuned it. A row that is there already is not run again.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from simulations.engines.in_process import complete
from simulations.experiments import protocol, tune
from simulations.experiments.command_line import add_jobs, add_seeds, add_settings, parsed, parser_of, settings_of
from simulations.experiments.protocol import GRIDS, PARTS, TUNED_ON, runs_of
from simulations.report import files
from simulations.report import rows as results


def main(arguments: list[str] | None = None) -> int:
    """Tune where it is not done yet, run all parts, and write tables and plots."""
    parser = parser_of("simulations.experiments.reproduce", __doc__)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="of the protocol (all)")
    parser.add_argument("--tuning-rounds", type=int, default=50, help="rounds of a trial (%(default)s)")
    add_seeds(parser, 0, 1, 2)
    names = ("rounds", "clients", "local_steps", "precision", "dataset", "data_root")
    add_settings(parser, names, rounds=100, precision="bfloat16")
    add_jobs(parser)
    options = parsed(parser, arguments)
    base = settings_of(options)
    for part in options.parts:
        folder, tuned_on = options.out / part, TUNED_ON.get(part, part)
        chosen = tune.tuned(
            protocol.tuned_in(tuned_on),
            replace(base, rounds=options.tuning_rounds, held_out=protocol.HELD_OUT, **PARTS[tuned_on]),
            [0],
            options.out / tuned_on / "tuning",
            options.jobs,
            grid=GRIDS[tuned_on],
            full_length=options.rounds,
        )
        complete(list(runs_of(part, options.seeds, base, chosen)), folder, options.jobs)
        files.write(files.comparison(folder))
        print(f"\n{(folder / 'summary.md').read_text()}")
    parts = {part: rows for part in PARTS if (rows := results.load(options.out / part))}
    files.write(files.overview_of(parts, options.out))
    print(f"\n{(options.out / 'overview.md').read_text()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
