"""The example apps: their diffs are small and shown, and compression keeps what they learn."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

from simulations.experiments.examples import APPS, DIFF, FOLDER, copied, outcome_of, ratio_of
from simulations.report.render import RESULTS
from tests.test_docs import DOCS, blocks

each_app = pytest.mark.parametrize("app", APPS)

COMMITTED = json.loads((RESULTS / "examples" / "examples.json").read_text())
MOST_LOST = 0.03  # of the accuracy; the committed table has the figures
IN_A_BUNDLE = {".py", ".toml", ".md"}


def lines_of(app: str, sign: str) -> list[str]:
    return re.findall(rf"^\{sign}(?!\{sign})(.*)$", (FOLDER / app / DIFF).read_text(), re.MULTILINE)


def test_every_app_is_run() -> None:
    assert sorted(APPS) == sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir())


@each_app
def test_two_lines_change_and_two_imports_are_added(app: str) -> None:
    removed, added = lines_of(app, "-"), lines_of(app, "+")
    imports = [line for line in added if line.startswith("from surp_fl")]
    changed = [line for line in added if line not in imports]
    assert (len(removed), len(changed), len(imports)) == (2, 2, 2)
    assert "mods=[CompressUpdates(SuRP(ratio=" in changed[0]
    assert re.search(r"Decode(Legacy)?Updates\(", changed[1])


@each_app
def test_the_diff_applies_to_the_app_as_it_is(app: str, tmp_path: Path) -> None:
    made = copied(app, tmp_path, compressed=True)
    changed = [
        file.name
        for file in made.rglob("*.py")
        if file.read_text() != (FOLDER / app / file.relative_to(made)).read_text()
    ]
    assert sorted(changed) == ["client_app.py", "server_app.py"]
    for name in changed:
        (file,) = made.rglob(name)
        compile(file.read_text(), name, "exec")


@each_app
def test_flower_can_bundle_the_app(app: str) -> None:
    project = tomllib.loads((FOLDER / app / "pyproject.toml").read_text())
    assert project["project"]["name"] == app
    assert re.fullmatch(r"[a-z0-9-]{1,32}", app)
    assert "federations" not in project["tool"]["flwr"]  # flwr run would rewrite the file
    files = {file for file in (FOLDER / app).rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert {file.suffix for file in files if file.name != DIFF} <= IN_A_BUNDLE
    assert sum(file.stat().st_size for file in files) < 20_000  # which brings its data


@pytest.mark.parametrize("app", ["pytorch-cnn", "numpy-client"])
def test_the_page_shows_the_diff_that_is_applied(app: str) -> None:
    assert (FOLDER / app / DIFF).read_text() in blocks(DOCS / "examples.md", "diff")


@pytest.mark.slow
@pytest.mark.deployment
@pytest.mark.xdist_group("servers")
@each_app
def test_an_app_learns_as_well_with_its_diff_applied(app: str) -> None:
    if app == "numpy-client" and importlib.util.find_spec("surp_fl.strategies.legacy") is None:
        pytest.skip("this surp_fl wraps no strategies of flwr.server")
    (plain,) = (row for row in COMMITTED if row["app"] == app and not row["compressed"])  # which runs nothing of ours
    compressed = outcome_of(app, compressed=True)
    assert plain["rounds"] == compressed.rounds
    assert compressed.accuracy >= plain["accuracy"] - MOST_LOST
    assert compressed.payload_bytes_up is not None
    assert compressed.model_bytes is not None
    assert compressed.payload_bytes_up * ratio_of(app) <= compressed.model_bytes
