"""The README's figures are those of the committed results, and its example runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from simulations.results import table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
RESULTS = ROOT / "simulations" / "results" / "quickstart"


@pytest.mark.parametrize("file", ["table.md", "flower.md", "bench.md"])
def test_figures_are_those_of_the_committed_results(file: str) -> None:
    assert (RESULTS / file).read_text().strip() in README


def test_the_table_is_made_of_the_committed_rows() -> None:
    assert (RESULTS / "table.md").read_text() == table(json.loads((RESULTS / "results.json").read_text()))


def test_the_python_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert len(names["message"]) <= 218  # type: ignore[arg-type]


@pytest.mark.parametrize("linked", sorted(set(re.findall(r"\]\((?!http)([^)]+)\)", README))))
def test_linked_files_exist(linked: str) -> None:
    assert (ROOT / linked).exists()
