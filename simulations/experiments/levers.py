"""What single settings bring where 3 of 10 clients take part in a round, with Dirichlet(0.5) images: one at a time.

    python -m simulations.experiments.levers --out simulations/results/levers

LeNet-5 on MNIST, SuRP at 218 bytes, with a point of the protocol's grid that is near the chosen one; on images held out
of the training ones, as these choose settings. A row that is there already is not run again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from simulations.app.settings import Settings
from simulations.engines.in_process import complete
from simulations.experiments import protocol
from simulations.experiments.command_line import add_jobs, add_seeds, add_settings, parsed, parser_of, settings_of
from simulations.experiments.protocol import AVERAGED, PARTS, before_trial, trial
from simulations.report import files

BASE = AVERAGED | {"server_learning_rate": 1.5, "fading": True, "max_grad_norm": 2}
LEVERS: dict[str, dict[str, Any]] = {
    "half a step ahead, residuals that fade with the learning rate, server learning rate 1.5": {},
    "no step ahead": {"scheme": "surp:218:step_ahead=0"},
    "a whole step ahead": {"scheme": "surp:218:step_ahead=1"},
    "residuals that do not fade": {"fading": False},
    "residuals that fade by 0.9 a message": {"fading": False, "scheme": "surp:218:keep=0.9"},
    "server learning rate 1": {"server_learning_rate": 1},
    "server learning rate 2": {"server_learning_rate": 2},
    "server momentum 0.3, rate 1": {"server_momentum": 0.3, "server_learning_rate": 1},
    "no moving average of the models": {"ema_decay": 0},
    "a slower moving average, 0.95": {"ema_decay": 0.95},
    "gradients clipped at 1": {"max_grad_norm": 1},
    "gradients not clipped": {"max_grad_norm": 0},
    "no memory, unbiased; server learning rate 0.5": {"scheme": "surp-unbiased:218", "server_learning_rate": 0.5},
}


def runs_of(base: Settings, seeds: Iterable[int]) -> dict[str, list[Settings]]:
    """The runs of every lever, by its name: one a seed.

    Args:
        base: with the rounds, the precision and the held-out images of all; what levers change is set anew.
        seeds: of each lever.
    """
    points = {name: BASE | lever for name, lever in LEVERS.items()}
    plain = replace(before_trial(base, tuple(points.values())), scheme="surp:218", **PARTS["sampled_dirichlet"])
    return {name: [trial(replace(plain, seed=seed), point) for seed in seeds] for name, point in points.items()}


def main(arguments: list[str] | None = None) -> int:
    """Run all levers, and write the table."""
    parser = parser_of("simulations.experiments.levers", __doc__)
    add_seeds(parser, 0, 1, 2)
    add_settings(parser, ("rounds", "precision", "data_root"), rounds=100, precision="bfloat16")
    add_jobs(parser)
    options = parsed(parser, arguments)
    base = settings_of(options, held_out=protocol.HELD_OUT, test_every=5)
    by_seed = zip(*runs_of(base, options.seeds).values(), strict=True)
    complete([run for runs in by_seed for run in runs], options.out, options.jobs)
    files.write(files.levers_in(options.out, runs_of))
    print(f"\n{(options.out / 'table.md').read_text()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
