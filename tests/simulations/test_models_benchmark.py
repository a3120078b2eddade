"""The benchmark of model files: every way is measured, and what it decodes is what is tested."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the benchmark trains models")

from simulations.app.training import Score
from simulations.benchmarks import models
from simulations.report.benchmarks import models_headline, models_table
from surp_fl.types import Arrays

WEIGHT = np.random.default_rng(0).laplace(size=(80, 60)).astype(np.float32)
MODEL: Arrays = {"weight": WEIGHT, "bias": np.arange(60, dtype=np.float32), "steps": np.array(3)}


def test_every_way_is_measured_and_more_bytes_are_less_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tested(name: str, arrays: Arrays, root: Path) -> Score:
        assert list(arrays) == list(MODEL)
        error = float(np.square(arrays["weight"] - WEIGHT).sum() / np.square(WEIGHT).sum())
        return Score(1 - error, error)

    monkeypatch.setattr(models, "trained", lambda name, root, seed: MODEL)
    monkeypatch.setattr(models, "tested", tested)
    recipe = models.Recipe("mnist", (0.1,), (20, 10, 5), (2, 4), (0.1, 0.5))
    monkeypatch.setitem(models.RECIPES, "lenet5", recipe)
    assert models.main(["--models", "lenet5", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "bench_models.json").read_text())
    ours = ["model file"] * 3 + ["cut"] + ["progressive, cut"] * 2
    assert [row["method"] for row in rows] == [
        "itself", *ours, "uniform, 2 bits", "uniform, 4 bits", "pruned to 10%", "pruned to 50%"
    ]  # fmt: skip
    found = [row["accuracy"] for row in rows if row["method"] == "model file"]
    assert found == sorted(found)
    assert all(row["bytes"] <= 19_448 / ratio for row, ratio in zip(rows[1:4], (20, 10, 5), strict=True))
    assert rows[7]["bytes"] > 2 * 4800 / 8
    assert rows[-1]["bytes"] > 2400 * 2
    assert (tmp_path / "bench_models.md").read_text() == models_table(rows)
    assert models_headline(rows).splitlines()[0].startswith("| accuracy | itself | 1/5 | 1/10 | 1/20")
