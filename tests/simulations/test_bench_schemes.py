"""The bench of all schemes: every registered one is on it, with real messages, in a table and a plot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="updates are recorded from training runs")

from simulations.benchmarks import schemes
from simulations.experiments import recorded_updates
from simulations.experiments.messages import Recorded
from simulations.experiments.recorded_updates import InTurn
from simulations.report import bench_schemes
from surp_fl import STC, Layout
from surp_fl.codecs import SCHEMES, Codec, Registration
from surp_fl.memory import Memory, NoMemory

LAYOUT = Layout.of({"weight": np.zeros((60, 500), np.float32)})


def update() -> Recorded:
    vector, model = np.random.default_rng(0).laplace(size=(2, LAYOUT.size)).astype(np.float32)
    return Recorded("dense", 2, 0, LAYOUT, vector, vector, model, model.copy())


@dataclass(frozen=True)
class Mine:
    """A scheme that a user brings."""

    budget: int = 500
    memory: Memory = field(default_factory=NoMemory)

    @property
    def codec(self) -> Codec:
        return STC(self.budget).codec


def test_every_scheme_is_measured_one_that_is_registered_later_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCHEMES, "mine", Registration("mine", STC(500).codec.reader, Mine, {"mine": Mine()}))
    monkeypatch.setattr(recorded_updates, "recorded", lambda workload, source, root: InTurn(update(), update()))
    monkeypatch.setattr(schemes, "BUDGETS", (250, 2000))
    assert schemes.main(["--workloads", "lenet5", "lora", "--repeats", "1", "--out", str(tmp_path)]) == 0
    rows = bench_schemes.load(tmp_path)
    assert {row.scheme for row in rows} == set(SCHEMES)
    found = {(row.scheme, row.setting): row for row in rows if row.workload == "lora"}
    assert len(found) == len(rows) / 2
    assert found["mine", "250 B"].error == found["stc", "250 B"].error
    assert found["surp", "250 B, model and history"].error != found["surp", "250 B"].error
    assert found["dense", "dense"].bytes == 4 * LAYOUT.size + 4
    assert found["dense", "dense"].error == 0
    for (scheme, setting), row in found.items():
        if SCHEMES[scheme].has_budget:
            assert row.bytes <= int(setting.split()[0]), scheme
        assert min(row.seconds, row.seconds_back) > 0
    table = (tmp_path / "bench_schemes.md").read_text()
    assert "| mine | 2,000 B | " in table
    assert (tmp_path / "bench_schemes.png").stat().st_size > 10_000
