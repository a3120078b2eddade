"""The runner of the guided fuzzer, with a program that behaves as libFuzzer does: it needs none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fuzz import corpus_files, guided
from tests.fuzz.corpus_files import MOST_BYTES, MOST_INPUTS, inputs_of, replace
from tests.fuzz.guided import Job, Outcome, fuzz, jobs_of, main, table

_LIKE_LIBFUZZER = """
import pathlib, sys
prefix = next(each for each in sys.argv if each.startswith("-artifact_prefix="))
print("#7 DONE cov: 12 ft: 34 corp: 5/6b exec/s: 3", file=sys.stderr)
print("stat::number_of_executed_units: 4567", "stat::average_exec_per_sec:     89", sep="\\n", file=sys.stderr)
if {finds}:
    pathlib.Path(prefix.split("=")[1] + "crash-1").write_bytes(b"x")
sys.exit({code})
"""


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided, "FOUND", tmp_path / "found")
    monkeypatch.setattr(guided, "FINDINGS", tmp_path / "findings")
    monkeypatch.setattr(corpus_files, "COMMITTED", tmp_path / "committed")


def _job(finds: bool = False, code: int = 0) -> Job:
    return Job("minifloat", "pure", (sys.executable, "-c", _LIKE_LIBFUZZER.format(finds=finds, code=code)))


def test_what_libfuzzer_says_is_in_the_table() -> None:
    outcome = fuzz(_job(), 1)
    assert (outcome.executed, outcome.per_second, outcome.branches, outcome.features) == (4567, 89, 12, 34)
    assert outcome.inputs == 2  # the seeds
    assert table([outcome]).splitlines()[1].split() == ["minifloat-pure", "4,567", "89", "12", "34", "2", "none"]


@pytest.mark.parametrize(("finds", "code", "status"), [(False, 0, 0), (True, 77, 1), (False, 1, 1)])
def test_a_finding_and_a_failure_are_named_and_end_with_1(
    finds: bool, code: int, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guided, "jobs_of", lambda targets, forms: [_job(finds, code)])
    assert main(["--minutes", "0.01", "--targets", "minifloat"]) == status
    told = capsys.readouterr().out
    assert ("minifloat-pure-crash-1" in told) == finds
    assert ("failed" in told) == (status == 1 and not finds)


def test_earlier_findings_are_not_told_again() -> None:
    assert fuzz(_job(finds=True, code=77), 1).findings
    assert not fuzz(_job(), 1).findings


def test_every_target_is_fuzzed_first_as_python_and_then_compiled() -> None:
    jobs = jobs_of(["varints", "bit_io"], ["pure", "compiled"])
    assert [job.name for job in jobs] == ["varints-pure", "bit_io-pure", "varints-compiled", "bit_io-compiled"]
    assert jobs[0].environment["SURP_FL_PURE_PYTHON"] == "1"
    assert jobs[2].environment.get("SURP_FL_PURE_PYTHON") != "1"


def test_a_corpus_is_cut_to_its_smallest_inputs() -> None:
    assert replace("many", (bytes([each]) * (each + 1) for each in range(200))) == MOST_INPUTS
    assert max(map(len, inputs_of("many"))) == MOST_INPUTS
    assert replace("many", [bytes(MOST_BYTES), b"small"]) == 1
    assert inputs_of("many") == [b"small"]


def test_an_outcome_without_inputs_has_a_line() -> None:
    assert "see build/fuzz-logs" in table([Outcome(_job(), 0, 0, 0, 0, 0, [], failed="no such module")])
