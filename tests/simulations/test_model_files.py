"""Trained models as few bytes: every way is measured down to where accuracy is lost, and decodes its own bytes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the experiment trains models")
pytest.importorskip("zstandard", reason="a peer")

from simulations.app.training import Score
from simulations.experiments import model_files as experiment
from simulations.model_files import models
from simulations.model_files.curve import tried
from simulations.model_files.nncodec_peer import NNCodec
from simulations.model_files.ways import METHODS, OURS, ways_for
from simulations.report import model_files
from simulations.report.model_files import ITSELF, Measured, smallest
from surp_fl.types import Arrays
from tests.simulations import nncodec_stub

RNG = np.random.default_rng(0)
MODEL: Arrays = {
    "conv.weight": RNG.laplace(size=(30, 10, 3, 3)).astype(np.float32),
    "weight": (0.1 * RNG.laplace(size=(80, 60))).astype(np.float32),
    "bias": np.arange(90, dtype=np.float32),
    "steps": np.array(3),
}
NBYTES = sum(array.nbytes for array in MODEL.values())
KIND = models.Kind("a model", (30, 2), lambda root, seed: models.Trained(MODEL, score_of), (0,))
WEIGHTS = ("conv.weight", "weight")


def score_of(arrays: Arrays) -> Score:
    """Accuracy falls with the error, relative to each array."""
    assert list(arrays) == list(MODEL)
    assert all(arrays[name].dtype == array.dtype for name, array in MODEL.items())
    error = max(np.square(arrays[name] - MODEL[name]).sum() / np.square(MODEL[name]).sum() for name in WEIGHTS)
    return Score(1 - float(error) / 10, float(error))


def test_the_error_of_each_way_falls_with_its_bytes_nearly_to_zero() -> None:
    assert [way.method for way in ways_for(MODEL, KIND)] == list(METHODS)
    for way in ways_for(MODEL, KIND):
        chosen = [way.settings[place] for place in (0, len(way.settings) // 2, len(way.settings) - 1)]
        files = [way.compress(setting) for setting in chosen]
        errors = [score_of(way.decompress(file)).loss for file in files]
        assert [len(file) for file in files] == sorted(map(len, files)), way.method
        assert errors == sorted(errors, reverse=True), way.method
        assert errors[0] > 2 * errors[-1], way.method
        assert errors[-1] < 0.1, way.method


def test_what_is_pruned_is_what_lamp_prunes_and_the_rest_is_close() -> None:
    (way,) = (way for way in ways_for(MODEL, KIND) if way.method.startswith("LAMP"))
    found = way.decompress(way.compress(0.2))
    kept = sum(np.count_nonzero(found[name]) for name in WEIGHTS)
    assert kept == round(0.2 * sum(MODEL[name].size for name in WEIGHTS))
    for name in WEIGHTS:
        off = np.abs(found[name] - MODEL[name])[found[name] != 0]
        assert off.max() < np.abs(MODEL[name]).max() / 250
    np.testing.assert_allclose(found["bias"], MODEL["bias"], atol=0.3)


@pytest.mark.parametrize("threshold", [0, 1, 7, 12, 39, 40, 41])
def test_every_setting_is_tried_where_accuracy_is_lost(threshold: int) -> None:
    found = tried(41, lambda setting: setting >= threshold)
    assert 40 in found
    if threshold < 41:
        assert threshold in found
        assert threshold == 0 or threshold - 1 in found
    assert len(found) < 17


def test_the_smallest_file_is_accurate_enough_where_chance_is_smoothed() -> None:
    found = [(10, 0.5), (20, 0.9), (30, 0.8), (40, 0.9)]
    rows = [Measured("lenet5", 0, OURS, 0, size, accuracy, 0, 0, 0) for size, accuracy in found]
    for least, size in ((0.4, 10), (0.51, 20), (0.849, 20), (0.851, 40)):
        row = smallest(rows, least)
        assert row is not None
        assert row.bytes == size
    assert smallest(rows, 0.95) is None
    assert smallest([], 0.5) is None


def test_the_command_measures_once_and_writes_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nncodec_stub.install(tmp_path, monkeypatch)
    monkeypatch.setitem(models.KINDS, "lenet5", replace(KIND, seeds=(0, 1)))
    command = ["--models", "lenet5", "--seeds", "0", "1", "--out", str(tmp_path), "--nncodec", sys.executable]
    assert experiment.main(command) == 0
    rows = model_files.load(tmp_path)
    assert [row.bytes for row in rows if row.method == ITSELF] == [NBYTES, NBYTES]
    methods = list(dict.fromkeys(row.method for row in rows))
    assert {OURS, "NNCodec", "NNCodec, lambda 2"} < set(methods)
    table = model_files.equal_accuracy(rows)
    assert all(f"| {method} | " in table for method in methods[1:])
    ours = [row for row in rows if row.method == OURS and row.seed == 0]
    found = smallest(ours, 1 - model_files.LOSS)
    assert found is not None
    assert f"| {found.bytes:,} |" in table
    assert any(1 - model_files.LOSS > row.accuracy > 1 - 1.5 * model_files.LOSS for row in ours)
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000
    assert model_files.headline(rows).count("\n") == 3
    capsys.readouterr()
    assert experiment.main(command) == 0
    assert "seed 0" not in capsys.readouterr().out
    assert model_files.load(tmp_path) == rows
    model_files.save([row for row in rows if row.method != "NNCodec" or row.seed], tmp_path)
    assert experiment.main(command[:-2]) == 0
    assert "seed 0" not in capsys.readouterr().out
    assert experiment.main(command) == 0
    again = [(row.seed, row.method, row.setting, row.bytes) for row in model_files.load(tmp_path)]
    assert again == [(row.seed, row.method, row.setting, row.bytes) for row in rows]


def test_a_peer_that_fails_says_at_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nncodec_stub.install(tmp_path, monkeypatch, "def compress(*_, **__): raise SystemExit(3)")
    with (
        NNCodec(Path(sys.executable), MODEL) as peer,
        pytest.raises(RuntimeError, match=r"NNCodec ended at .*'qp': -70"),
    ):
        peer.ways()[0].compress(-70)
