from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import surp_fl
from surp_fl.cli import main

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_command_line_says_which_version_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"surp-fl {VERSION}\n"


def test_package_and_citation_have_the_version_of_the_project() -> None:
    assert surp_fl.__version__ == VERSION
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [VERSION]
