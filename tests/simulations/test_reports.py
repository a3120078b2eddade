"""Tables and plots of workloads that are judged by their loss, and of several models side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.experiments import levers
from simulations.report import files, tables, variance
from simulations.report import rows as results
from simulations.report.levers import table as table_of_levers
from simulations.report.other_models import Measured, table


def row(scheme: str, losses: tuple[float, ...], workload: str = "transformer", seed: int = 0, failed: str = "") -> Row:
    """A row of four rounds, of which each second one was tested."""
    settings = Settings(scheme=scheme, workload=workload, rounds=4, test_every=2, seed=seed, dataset="some")
    return Row(
        settings=settings, accuracy=tuple(1 / loss for loss in losses), loss=losses, payload_bytes_up_mean=90,
        payload_bytes_up_max=90, payload_bytes_up_by_round=(90,) * 4, payload_bytes_up=3600, record_bytes_up_mean=160,
        payload_bytes_down=1, models_down=4, change_bytes_down=0, change_record_bytes_down=0, encode_seconds_mean=0.1,
        decode_seconds_mean=0.1, relative_error_mean=0.9, failures=0, model_sha256="", failed=failed, parameters=1000,
    )  # fmt: skip


LOSSES = [row("surp:90", (4.0, 3.0, 2.0)), row("surp:90", (4.0, 2.0, 1.5), seed=1), row("stc:90", (4.0, 3.5, 3.25))]


def test_a_model_that_is_judged_by_its_loss_has_losses_in_its_tables() -> None:
    text = tables.summary(LOSSES)
    assert "test loss [nats], mean" in text
    assert "| surp 90 B | 2 | 1.750 | 2.000 to 1.500 |" in text
    assert "bytes to" not in text
    assert "| 2.000 |" in tables.table(LOSSES)


def test_rounds_that_were_not_tested_are_not_drawn_as_if_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    drawn: list[list[float]] = []
    plot = Axes.plot

    def recorded(axes: Axes, x: list[float], y: Any, **style: Any) -> Any:
        drawn.append(list(x))
        return plot(axes, x, y, **style)

    monkeypatch.setattr(Axes, "plot", recorded)
    results.save(LOSSES, tmp_path)
    files.write(files.comparison(tmp_path))
    assert drawn[:2] == [[2, 4], [180, 360]]
    assert {file.name for file in tmp_path.iterdir()} == {
        "loss_vs_bytes.png", "results.json", "summary.md", "table.md",
    }  # fmt: skip


def test_models_side_by_side_have_equal_shares_of_their_bytes_in_a_line() -> None:
    other = [replace(each, settings=replace(each.settings, workload="lenet5")) for each in LOSSES[:1]]
    models = {"a": Measured(tuple(LOSSES), (20, 90, 200, 300)), "b": Measured(tuple(other), (90, 100, 110, 120))}
    lines = table(models).splitlines()
    assert "| no training | 4.000 | 25.00% |" in lines
    assert "| surp 1/8,000 | — | 50.00% |" in lines
    assert "| surp 1/2,000 | 1.750 (2 seeds) | — |" in lines
    assert "| stc 1/2,000 | 3.250 | — |" in lines
    assert "| 1/8,000 of it | 20 | 90 |" in lines


def test_the_papers_formula_is_for_sparse_updates_alone() -> None:
    sparse = replace(LOSSES[0], coordinates_up_mean=60.0)
    assert tables.paper_formula_bytes(sparse) == pytest.approx(60 * np.log2(1000) / 8)
    assert tables.paper_formula_bytes(replace(sparse, coordinates_up_mean=721.0)) is None  # in 720 bits


def test_a_loss_that_diverged_says_so() -> None:
    failed = row("stc:90", (4.0,), failed="NaN")
    assert "diverged" in table({"a": Measured((LOSSES[0], failed), (20, 90, 200, 300))})


def test_each_lever_differs_from_the_tuned_settings_in_what_its_name_says() -> None:
    base = Settings(dataset="some", held_out=5000, rounds=10, server_momentum=0.7, precision="bfloat16")
    runs = {name: run for name, (run,) in levers.runs_of(base, [3]).items()}
    assert {(run.rounds, run.seed, run.held_out, run.precision) for run in runs.values()} == {(10, 3, 5000, "bfloat16")}
    tuned = next(iter(runs.values()))
    assert (tuned.scheme, tuned.server_momentum, tuned.clients_per_round) == ("surp:218", 0, 3)
    of_the_run = Settings.of_the_run()
    for name, lever in list(levers.LEVERS.items())[1:]:
        changed = {each for each in of_the_run if getattr(runs[name], each) != getattr(tuned, each)}
        assert changed == set(lever)


def test_levers_are_compared_over_the_seeds_that_both_have() -> None:
    ends = {"base": (0.5, 0.6, 0.7), "better": (0.6, 0.65), "not run": ()}
    settings = {name: Settings(server_learning_rate=rate + 1) for rate, name in enumerate(ends)}
    rows = [
        replace(LOSSES[0], settings=replace(settings[name], seed=seed), accuracy=(0.1, end))
        for name, accuracies in ends.items()
        for seed, end in enumerate(accuracies)
    ]
    runs = {name: [replace(settings[name], seed=seed) for seed in range(3)] for name in ends}
    assert table_of_levers(rows, runs).splitlines()[-2:] == [
        "| base | 3 | 60.00 % (50.00 to 70.00) | — |",
        "| better | 2 | 62.50 % (60.00 to 65.00) | +7.50 |",
    ]


def test_the_variance_of_an_update_is_told_beside_edens() -> None:
    measured = variance.Measured("mlp", 50, 100, {"surp-unbiased": [1.0, 3.0], "eden": [2.0, 9.0]})
    assert variance.table([measured]).splitlines()[-1] == "| perceptron | 50 (1/100) | 2 | 5.5 | 2.50 (2.00) |"
