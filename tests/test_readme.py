"""The README's figures are those of the committed results, and its example runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from simulations.app.settings import Settings
from simulations.benchmarks import codec as bench
from simulations.benchmarks import server as bench_server
from simulations.experiments import deployment, gate, messages, reproduce, tune
from simulations.report import rows as results
from simulations.report import tables
from simulations.report.overview import overview
from simulations.report.render import READMES, RESULTS, filled

README = READMES[0].read_text()
PARTS = ("iid", "dirichlet", "sampled", "sampled_dirichlet")


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_figures_are_those_of_the_committed_results(readme: Path) -> None:
    text = readme.read_text()
    assert "<!-- end -->" in text
    assert filled(text) == text


def test_marks_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match=r"after <!-- overview\.md --> comes no"):
        filled("<!-- overview.md --> text")
    with pytest.raises(ValueError, match="no mark before it"):
        filled("text <!-- end -->")


def text_of(file: str) -> str:
    return (RESULTS / file).read_text()


def rows_of(name: str, folder: str) -> Any:
    return json.loads((RESULTS / folder / name).read_text())


def test_the_tables_are_made_of_the_committed_rows() -> None:
    assert text_of("quickstart/table.md") == tables.table(rows_of("results.json", "quickstart"))
    parts = {part: rows_of("results.json", part) for part in PARTS}
    for part, rows in parts.items():
        assert text_of(f"{part}/table.md") == tables.table(rows)
        assert text_of(f"{part}/summary.md") == tables.summary(rows)
        assert text_of(f"{part}/both_ways.md") == tables.both_ways(rows)
    assert text_of("overview.md") == overview(parts)
    assert text_of("bench/bench.md") == bench.table(rows_of("bench.json", "bench"))
    assert text_of("deployment/deployment.md") == deployment.table(rows_of("deployment.json", "deployment"))
    assert text_of("bench/bench_server.md") == bench_server.table(rows_of("bench_server.json", "bench"))
    gate_rows, updates = rows_of("results.json", "gate"), rows_of("messages.json", "messages")
    assert text_of("gate/gate.md") == gate.table(gate_rows, updates)
    assert text_of("messages/messages.md") == messages.table(updates, "mnist")


@pytest.mark.parametrize("part", [part for part in PARTS if part not in reproduce.TUNED_ON])
def test_the_tuning_runs_the_committed_rows_and_no_others(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = rows_of("results.json", f"{part}/tuning")
    found: list[Any] = []

    def complete(runs: list[Settings], folder: Path, jobs: int) -> list[Any]:
        asked = [next(row for row in committed if results.is_of(row, run)) for run in runs]
        found.extend(asked)
        return asked

    monkeypatch.setattr(tune, "complete", complete)
    base = Settings(rounds=50, held_out=tune.HELD_OUT, dataset="mnist", precision="bfloat16", **reproduce.PARTS[part])  # type: ignore[arg-type]
    grid = (*tune.GRID, *reproduce.MORE_POINTS.get(part, ()))
    tune.tuned(list(reproduce.TUNED), base, [0], tmp_path, 1, grid, rehearsal=100)
    assert (tmp_path / "tuning.md").read_text() == text_of(f"{part}/tuning/tuning.md")
    assert (tmp_path / "chosen.json").read_text() == text_of(f"{part}/tuning/chosen.json")
    assert len({id(row) for row in found}) == len(committed)


@pytest.mark.parametrize("part", PARTS)
def test_every_row_was_run_as_its_scheme_was_tuned(part: str) -> None:
    chosen = rows_of("chosen.json", f"{reproduce.TUNED_ON.get(part, part)}/tuning")
    base = Settings(rounds=100, dataset="mnist", precision="bfloat16")
    runs = list(reproduce.rows_of(part, [0, 1, 2], base, chosen))
    for row in rows_of("results.json", part):
        assert any(results.is_of(row, run) for run in runs), (row["scheme"], row["budget"], row["seed"])


def test_the_python_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert len(names["message"]) <= 218  # type: ignore[arg-type]


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_linked_files_exist(readme: Path) -> None:
    for linked, heading in re.findall(r"\]\((?!http)([^)#]+)#?([^)]*)\)", readme.read_text()):
        file = readme.parent / linked
        assert file.exists(), linked
        if heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in headings]
