"""NNCodec and SuRP on recorded updates: curves of real messages, measured once, and what they are compared by."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the experiment trains models")

from simulations.experiments import update_rates
from simulations.experiments.messages import Recorded
from simulations.experiments.recorded_updates import SOURCES, InTurn
from simulations.nncodec.process import Process
from simulations.nncodec.updates import arrays_of, coarsest, encoded, fitting, vector_of
from simulations.report import update_rates as report
from simulations.report.update_rates import OURS, THEIRS, Measured, Tried, bytes_for
from surp_fl import Layout
from tests.simulations import nncodec_stub

SHAPES: dict[str, tuple[int, ...]] = {"weight": (60, 50), "bias": (50,), "scale": ()}
LAYOUT = Layout.of({name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()})
RNG = np.random.default_rng(0)


def update() -> Recorded:
    vector, model = RNG.laplace(scale=1e-2, size=(2, LAYOUT.size)).astype(np.float32)
    before = np.where(np.abs(vector) > 0.03, model + 1, model)  # what is large has changed before
    return Recorded("dense", 2, 0, LAYOUT, vector, vector, model, before)


FOUND = InTurn(update(), update())
Stub = Callable[[], Process]


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    nncodec_stub.install(tmp_path, monkeypatch)
    return lambda: Process(Path(sys.executable))


def test_an_update_comes_back_as_close_as_the_step_is_small(process: Stub) -> None:
    vector = FOUND.update.vector
    with process() as peer:
        peer.hold(arrays_of(vector, LAYOUT))
        for qp in (-640, -960):
            (message,) = encoded(peer, qp, {})
            off = np.abs(vector_of(peer.decode(message), LAYOUT) - vector)
            assert 0 < off.max() <= 2 ** (qp / 64) / 2 * 1.01
        (nothing,) = encoded(peer, coarsest(vector), {})
        assert not vector_of(peer.decode(nothing), LAYOUT).any()


def test_about_the_finest_step_that_fits_is_found() -> None:
    for largest in (0, 1, 77, 420, 50_000):
        found = fitting(lambda qp: [b"before", bytes(max(0, -qp))], largest, 5)
        assert found is not None
        assert 0.99 * largest <= len(found[-1]) <= largest or len(found[-1]) > 1600
    assert fitting(lambda qp: [bytes(10)], 9, -5) is None


@pytest.mark.parametrize("way", THEIRS)
def test_messages_of_nncodec_fit_and_lose_less_the_longer_they_are(way: str, process: Stub) -> None:
    with process() as peer:
        found = list(update_rates.nncodec(FOUND, way, peer))
    assert [each.size for each in found] == [250, 1000, 4000]  # the stub's shortest takes more than 100 bytes
    assert all(each.bytes <= each.size for each in found)
    assert found[0].error == 1 > found[1].error > found[2].error > 0


def test_messages_of_surp_fit_and_are_coded_in_the_context_of_their_way() -> None:
    curves = {way: list(update_rates.surp(FOUND, way)) for way in OURS}
    for found in curves.values():
        assert all(each.bytes <= each.size for each in found)
        assert [each.error for each in found] == sorted((each.error for each in found), reverse=True)
    assert len({tuple(each.error for each in found) for found in curves.values()}) == len(OURS)


def test_bytes_between_two_messages_are_interpolated_and_none_beyond_them() -> None:
    tried = [Tried(size, size, float(np.exp(-((size / 1000) ** 0.7))), 0, 0) for size in (100, 200, 400, 800)]
    found = bytes_for(float(np.exp(-(0.3**0.7))), tried)
    assert found is not None
    assert abs(found - 300) < 1
    assert bytes_for(0.999, tried) is None
    assert bytes_for(0.001, tried) is None
    assert bytes_for(0.5, []) is None


def test_the_table_says_on_which_side_of_all_that_was_tried_an_error_lies() -> None:
    ours = [Tried(size, size, 1 - size / 5000, 0, 0) for size in (50, 1000, 4000)]
    theirs = [Tried(1000, 1000, 0.8, 0, 0), Tried(4000, 2000, 0.1, 0, 0), Tried(15_000, 500, 0.995, 0, 0)]
    rows = [
        Measured("lora", "dense", way, 9, each) for way, of in ((OURS[0], ours), (THEIRS[1], theirs)) for each in of
    ]
    table = report.table([*rows, Measured("lora", "dense", THEIRS[0], 9, Tried(250, 18, 1.0, 0, 0))])
    for line in (
        "| 1,000 | 0.8: 1.00, —, — |", "| 4,000 | 0.1: >2.00, —, — |", "| 15,000 | 0.9950: <0.10, —, — |",
        "| 250 | says nothing |",
    ):  # fmt: skip
        assert line in table


def test_the_command_measures_once_and_again_what_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], process: Stub
) -> None:
    monkeypatch.setattr(update_rates, "recorded", lambda workload, source, root: FOUND)
    command = ["--workloads", "lenet5", "lora", "--out", str(tmp_path)]
    assert update_rates.main(command) == 0
    assert update_rates.main([*command, "--nncodec", sys.executable]) == 0
    rows = report.load(tmp_path)
    for source, ways in zip(SOURCES, ({*OURS, *THEIRS}, {*OURS, *THEIRS[:2]}), strict=True):
        assert {row.way for row in rows if row.source == source} == ways
    assert {(row.workload, row.source) for row in rows} == {(name, each) for name in command[1:3] for each in SOURCES}
    table = (tmp_path / "update_rates.md").read_text()
    assert "| dense | 1,000 | " in table
    assert (tmp_path / "update_rates.png").stat().st_size > 10_000
    capsys.readouterr()
    assert update_rates.main([*command, "--nncodec", sys.executable]) == 0
    assert ": SuRP" not in capsys.readouterr().out
    assert report.load(tmp_path) == rows
    assert update_rates.main([*command, "--again", OURS[0]]) == 0
    shown = capsys.readouterr().out
    assert "lora, dense: SuRP\n" in shown
    assert "NNCodec\n" not in shown
    again = report.load(tmp_path)
    assert [row for row in again if row.way in THEIRS] == [row for row in rows if row.way in THEIRS]
    assert [_untimed(row) for row in again] == [_untimed(row) for row in rows]


def _untimed(row: Measured) -> Measured:
    return replace(row, tried=row.tried._replace(seconds=0, seconds_back=0))
