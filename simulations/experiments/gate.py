"""SuRP beside STC at equal bytes: federated runs of both at six budgets, with the errors of recorded updates.

    python -m simulations.experiments.gate --messages simulations/results/messages --out simulations/results/gate

The errors are those that `simulations.experiments.messages` measured.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from simulations.engines.in_process import complete
from simulations.experiments.command_line import add_jobs, add_seeds, add_settings, parsed, parser_of, settings_of
from simulations.report import files
from simulations.report.gate import NAMES
from simulations.report.messages import BUDGETS


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing; write gate.md and gate.png."""
    parser = parser_of("simulations.experiments.gate", __doc__)
    parser.add_argument("--messages", type=Path, required=True, help="folder of messages.json")
    add_seeds(parser, 0, 1, 2)
    add_settings(parser, ("rounds", "clients", "local_steps", "dataset", "data_root"))
    add_jobs(parser)
    options = parsed(parser, arguments)
    base = settings_of(options)
    runs = [
        replace(base, scheme=f"{scheme}:{budget}", seed=seed)
        for scheme in NAMES
        for budget in BUDGETS
        for seed in options.seeds
    ]
    complete(runs, options.out, options.jobs)
    files.write(files.gate_in(options.out, options.messages))
    print((options.out / "gate.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
