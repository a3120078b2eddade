"""What rows of a tuning say: which trial of the grid each scheme is best with, and the table of all."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import fmean

from simulations.app.row import Row
from simulations.app.schemes import parse
from simulations.app.settings import Settings
from simulations.experiments.protocol import LOCAL_MOMENTUM, Grid, Hyperparameters, trial
from simulations.report import markdown

MORE_SEEDS = 2  # for trials that come close to a scheme's best one
_CLOSE = 0.0015  # so near to it that chance may have made their order
_DEGRADED = 0.01  # a full-length check that ends so much below the tuning
_DIVERGED = -math.inf
_LAST_ROUNDS = 5  # whose tests are averaged: single ones differ by chance more than neighbouring trials do
_LEAST_TESTS = 2


@dataclass(frozen=True)
class Tuning:
    """Rows of trials, and what they are trials of.

    Attributes:
        rows: of the tuning and of full-length checks.
        base: settings of the tuning; the trials differ from it in scheme, seed and hyperparameters.
        grid: the hyperparameters of each trial.
        full_length: rounds of the check that the best trial has to stand; 0 for no check.
        more_seeds: that trials are run with which come close to a scheme's best one.
    """

    rows: tuple[Row, ...]
    base: Settings
    grid: Grid
    full_length: int = 0
    more_seeds: int = MORE_SEEDS

    def best(self, scheme: str) -> Hyperparameters:
        """The best trial that did not degrade in its full-length check, as far as the rows know."""
        ranked = self._ranked(scheme)
        return next((trial for trial in ranked if not self._degraded(scheme, trial)), ranked[0])

    def close(self, scheme: str) -> list[Hyperparameters]:
        """The trials whose order chance may have made; none if the best is clearly the best."""
        if not self.more_seeds:
            return []
        means = [fmean(self._scores(scheme, each)) for each in self.grid]
        close = [each for each, mean in zip(self.grid, means, strict=True) if mean >= max(means) - _CLOSE]
        return close if len(close) > 1 else []

    def complete(self, schemes: list[str]) -> list[str]:
        """Those of the schemes whose trials were all run."""
        return [scheme for scheme in schemes if all(self._scores(scheme, each) for each in self.grid)]

    def table(self, schemes: list[str]) -> str:
        """Schemes down, trials across, the chosen one of each in bold."""
        trials = [
            ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in each.items()) for each in self.grid
        ]
        head = [
            f"{self._measure} on {self.base.held_out:,} held-out training {self.base.kind.unit} of "
            f"**{self.base.dataset}** over the last {tests_of(self.base)} {self._tests} {self.base.rounds} rounds, "
            "at each point of the grid:", "",
            *(f"{place}. {each}" for place, each in enumerate(trials, 1)), "",
            (f"Points that came within {_CLOSE:.2%} of a scheme's best one with the first seed were run with "
            f"{self.more_seeds} more. " if self.more_seeds else "")
            + f"Local momentum {LOCAL_MOMENTUM:g}; none for DGC, which brings its own. "
            "Warm-up as a share of the rounds.", "", "",
        ]  # fmt: skip
        lines = []
        for scheme in schemes:
            best = self.best(scheme)
            cells = [self._cell(scheme, each) for each in self.grid]
            lines.append(
                [
                    scheme,
                    *(f"**{cell}**" if each is best else cell for each, cell in zip(self.grid, cells, strict=True)),
                ]
            )
        header = ["scheme", *(f"point {place}" for place in range(1, len(self.grid) + 1))]
        return "\n".join(head) + markdown.table(header, lines)

    def _cell(self, scheme: str, each: Hyperparameters) -> str:
        seeds = self._scores(scheme, each)
        shown = "—" if not seeds else self._shown(fmean(seeds)) if min(seeds) > _DIVERGED else "diverged"
        shown += f" ({len(seeds)} seeds)" if len(seeds) > 1 else ""
        return shown + (f", astray in {self.full_length} rounds" if self._degraded(scheme, each) else "")

    @property
    def _tests(self) -> str:
        return "of" if self.base.test_every == 1 else "tests in"

    @property
    def _measure(self) -> str:
        return "Accuracy" if self.base.kind.metric == "accuracy" else "Loss [nats]"

    def _shown(self, score: float) -> str:
        return f"{score:.2%}" if self.base.kind.metric == "accuracy" else f"{-score:.4f}"

    def _ranked(self, scheme: str) -> list[Hyperparameters]:
        """The trials by their mean accuracy, best first; those that were run with most seeds before all others."""
        found = [(each, self._scores(scheme, each)) for each in self.grid]
        return [each for each, seeds in sorted(found, key=lambda it: (len(it[1]), fmean(it[1])), reverse=True)]

    def _degraded(self, scheme: str, each: Hyperparameters) -> bool:
        """Whether a trial diverged in its full-length check, or ended well below the tuning."""
        checked = self._scores(scheme, each, self.full_length) if self.full_length else []
        return bool(checked) and min(checked) < fmean(self._scores(scheme, each)) - _DEGRADED

    def _scores(self, scheme: str, each: Hyperparameters, rounds: int = 0) -> list[float]:
        """What each seed of a trial reached: its accuracy, or minus its loss; the worst where it diverged."""
        run = trial(replace(self.base, scheme=scheme, rounds=rounds or self.base.rounds), each)
        return [
            score_of(row)
            for row in self.rows
            if row.scheme == parse(scheme)[0] and row.settings.same_run(replace(run, seed=row.settings.seed))
        ]


def score_of(row: Row) -> float:
    """The mean of a run's last tests: accuracy, or minus the loss, so that more is better; the worst if it diverged."""
    if row.failed:
        return _DIVERGED
    if row.settings.kind.metric == "loss":
        return -fmean(row.loss[-tests_of(row.settings) :])
    return fmean(row.accuracy[-tests_of(row.settings) :])


def tests_of(settings: Settings) -> int:
    """How many of a run's last tests are averaged."""
    return max(_LEAST_TESTS, _LAST_ROUNDS // settings.test_every)
