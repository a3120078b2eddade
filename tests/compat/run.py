"""The library's tests under other versions of Flower, Python and NumPy: `make compat`, `make compat-short`.

    python -m tests.compat.run --page docs/compatibility.md

Each combination gets an environment of its own in build/compat, which is kept and used again; so is its result, if all
passed, until the library, its tests or a version changes. The library is installed as a wheel, built once for each
Python; the tests run from a copy beside it, so that they import what was installed. Knows pip and pytest. Does not know
the library, and needs the standard library alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

from simulations.report.markdown import table
from tests.compat.combinations import COMBINATIONS, Combination, short

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "compat"
LIBRARY = ("surp_fl", "strategies", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
SUITE = (
    *("tests", "docs", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
    *("simulations/results/README.md", "surp_fl/FORMAT.md"),
    *(f"simulations/{name}.py" for name in ("__init__", "benchmarks/__init__", "benchmarks/schemes")),
)
EXAMPLES = "tests/test_docs.py::test_the_examples_of_a_page_run"
TESTS = (
    *("tests/flower", "tests/strategies", "tests/codecs/surp/test_messages.py", "tests/entropy", EXAMPLES),
    *(f"tests/codecs/test_{name}.py" for name in ("baselines", "golden", "sizes", "truncate")),
    *(f"tests/test_{name}.py" for name in ("change", "frame", "layout", "memory", "printable", "statistics")),
)
SHORT_TESTS = (
    *("tests/flower", "tests/codecs/test_golden.py", "tests/test_layout.py", EXAMPLES),
    *(f"tests/strategies/test_{name}.py" for name in ("dtypes", "strategies", "ties")),
)
HEADER = ("Flower", "Python", "NumPy", "passed", "failed", "skipped")
MARK, END = "<!-- combinations -->\n", "<!-- end -->\n"
FOUND = """
import flwr, numpy, platform, surp_fl
print(flwr.__version__, platform.python_version(), numpy.__version__, surp_fl.__file__)
"""


class StepError(Exception):
    """A step before the tests failed; the text is its output."""


@dataclass(frozen=True)
class Outcome:
    """What came of one combination.

    Attributes:
        flower, python, numpy: the versions that were installed; those that were asked for if `reason` is set.
        passed, failed, skipped: numbers of tests.
        reason: why no test ran; empty if tests ran.
    """

    flower: str
    python: str
    numpy: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reason: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """The cells under `HEADER`."""
        counts = (self.passed, self.failed, self.skipped)
        return (self.flower, self.python, self.numpy, *(("not run",) * 3 if self.reason else map(str, counts)))


def outcome_of(report: Path, versions: Sequence[str]) -> Outcome:
    """Count the results in a report that pytest wrote.

    Args:
        report: in JUnit's XML.
        versions: of Flower, Python and NumPy, as they were installed.
    """
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    total, failures, errors, skipped = (int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped"))
    flower, python, numpy = versions
    return Outcome(flower, python, numpy, total - failures - errors - skipped, failures + errors, skipped)


def interpreters(named: Iterable[str]) -> dict[str, str]:
    """Find Python interpreters: this one, those named, and python3.11, python3.12, … on PATH.

    Args:
        named: paths or commands; they go before those on PATH.

    Returns:
        A path for each minor version.
    """
    found: dict[str, str] = {}
    on_path = {combination.python for combination in COMBINATIONS}
    for command in (*named, sys.executable, *(f"python{minor}" for minor in sorted(on_path))):
        path = shutil.which(command)
        if path is None:
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:  # a version manager's command may exist, and run nothing
            found.setdefault(done.stdout.strip(), path)
    return found


def run(combination: Combination, interpreter: str, tests: Sequence[str], processes: int) -> Outcome:
    """Install one combination, and run tests in it.

    Raises:
        StepError: it could not be installed, or pytest could not run.
    """
    folder = BUILD / str(combination)
    python = folder / "bin" / "python"
    if not python.exists():
        _checked([interpreter, "-m", "venv", "--clear", str(folder)])
    wheel = _wheel(python, combination.python)
    _install(combination, folder, wheel)
    *versions, library = _checked([str(python), "-c", FOUND]).split()
    if not Path(library).is_relative_to(folder):
        raise StepError(f"the tests would import {library}; expected the wheel that was installed in {folder}")
    report, note = folder / "report.xml", folder / "tested.txt"
    tested = "\n".join([_digest("library"), _digest("suite/tests"), *versions, *tests])
    if report.exists() and note.exists() and note.read_text() == tested:
        return outcome_of(report, versions)
    report.unlink(missing_ok=True)
    options = ["-n", str(processes), "--dist", "loadgroup", "-m", "not slow and not deployment", f"--junitxml={report}"]
    command = [str(python), "-m", "pytest", "--disable-warnings", *options, *tests]
    few = {"HYPOTHESIS_PROFILE": "few"}  # all examples are `make test`'s
    done = subprocess.run(command, cwd=BUILD / "suite", env=_environment() | few, check=False)
    if not report.exists():
        raise StepError("pytest wrote no report: its message stands above")
    if done.returncode == 0:
        note.write_text(tested)
    return outcome_of(report, versions)


def _install(combination: Combination, folder: Path, wheel: Path) -> None:
    """Install the library, what tests need and the versions asked for; "newest" is looked up each time."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    for_tests = [each for each in settings if each.startswith(("pytest", "hypothesis"))]
    wanted = [str(wheel), *for_tests, *combination.requirements]
    note = folder / "installed.txt"
    if note.exists() and note.read_text().split("\n") == wanted and combination.flower != "newest":
        return
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    _checked([*pip, "--upgrade", *wanted])
    _checked([*pip, "--force-reinstall", "--no-deps", str(wheel)])  # its version is that of the wheel before
    note.write_text("\n".join(wanted))


def _wheel(python: Path, minor: str) -> Path:
    """The library's wheel for one Python; built again if a source changed."""
    folder = BUILD / "wheels" / f"{minor}-{_digest('library')}"
    if not list(folder.glob("*.whl")):
        command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps"]
        _checked([*command, "--wheel-dir", str(folder), str(BUILD / "library")])
    (wheel,) = folder.glob("*.whl")
    return wheel


@cache  # building and testing write into the folders
def _digest(name: str) -> str:
    digest = sha256()
    for file in sorted(each for each in (BUILD / name).rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(BUILD)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _copy(names: Iterable[str], folder: Path) -> None:
    """Copy files and folders of the repository; links are followed; what was built, and this folder, are left out."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        source, copy = ROOT / name, folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", "compat")
            shutil.copytree(source, copy, ignore=left_out)
        elif source.exists():
            shutil.copy(source, copy)


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}


def _checked(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BUILD, env=_environment())
    if done.returncode != 0:
        raise StepError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def filled(page: str, rows: str) -> str:
    """A page with the table between its marks replaced.

    Raises:
        ValueError: the page does not have each mark once.
    """
    if page.count(MARK) != 1 or page.count(END) != 1:
        found = f"{page.count(MARK)} lines {MARK.strip()} and {page.count(END)} lines {END.strip()}"
        raise ValueError(f"the page has {found}; expected one of each, around the table: write them into the page")
    before, rest = page.split(MARK)
    return before + MARK + "\n" + rows + "\n" + END + rest.split(END)[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every combination, print the table, and return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat.run", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the oldest versions on this Python, and fewer tests")
    parser.add_argument("--flower", nargs="+", metavar="1.30", help="try these on this Python, not the listed ones")
    parser.add_argument("--python", nargs="+", default=[], metavar="PATH", help="interpreters beside those on PATH")
    parser.add_argument("--processes", type=int, default=2, help="that run the tests (default: 2)")
    parser.add_argument("--page", type=Path, help="write the table into this page, between its marks")
    options = parser.parse_args(arguments)
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    combinations: Sequence[Combination] = [short(this)] if options.short else COMBINATIONS
    if options.flower:
        combinations = [Combination(version, this) for version in options.flower]
    _copy(LIBRARY, BUILD / "library")
    _copy(SUITE, BUILD / "suite")
    found, outcomes = interpreters(options.python), []
    for combination in combinations:
        began = time.monotonic()
        print(f"== {combination}", flush=True)
        try:
            if combination.python not in found:
                raise StepError(f"no python{combination.python} on PATH: install one, or name it with --python")
            tests = SHORT_TESTS if options.short else TESTS
            outcome = run(combination, found[combination.python], tests, options.processes)
        except StepError as fault:
            outcome = Outcome(combination.flower, combination.python, combination.numpy, reason=str(fault))
            print(fault, flush=True)
        outcomes.append(outcome)
        print(f"   {time.monotonic() - began:.0f} s", flush=True)
    made = table(HEADER, [outcome.row for outcome in outcomes], "lllrrr")
    print(made, end="")
    if options.page:
        options.page.write_text(filled(options.page.read_text(), made))
    return int(any(outcome.failed or outcome.reason for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
