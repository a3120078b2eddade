"""The comparison of the writer in C with the library's encoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from simulations.benchmarks.c_writer import built, written
from simulations.report import c_writer
from simulations.report.c_writer import Row
from surp_fl import Layout, SuRP

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
ROW = Row("lenet5", "dense", "none", 218, 217, 0.85, 0.1, 0.02)


@needs_cc
@pytest.mark.parametrize("budget", [40, 218, 2000])
def test_the_library_reads_what_is_written_in_c(tmp_path: Path, budget: int) -> None:
    rng = np.random.default_rng(budget)
    layout = Layout.of({"weight": np.zeros((40, 50), np.float32), "bias": np.zeros(40, np.float32)})
    vector, model = (rng.standard_t(2, layout.size).astype(np.float32) for _ in range(2))
    message = written(built(tmp_path), vector, layout, budget, model)
    decoded = SuRP(budget).codec.decode(message, layout, reference=model)
    assert len(message) <= budget
    assert np.linalg.norm(vector - decoded) < np.linalg.norm(vector)


@needs_cc
def test_what_the_writer_in_c_refuses_is_an_error(tmp_path: Path) -> None:
    layout = Layout.of({"weight": np.zeros(3, np.float32)})
    with pytest.raises(RuntimeError, match="status 6"):
        written(built(tmp_path), np.full(3, np.nan, np.float32), layout, 100, None)


def test_rows_are_read_as_they_were_saved(tmp_path: Path) -> None:
    c_writer.save([ROW], tmp_path)
    assert c_writer.load(tmp_path) == [ROW]


def test_the_table_tells_the_least_share_and_the_means_of_times() -> None:
    text = c_writer.table([ROW, ROW._replace(context="model", share=1.2, seconds=0.3, library_seconds=0.04)])
    assert "The least of all 2 is 0.85." in text
    assert "| 218 B | 0.85 to 1.20; 200, 30 |" in text
