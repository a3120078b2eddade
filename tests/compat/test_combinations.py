"""The versions that are tried are those that the project says it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.compat.combinations import ANY, COMBINATIONS, NEWEST, OLDEST, Combination, short
from tests.compat.run import END, MARK, SHORT_TESTS, SUITE, TESTS, filled, interpreters, outcome_of

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = ("README.md", "docs/compatibility.md")
REPORT = """<?xml version="1.0"?><testsuites>
<testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10" time="1.5"></testsuite></testsuites>"""


def lower_bound(package: str) -> str:
    (found,) = (re.match(rf"{package}>=([\d.]+)", each) for each in PROJECT["dependencies"] if each.startswith(package))
    assert found is not None
    return found[1]


def test_the_oldest_and_the_newest_flower_that_may_be_installed_are_tried() -> None:
    assert lower_bound("flwr") == OLDEST
    assert {OLDEST, NEWEST} <= {each.flower for each in COMBINATIONS}


def test_the_oldest_numpy_and_a_later_one_are_tried() -> None:
    assert {lower_bound("numpy"), ANY} == {each.numpy for each in COMBINATIONS}
    assert short("3.11").numpy == lower_bound("numpy")


def test_every_python_that_the_project_names_is_tried() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert set(named) == {each.python for each in COMBINATIONS}
    assert PROJECT["requires-python"] == f">={min(named, key=lambda each: int(each[2:]))}"


@pytest.mark.parametrize("page", PAGES)
def test_pages_give_the_range_of_flower_that_is_installed(page: str) -> None:
    row = re.search(r"^\| Flower \| (.*) \|$", (ROOT / page).read_text(), re.MULTILINE)
    assert row is not None
    assert row[1] == f"`flwr` {OLDEST} or newer, below 2"
    assert f"flwr>={OLDEST},<2" in PROJECT["dependencies"]


def test_a_version_stands_for_its_patches_and_the_newest_for_what_pip_finds() -> None:
    assert Combination("1.27", "3.11", "1.26").requirements == ["flwr==1.27.*", "numpy==1.26.*"]
    assert Combination(NEWEST, "3.11").requirements == ["flwr"]


def test_what_is_run_and_copied_exists() -> None:
    named = {*SUITE, *(test.split("::")[0] for test in TESTS + SHORT_TESTS)}
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_errors_count_as_failures_and_only_the_rest_has_passed(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    outcome = outcome_of(report, ("1.22.0", "3.11.7", "1.26.4"))
    assert outcome.row == ("1.22.0", "3.11.7", "1.26.4", "4", "3", "3")


def test_an_interpreter_that_does_not_run_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for minor, script in (("3.13", "exit 127"), ("3.12", "echo 3.12")):
        (tmp_path / f"python{minor}").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / f"python{minor}").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    found = interpreters([])
    assert found["3.12"] == str(tmp_path / "python3.12")
    assert str(tmp_path / "python3.13") not in found.values()


def test_the_table_of_a_page_is_replaced_and_nothing_else() -> None:
    page = f"before\n{MARK}\nold\n{END}after\n"
    assert filled(page, "new\n") == f"before\n{MARK}\nnew\n\n{END}after\n"
    with pytest.raises(ValueError, match="0 lines <!-- combinations -->"):
        filled("no marks", "new\n")
