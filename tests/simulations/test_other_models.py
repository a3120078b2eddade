"""The comparison on models that are not LeNet-5 on MNIST: its protocol, and a run of it on digits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from simulations.app.schemes import last_scheme_of, parse
from simulations.experiments import comparisons, cross_device, other_models
from simulations.report import files
from simulations.report import other_models as report
from simulations.report import rows as results
from surp_fl import NoMemory
from tests.simulations.test_workloads import SIZES


@pytest.mark.parametrize("name", comparisons.OTHER_MODELS)
def test_other_models_are_run_at_shares_of_their_bytes_as_each_scheme_was_tuned(name: str) -> None:
    model = comparisons.OTHER_MODELS[name]
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


@pytest.mark.parametrize("name", comparisons.CROSS_DEVICE)
def test_no_scheme_across_devices_has_a_memory(name: str) -> None:
    comparison = comparisons.CROSS_DEVICE[name]
    assert set(comparison.schemes.values()) == set(comparison.tuned)
    for scheme in comparison.schemes:
        assert isinstance(last_scheme_of(scheme).memory, NoMemory)
    three = {parse(scheme)[:2] for scheme in comparison.schemes if comparison.seeds_of(scheme) == 3}
    assert three == {("dense", None), ("surp-unbiased", 1000), ("stc", 1000), ("eden", 1000)}


@pytest.mark.slow
def test_many_clients_are_compared_at_equal_bytes_and_those_are_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_digits = {"workload": "lenet5", "clients": 20, "clients_per_round": 2, "local_steps": 1, "batch_size": 4}
    grid = ({"learning_rate": 0.01},)
    parts = {
        how: comparisons.Comparison(
            of_digits | {"dataset": "digits", "partition": how}, (60, 400), grid, 300, ("dense", "surp", "eden"),
            more_seeds=1, stateless=True,
        )
        for how in ("iid", "label-skew:0.1")
    }  # fmt: skip
    monkeypatch.setattr(cross_device, "CROSS_DEVICE", parts)
    arguments = f"--rounds 1 --tuning-rounds 1 --jobs 1 --out {tmp_path}".split()
    assert cross_device.main(arguments) == 0
    assert cross_device.main(arguments) == 0  # runs nothing again
    files.write(files.cross_device_in(tmp_path, parts))
    lines = [line.split(" | ") for line in (tmp_path / "table.md").read_text().splitlines()[2:]]
    assert lines[0] == ["| scheme", "up [B]", "digits, IID", "digits, label skew 0.1 |"]
    assert [line[0] for line in lines[2:]] == ["| surp 60 B", "| eden 60 B", "| surp 400 B", "| eden 400 B", "| dense"]
    assert all(cell.endswith(("(one seed)", "(one seed) |")) for line in lines[2:] for cell in line[2:])


@pytest.mark.slow
def test_a_comparison_of_other_models_resumes_and_shows_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"workload": "lenet5", "dataset": "digits", "clients": 3, "local_steps": 1, "batch_size": 4}
    grid = ({"learning_rate": 0.01}, {"learning_rate": 0.02})
    model = comparisons._at_shares(settings, (60, 100, 200, 2000), grid, 300)
    model = replace(model, more_seeds=2)
    monkeypatch.setattr(comparisons, "OTHER_MODELS", {"small": model})
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
