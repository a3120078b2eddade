"""What may be imported from where; the rules themselves are import-linter's, in pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_FLOWER = """
import sys
sys.modules["flwr"] = None  # as if it were not installed
import numpy as np
import surp_fl, surp_fl.codecs, surp_fl.cli
layout = surp_fl.Layout.of({"weight": np.zeros((30, 20), np.float32)})
vector = np.random.default_rng(0).standard_t(2, layout.size).astype(np.float32)
message = surp_fl.STC(218).codec.encode(vector, layout, rng=np.random.default_rng(0))
assert (surp_fl.codecs.reader_of(message).decode(message, layout) != 0).any()
try:
    surp_fl.CompressUpdates
except ImportError:
    print("as it should be")
"""


DOCUMENTED = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_codecs_and_the_command_line_work_without_flower() -> None:
    done = run(sys.executable, "-c", WITHOUT_FLOWER)
    assert done.stdout.strip() == "as it should be", done.stderr


def test_importing_the_library_imports_neither_torch_nor_flower() -> None:
    code = "import sys, surp_fl; print({'torch', 'flwr'} & set(sys.modules))"
    assert run(sys.executable, "-c", code).stdout.strip() == "set()"


def test_all_rules_of_import_hold() -> None:
    pytest.importorskip("importlinter")
    done = run(sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


@pytest.mark.slow
def test_a_codec_that_imports_flower_breaks_a_rule(tmp_path: Path) -> None:
    """The rules look at every room: strategies behind its symbolic link, and codecs."""
    pytest.importorskip("importlinter")
    for name in ("surp_fl", "simulations", "strategies"):
        (tmp_path / name).mkdir()
    for folder in ("surp_fl", "strategies", "simulations"):
        for source in (ROOT / folder).rglob("*.py"):
            if folder == "surp_fl" and "strategies" in source.relative_to(ROOT).parts:
                continue
            made = tmp_path / source.relative_to(ROOT)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_bytes(source.read_bytes())
    (tmp_path / "surp_fl/strategies").symlink_to("../strategies")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    with (tmp_path / "surp_fl/codecs/dense.py").open("a") as codec:
        codec.write("\nimport flwr\n")
    with (tmp_path / "strategies/replies.py").open("a") as strategy:
        strategy.write("\nimport simulations\n")
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode != 0
    assert "surp_fl.codecs.dense -> flwr" in done.stdout
    assert "surp_fl.strategies.replies -> simulations" in done.stdout


def test_names_that_flower_does_not_document_are_imported_in_one_file() -> None:
    found: dict[str, set[str]] = {}
    for file in [*(ROOT / "surp_fl").rglob("*.py"), *(ROOT / "strategies").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                if name.split(".")[0] == "flwr" and name not in DOCUMENTED:
                    found.setdefault(file.relative_to(ROOT).as_posix(), set()).add(name)
    assert set(found) == {"surp_fl/flower/versions.py", "strategies/legacy/flower_types.py"}
