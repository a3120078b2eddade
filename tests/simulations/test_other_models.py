"""The comparison on models that are not LeNet-5 on MNIST: its protocol, and a run of it on digits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulations.experiments import other_models, protocol
from simulations.report import other_models as report
from simulations.report import rows as results
from tests.simulations.test_workloads import SIZES


@pytest.mark.parametrize("name", protocol.OTHER_MODELS)
def test_other_models_are_run_at_shares_of_their_bytes_as_each_scheme_was_tuned(name: str) -> None:
    model = protocol.OTHER_MODELS[name]
    whole = 4 * SIZES[model.settings["workload"]][0]
    assert [whole / budget for budget in model.budgets] == pytest.approx([8000, 2000, 1000, 100], rel=0.15)
    assert set(model.schemes.values()) == set(model.tuned)
    small, large = model.budgets[:3], model.budgets[3]
    for scheme in ("surp", "stc", "top-k"):
        assert {model.schemes[f"{scheme}:{budget}"] for budget in small} == {f"{scheme}:{model.budgets[1]}"}
        assert model.schemes[f"{scheme}:{large}"] == model.schemes["qsgd"] == "dense"
        assert set(model.only([scheme]).schemes.values()) <= set(model.only([scheme]).tuned)
    seeds = {scheme: model.seeds_of(scheme) for scheme in model.schemes}
    often = {"dense", *(f"{scheme}:{budget}" for scheme in ("surp", "stc") for budget in model.budgets[1:3])}
    assert {scheme for scheme, count in seeds.items() if count == 3} == often


@pytest.mark.slow
def test_a_comparison_of_other_models_resumes_and_shows_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"workload": "lenet5", "dataset": "digits", "clients": 3, "local_steps": 1, "batch_size": 4}
    grid = ({"learning_rate": 0.01}, {"learning_rate": 0.02})
    model = protocol.OtherModel(settings, (60, 100, 200, 2000), grid, 300, more_seeds=2)
    monkeypatch.setattr(protocol, "OTHER_MODELS", {"small": model})
    monkeypatch.setattr(other_models, "OTHER_MODELS", {"small": model})
    arguments = f"--rounds 1 --tuning-rounds 1 --jobs 1 --out {tmp_path}".split()
    assert other_models.main([*arguments, "--only", "dense", "surp", "--most-seeds", "1"]) == 0
    first = results.load(tmp_path / "small")
    assert [(row.scheme, row.budget) for row in first] == [("dense", None), *(("surp", b) for b in model.budgets)]
    assert other_models.main([*arguments, "--only", "dense", "surp"]) == 0
    rows = results.load(tmp_path / "small")
    assert rows[: len(first)] == first
    assert sorted((row.scheme, row.budget or 0) for row in rows if row.settings.seed == 1) == [
        ("dense", 0), ("surp", 100), ("surp", 200),
    ]  # fmt: skip
    assert other_models.main([*arguments, "--only", "stc", "--tune-only"]) == 0
    chosen = json.loads((tmp_path / "small/tuning/chosen.json").read_text())
    assert list(chosen) == ["dense", "surp:100", "stc:100"]  # also what was tuned before
    measured = {"small": report.Measured(tuple(rows), model.budgets)}
    shown = report.table(measured).splitlines()
    assert sum("(2 seeds)" in line for line in shown) == 3
    assert sum(line.endswith("| — |") for line in shown) == 9  # QSGD, and STC and top-k at four shares
    (line,) = report.headline(measured).splitlines()[2:]
    assert line.startswith(f"| {measured['small'].title} |")
    assert line.count("(2 seeds)") == 3
    assert line.endswith("| — | — |")
