"""The benchmark of lossless compression: every compressor is measured, and one that is missing is said to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the benchmark trains models")

from simulations.benchmarks import lossless
from simulations.report.benchmarks import lossless_table

SMALL = {"weight": np.random.default_rng(0).standard_normal((50, 40), np.float32), "steps": np.array(3)}


def test_every_compressor_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless, "models", lambda root, seed: {"small": SMALL})
    assert lossless.main(["--repeats", "2", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "bench_lossless.json").read_text())
    assert [row["method"] for row in rows] == list(lossless.methods())
    for row in rows:
        if row["bytes"] is not None:
            assert row["nbytes"] == 8008
            assert (row["repeats"], row["compress_mb_s"] > 0, row["decompress_mb_s"] > 0) == (2, True, True)
    assert rows[0]["bytes"] < 7200
    assert (tmp_path / "bench_lossless.md").read_text() == lossless_table(rows)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless, "zstandard", None)
    (line,) = (each for each in lossless_table(lossless.measure("small", SMALL, 1)).splitlines() if "small" in each)
    assert line.count("not installed") == 2


def test_pruning_keeps_a_tenth_of_the_weights() -> None:
    weights = np.arange(1.0, 101.0, dtype=np.float32)
    pruned = lossless._pruned(weights.reshape(10, 10))
    assert pruned.dtype == np.float32
    assert np.flatnonzero(pruned).tolist() == list(range(90, 100))
    assert lossless._pruned(weights) is weights
