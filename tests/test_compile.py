"""Compiled loops: kept by all sources of the package, in a folder of this user's alone, or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from surp_fl import _compile

pytestmark = pytest.mark.slow

ROOT = Path(_compile.__file__).parent
NO_HOME = {"HOME": "/proc/nonexistent"}
PLACES = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
CALLEE = "from loops._compile import njit\n\n\n@njit(cache=True)\ndef callee(a):\n    return a + 1\n"
CALLER = (
    "from loops._compile import njit\nfrom loops.callee import callee\n\n\n"
    "@njit(cache=True)\ndef caller(a):\n    return 10 * callee(a)\n"
)
ASK = "from loops.caller import caller; print(caller(3), sum(caller.stats.cache_hits.values()))"


def start(parent: Path, code: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code]
    inherited = {name: value for name, value in os.environ.items() if name not in PLACES}
    variables = {**inherited, "PYTHONPATH": str(parent), **environment}
    return subprocess.Popen(
        command, cwd=parent, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answer(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.strip()


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    """The folder of a package of two loops in two files, which one of them calls."""
    package = tmp_path / "loops"
    package.mkdir()
    for name, source in (("__init__", ""), ("callee", CALLEE), ("caller", CALLER)):
        (package / f"{name}.py").write_text(source)
    shutil.copy(ROOT / "_compile.py", package)
    return package


def test_a_package_and_a_home_that_cannot_be_written_to_cost_the_cache_alone(tmp_path: Path) -> None:
    """Where a `__pycache__` is a file, root can make no folder of that name either."""
    shutil.copytree(ROOT, tmp_path / "surp_fl", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path / "surp_fl", tmp_path / "surp_fl/entropy", tmp_path / "surp_fl/codecs"):
        (folder / "__pycache__").write_text("")
    code = (
        "import numpy as np, surp_fl, surp_fl._compile\n"
        f"assert surp_fl.__file__.startswith({str(tmp_path)!r})\n"
        "from surp_fl.entropy.bitio import BitReader, BitWriter\n"
        "from surp_fl.entropy.golomb_rice import read_gaps, write_gaps\n"
        "bits, sent = BitWriter(), np.array([2, 30, 31])\n"
        "write_gaps(bits, sent, 3)\n"
        "layout, vector, rng = surp_fl.Layout.of({'w': sent / 7}), np.float32(sent), np.random.default_rng(0)\n"
        "dense = surp_fl.Dense().codec\n"
        "assert (dense.decode(dense.encode(vector, layout, rng=rng), layout) == vector).all()\n"
        "print(read_gaps(BitReader(bits.to_bytes()), 3, 40, 3), surp_fl._compile.folder())\n"
    )
    assert answer(start(tmp_path, code, **NO_HOME)) == "[ 2 30 31] None"
    files = [file for file in (tmp_path / "surp_fl").rglob("*") if file.is_file() and file.suffix not in (".py", ".md")]
    assert {file.name for file in files} == {"__pycache__", "py.typed"}


def test_a_compiled_caller_runs_the_new_code_of_what_it_calls_in_another_file(loops: Path) -> None:
    assert answer(start(loops.parent, ASK)) == "40 0"
    assert answer(start(loops.parent, ASK)) == "40 1"
    (loops / "callee.py").write_text(CALLEE.replace("a + 1", "a + 2"))
    assert answer(start(loops.parent, ASK)) == "50 0"


def test_processes_that_compile_at_once_leave_a_cache_that_is_whole(loops: Path, tmp_path: Path) -> None:
    """With the folder that NUMBA_CACHE_DIR names, and for two types of the argument; a damaged file is made anew."""
    chosen = tmp_path / "chosen"
    both = ASK.replace("caller(3)", "caller(3), caller(3.5)")
    together = [start(loops.parent, ask, NUMBA_CACHE_DIR=str(chosen)) for ask in (ASK, both.replace("caller(3),", ""))]
    assert [answer(each).split()[0] for each in together] == ["40", "45.0"]
    (folder,) = chosen.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    stored = sorted(folder.glob("loops.caller.caller-*"))
    assert len(stored) == 2
    assert answer(start(loops.parent, both, NUMBA_CACHE_DIR=str(chosen))) == "40 45.0 2"
    for file in stored:
        whole = file.read_bytes()
        file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    damaged = [file.read_bytes() for file in stored]
    assert answer(start(loops.parent, both, NUMBA_CACHE_DIR=str(chosen))) == "40 45.0 0"
    assert all(file.read_bytes() != before for file, before in zip(stored, damaged, strict=True))


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    made = _compile._own_folder(tmp_path)
    assert made is not None
    assert _compile._own_folder(tmp_path) == made
    for mode in (0o777, 0o770, 0o702):
        made.chmod(mode)
        assert _compile._own_folder(tmp_path) is None
    made.chmod(0o700)
    tmp_path.chmod(0o777)  # where others could move it away and put another in its place
    assert _compile._own_folder(tmp_path) is None
    tmp_path.chmod(0o1777)
    assert _compile._own_folder(tmp_path) == made
    made.rename(tmp_path / "elsewhere")
    made.symlink_to(tmp_path / "elsewhere")
    assert _compile._own_folder(tmp_path) is None
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    made = _compile._own_folder(tmp_path)
    assert made is not None
    os.chown(made, 12345, 12345)
    assert _compile._own_folder(tmp_path) is None


def test_folders_of_older_sources_are_removed_the_oldest_first(tmp_path: Path) -> None:
    older = [tmp_path / f"{_compile.NAME}-{number:032x}" for number in range(6)]
    for age, folder in enumerate(older):
        (folder / "deep").mkdir(parents=True)
        os.utime(folder, (1000 - age, 1000 - age))
    (tmp_path / "surp_fl-of-mine").mkdir()
    made = _compile._own_folder(tmp_path)
    assert made is not None
    assert set(tmp_path.iterdir()) == {*older[:3], made, tmp_path / "surp_fl-of-mine"}


def test_another_numba_than_was_expected_costs_the_cache_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_compile, "folder", lambda: tmp_path)
    stored = _compile.Stored(start)
    assert stored.load_overload((), object()) is None
    stored.save_overload((), object())
    assert list(tmp_path.iterdir()) == []


def test_every_loop_is_compiled_through_the_packages_own_decorator() -> None:
    others = [file for file in ROOT.rglob("*.py") if file.name != "_compile.py"]
    assert [file for file in others if "from numba" in file.read_text()] == []
    assert sum("from surp_fl._compile import njit" in file.read_text() for file in others) > 5
