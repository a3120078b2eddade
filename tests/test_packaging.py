"""What is built from the sources: everything is there, once, with strategies/ as `surp_fl.strategies`."""

from __future__ import annotations

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
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=sources)
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
    assert {"surp_fl/py.typed", "surp_fl/FORMAT.md"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)


def test_the_wheel_has_every_module_once_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    check_wheel(built("wheel", checkout, tmp_path), modules(checkout))


def test_a_wheel_can_be_built_from_the_sdist_and_is_the_same(checkout: Path, tmp_path: Path) -> None:
    sdist = built("sdist", checkout, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (sources,) = (tmp_path / "unpacked").iterdir()
    check_wheel(built("wheel", sources, tmp_path / "second"), modules(checkout))


def test_an_installed_wheel_works_apart_from_the_sources(checkout: Path, tmp_path: Path) -> None:
    wheel = built("wheel", checkout, tmp_path)
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "import surp_fl.strategies.downlink.deltas as found; print(found.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path / "site"
    )
    assert done.stdout.strip() == str(tmp_path / "site/surp_fl/strategies/downlink/deltas.py"), done.stderr
