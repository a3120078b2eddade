"""What is built from the sources: everything is there, once, with strategies/ as `surp_fl.strategies`.

Built as on a machine without a C compiler, where the build must go on.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
BUILD = "from setuptools import build_meta; print(build_meta.build_{kind}({out!r}))"


def built(kind: str, sources: Path, out: Path) -> Path:
    """A wheel or an sdist, by the project's own backend, from a folder of sources."""
    setuptools = pytest.importorskip("setuptools", "77")
    assert setuptools is not None
    command = [sys.executable, "-c", BUILD.format(kind=kind, out=str(out))]
    no_compiler = os.environ | {"CC": "false", "CXX": "false"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=sources, env=no_compiler)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, as they are now, links as links."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, cwd=ROOT, check=False
    )
    if listed.returncode != 0:
        pytest.skip("these sources are no checkout of git")
    for name in listed.stdout.decode().split("\0"):
        source, made = ROOT / name, folder / name
        if not name or not (source.exists() or source.is_symlink()) or name.startswith("simulations/results"):
            continue
        made.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            made.symlink_to(source.readlink())
        else:
            made.write_bytes(source.read_bytes())
    return folder


def modules(folder: Path) -> set[str]:
    """Every module of the library, by the path that it has in a wheel."""
    own = {
        str(file.relative_to(folder)) for file in (folder / "surp_fl").rglob("*.py") if "strategies" not in file.parts
    }
    return own | {f"surp_fl/{file.relative_to(folder)}" for file in (folder / "strategies").rglob("*.py")}


def check_wheel(wheel: Path, wanted: set[str]) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if name.endswith(".py")} == wanted
    assert len(names) == len(set(names))
    assert {"surp_fl/py.typed", "surp_fl/FORMAT.md", "surp_fl/c/surp.h", "surp_fl/c/decode.c"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", checkout, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked_sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built("sdist", checkout, folder)) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (sources,) = (folder / "unpacked").iterdir()
    return sources


def test_the_wheel_has_every_module_once_and_nothing_else(checkout: Path, wheel: Path) -> None:
    check_wheel(wheel, modules(checkout))


def test_a_wheel_can_be_built_from_the_sdist_and_is_the_same(
    checkout: Path, unpacked_sdist: Path, tmp_path: Path
) -> None:
    check_wheel(built("wheel", unpacked_sdist, tmp_path), modules(checkout))


def test_the_sdist_has_what_its_tests_need(checkout: Path, unpacked_sdist: Path) -> None:
    folders = ("tests", "simulations", "docs", "surp_fl")
    files = (file for folder in folders for file in (checkout / folder).rglob("*") if file.is_file())
    present = {str(file.relative_to(unpacked_sdist)) for file in unpacked_sdist.rglob("*")}
    assert {str(file.relative_to(checkout)) for file in files} - present == set()
    assert "surp_fl/strategies/decode_updates.py" in present
    assert {"Makefile", "pyproject.toml", "setup.py", "mkdocs.yml", "CONTRIBUTING.md"} <= present


def test_the_description_of_the_package_has_no_link_that_leads_nowhere(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    text = archive.read(metadata).decode()
    assert "What changes in your app" in text
    assert re.findall(r"\]\((?!https?:|#)", text) == []


def test_an_installed_wheel_works_apart_from_the_sources(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "import surp_fl.strategies.downlink.deltas as found; print(found.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path / "site"
    )
    assert done.stdout.strip() == str(tmp_path / "site/surp_fl/strategies/downlink/deltas.py"), done.stderr
    assert "without its compiled loops" in done.stderr
