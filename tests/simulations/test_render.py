"""Committed tables, plots and README blocks are what `make render` makes of the committed rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulations.app.row import Row
from simulations.app.schemes import parse
from simulations.app.settings import Settings
from simulations.experiments import peers, protocol, tune
from simulations.experiments.comparisons import CROSS_DEVICE, FEDSLOP, OTHER_MODELS
from simulations.report import render
from simulations.report import rows as results
from simulations.report.render import READMES, RESULTS, filled

MADE = render.everything()
BASE = Settings(rounds=100, dataset="mnist", precision="bfloat16")


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_blocks_of_readmes_are_the_committed_tables(readme: Path) -> None:
    text = readme.read_text()
    assert "<!-- end -->" in text
    assert filled(text) == text


def test_marks_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match=r"after <!-- overview\.md --> comes no"):
        filled("<!-- overview.md --> text")
    with pytest.raises(ValueError, match="no mark before it"):
        filled("text <!-- end -->")


@pytest.mark.parametrize("file", [file for file, made in MADE.items() if isinstance(made, str)], ids=str)
def test_texts_are_those_of_the_committed_rows(file: Path) -> None:
    assert file.read_text() == MADE[file]


@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file, made in MADE.items() if not isinstance(made, str)], ids=str)
def test_pictures_can_be_drawn_of_the_committed_rows(file: Path, tmp_path: Path) -> None:
    draw = MADE[file]
    assert not isinstance(draw, str)
    draw(tmp_path / file.name)
    assert (tmp_path / file.name).stat().st_size > 10_000
    assert file.exists()


def test_every_committed_table_and_picture_is_made() -> None:
    written = {*RESULTS.glob("**/*.md"), *RESULTS.glob("**/*.png"), *RESULTS.glob("**/chosen.json")}
    assert written - set(MADE) == {RESULTS / "README.md", RESULTS / "quickstart" / "flower.md"}


def test_the_committed_results_take_less_than_four_megabytes() -> None:
    assert sum(file.stat().st_size for file in RESULTS.rglob("*") if file.is_file()) < 4_000_000


def test_no_row_is_committed_twice() -> None:
    for file in RESULTS.rglob("results.json"):
        rows = results.load(file.parent)
        assert len({row.settings for row in rows}) == len(rows), file


@pytest.mark.parametrize("part", list(protocol.GRIDS))
def test_the_tuning_runs_the_committed_rows_and_no_others(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = results.load(RESULTS / part / "tuning")
    found: list[Row] = []

    def complete(runs: list[Settings], folder: Path, jobs: int) -> list[Row]:
        asked = [next(row for row in committed if row.settings.same_run(run)) for run in runs]
        found.extend(asked)
        return asked

    monkeypatch.setattr(tune, "complete", complete)
    base = Settings(**vars(BASE) | {"rounds": 50, "held_out": protocol.HELD_OUT} | protocol.PARTS[part])
    tune.tuned(protocol.tuned_in(part), base, [0], tmp_path, 1, protocol.GRIDS[part], full_length=100)
    for name in ("tuning.md", "chosen.json"):
        assert (tmp_path / name).read_text() == (RESULTS / part / "tuning" / name).read_text()
    assert len({id(row) for row in found}) == len(committed)


def test_peers_were_run_with_what_the_same_grid_chose() -> None:
    folder = RESULTS / "peers"
    chosen = json.loads((folder / "tuning" / "chosen.json").read_text())
    assert chosen
    assert set(chosen) <= set(peers.SCHEMES)
    for scheme, hyperparameters in chosen.items():
        base = replace(BASE, scheme=scheme, precision="float32", rounds=100)
        rows = [row for row in results.load(folder) if row.settings.scheme == scheme]
        assert sorted(row.settings.seed for row in rows) == [0, 1, 2]
        for row in rows:
            assert row.settings.same_run(protocol.trial(replace(base, seed=row.settings.seed), hyperparameters))
        for point in protocol.GRID:
            trial = protocol.trial(replace(base, rounds=50, held_out=protocol.HELD_OUT), point)
            assert any(row.settings.same_run(trial) for row in results.load(folder / "tuning"))


@pytest.mark.parametrize(
    "folder",
    sorted({file.parent for file in RESULTS.glob("*/*/tuning/results.json")}),
    ids=lambda folder: folder.parent.name,
)
def test_every_scheme_that_was_tuned_for_a_comparison_was_run_with_what_it_chose(folder: Path) -> None:
    """Of a comparison that is under way, some schemes may have been tuned and not run yet."""
    comparison = {**OTHER_MODELS, **CROSS_DEVICE, **FEDSLOP}[folder.parent.name]
    chosen: dict[str, Any] = json.loads((folder / "chosen.json").read_text())
    assert set(chosen) == {row.settings.scheme for row in results.load(folder)}
    names = {parse(scheme)[0] for scheme in chosen} | {"qsgd"}
    some = replace(comparison, names=tuple(name for name in comparison.names if name in names))
    rows = results.load(folder.parent)
    runs = list(some.runs(protocol.before_trial(rows[0].settings, comparison.grid), chosen, 3))
    for row in rows:
        assert any(row.settings.same_run(run) for run in runs), (results.label_of(row), row.settings.seed)


@pytest.mark.parametrize("part", list(protocol.PARTS))
def test_every_row_was_run_as_its_scheme_was_tuned(part: str) -> None:
    tuning = RESULTS / protocol.TUNED_ON.get(part, part) / "tuning"
    chosen: dict[str, Any] = json.loads((tuning / "chosen.json").read_text())
    runs = list(protocol.runs_of(part, [0, 1, 2], BASE, chosen))
    for row in results.load(RESULTS / part):
        assert any(row.settings.same_run(run) for run in runs), (results.label_of(row), row.settings.seed)
