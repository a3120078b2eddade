"""NNCodec as a scheme of the experiments: within its budget, with our error feedback, where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the experiments train models")

from simulations.app.schemes import last_scheme_of, parse
from simulations.nncodec import scheme
from simulations.report.plots.style import in_order, style_of
from surp_fl import Layout
from surp_fl.codecs import READERS, SCHEMES
from tests.simulations import nncodec_stub
from tests.simulations.runs import SMALL, run_in_process

LAYOUT = Layout.of({"weight": np.zeros((60, 50), np.float32), "bias": np.zeros(50, np.float32)})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    nncodec_stub.install(tmp_path, monkeypatch)
    monkeypatch.setenv(scheme.VARIABLE, sys.executable)
    scheme.process_of_the_environment.cache_clear()
    yield
    scheme.process_of_the_environment().close()
    scheme.process_of_the_environment.cache_clear()
    READERS.pop(scheme.READER.scheme_id)


@pytest.mark.usefixtures("installed")
def test_messages_fit_their_budget_and_what_they_leave_out_is_owed() -> None:
    found = last_scheme_of("nncodec:1200")
    rng = np.random.default_rng(0)
    vector = rng.laplace(size=LAYOUT.size).astype(np.float32)
    message = found.codec.encode(vector, LAYOUT, rng=rng)
    sent = found.codec.decode(message, LAYOUT)
    assert 1000 < len(message) <= 1200
    assert 0 < np.linalg.norm(vector - sent) < 0.9 * np.linalg.norm(vector)
    state = found.memory.settle(vector, sent, {})
    np.testing.assert_array_equal(found.memory.recall(np.zeros_like(vector), state), vector - sent)
    assert not found.codec.decode(found.codec.encode(np.zeros_like(vector), LAYOUT, rng=rng), LAYOUT).any()


@pytest.mark.usefixtures("installed")
def test_a_budget_in_which_it_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="NNCodec says nothing in so few"):
        last_scheme_of("nncodec:50").codec.encode(np.ones(LAYOUT.size, np.float32), LAYOUT, rng=np.random.default_rng())
    with pytest.raises(ValueError, match="training diverged"):
        last_scheme_of("nncodec:500").codec.encode(
            np.full(LAYOUT.size, np.nan, np.float32), LAYOUT, rng=np.random.default_rng()
        )


def test_without_an_interpreter_rows_of_it_are_shown_and_runs_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(scheme.VARIABLE, raising=False)
    assert parse("nncodec:15000:scale=0.5") == ("nncodec", 15000, {"scale": 0.5})
    assert in_order(["nncodec", "surp"]) == ["surp", "nncodec"]
    assert style_of("nncodec") == (scheme.ROW.colour, scheme.ROW.marker)
    with pytest.raises(ValueError, match=r"SURP_FL_NNCODEC is not set.*make peers"):
        last_scheme_of("nncodec:15000")
    assert "nncodec" not in SCHEMES


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_a_run_trains_with_its_messages() -> None:
    row = run_in_process(replace(SMALL, scheme="nncodec:40000:scale=0.5", clients=2))
    assert not row.failed
    assert 30_000 < row.payload_bytes_up_max <= 40_000
    assert row.loss[-1] < row.loss[0]
