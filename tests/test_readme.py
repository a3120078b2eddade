"""The README's figures are those of the committed results, and its example runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from simulations import bench, bench_server, deployment, gate, messages, reproduce, tables, tune
from simulations.readme import FILES, RESULTS, filled
from simulations.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_figures_are_those_of_the_committed_results() -> None:
    assert filled(README) == README


def rows_of(name: str, folder: str) -> Any:
    return json.loads((RESULTS / folder / name).read_text())


def test_the_tables_are_made_of_the_committed_rows() -> None:
    assert FILES["table.md"].read_text() == tables.table(rows_of("results.json", "quickstart"))
    for part in ("iid",):
        rows = rows_of("results.json", part)
        assert (RESULTS / part / "summary.md").read_text() == tables.summary(rows)
        assert (RESULTS / part / "both_ways.md").read_text() == tables.both_ways(rows)
    assert FILES["bench.md"].read_text() == bench.table(rows_of("bench.json", "bench"))
    assert FILES["deployment.md"].read_text() == deployment.table(rows_of("deployment.json", "deployment"))
    assert FILES["bench_server.md"].read_text() == bench_server.table(rows_of("bench_server.json", "bench"))
    gate_rows, updates = rows_of("results.json", "gate"), rows_of("messages.json", "messages")
    assert FILES["gate.md"].read_text() == gate.table(gate_rows, updates)
    assert FILES["messages.md"].read_text() == messages.table(rows_of("messages.json", "messages"), "mnist")


def test_the_tuning_table_and_what_was_chosen_are_made_of_the_committed_rows() -> None:
    rows = rows_of("results.json", "iid/tuning")
    base = Settings(rounds=50, held_out=tune.HELD_OUT, dataset="mnist", precision="bfloat16")
    schemes = list(reproduce.TUNED)
    assert FILES["tuning.md"].read_text() == tune.table(rows, schemes, base, tune.GRID, rehearsal=100)
    assert rows_of("chosen.json", "iid/tuning") == {
        scheme: tune.chosen(rows, scheme, base, tune.GRID, rehearsal=100) for scheme in schemes
    }


def test_the_python_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert len(names["message"]) <= 218  # type: ignore[arg-type]


@pytest.mark.parametrize("linked", sorted(set(re.findall(r"\]\((?!http)([^)]+)\)", README))))
def test_linked_files_exist(linked: str) -> None:
    assert (ROOT / linked).exists()
