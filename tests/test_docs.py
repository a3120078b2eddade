"""What the pages say holds: examples run, links lead somewhere, commands exist, and the site builds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.serverapp.strategy import Strategy

from surp_fl import CompressUpdates, SuRP
from surp_fl.flower.records import record_of
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import app_with, initial, needs_scalars

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
        ROOT / "simulations" / "results" / "README.md",
        ROOT / "surp_fl" / "FORMAT.md",
    ]
)
WITH_EXAMPLES = [page for page in PAGES if "```python\n" in page.read_text()]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def test_readme_and_guides_have_examples() -> None:
    assert {"README", "existing-app", "custom-strategy", "budgets", "downlink", "partial-participation", "privacy"} <= {
        page.stem for page in WITH_EXAMPLES
    }


@pytest.mark.usefixtures("registry_of_its_own")
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[needs_scalars] if page.stem == "privacy" else []) for page in WITH_EXAMPLES],
    ids=name_of,
)
def test_the_examples_of_a_page_run(page: Path) -> None:
    source = "\n".join(blocks(page, "python"))
    names: dict[str, Any] = {}
    exec(compile(source, page.name, "exec"), names)
    if "message" in names:
        assert len(names["message"]) <= 218
    for strategy in [value for value in names.values() if isinstance(value, Strategy)]:
        if "result" in names:
            result = names["result"]
        else:
            trains = page.stem == "existing-app"
            app = names["app"] if trains else app_with(names.get("mods", [CompressUpdates(SuRP(budget=218))]))
            with as_server():
                result = strategy.start(grid=InProcessGrid(app, 4), initial_arrays=record_of(initial()), num_rounds=2)
        assert result.train_metrics_clientapp[2]["surp-fl/failures"] == 0


def test_the_legacy_guide_is_an_app_that_trains() -> None:
    client, server = blocks(DOCS / "legacy-apps.md", "python")
    names: dict[str, Any] = {}
    exec(client, names)
    client_app = names["app"]
    exec(server, names)
    replies: list[Message] = []

    def note(reply: Message) -> Message:
        replies.append(reply)
        return reply

    with as_server():
        grid = InProcessGrid(client_app, 3, fault=note)
        names["app"](grid, Context(1, 1, {}, RecordDict(), {}))
    assert len(replies) == 12
    assert not any(reply.has_error() for reply in replies)


def headings_of(page: Path) -> list[str]:
    """The anchors of a page, as code hosts and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found]


def broken_links(page: Path) -> list[str]:
    broken = []
    for linked, heading in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        file = page.parent / linked if linked else page
        if not file.exists() or (heading and heading not in headings_of(file)):
            broken.append(f"{linked}#{heading}" if heading else linked)
    return broken


@every_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A, b\n\n[a](#a-b) [b](#b) [c](page.md#a-b) [d](none.md) [e](https://flower.ai#x)\n")
    assert broken_links(page) == ["#b", "none.md"]


@every_page
def test_every_file_that_a_page_includes_exists(page: Path) -> None:
    for included in re.findall(r'^--8<-- "([^":]+)', page.read_text(), re.MULTILINE):
        assert (ROOT / included).exists(), included


@every_page
def test_every_make_target_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shell = "\n".join(blocks(page, "sh"))
    named = re.findall(r"^make ([a-z]+)", shell, re.MULTILINE) + re.findall(r"`make\s([a-z]+)", page.read_text())
    assert sorted(set(named) - set(targets)) == []


@every_page
def test_every_module_that_a_page_runs_exists(page: Path) -> None:
    modules = sorted(set(re.findall(r"python -m ((?:simulations|tests)[\w.]*)", page.read_text())))
    assert [module for module in modules if not is_there(module)] == []


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(set(named))
    assert {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} <= set(named)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successive Refinement" in (tmp_path / "reference" / "index.html").read_text()
