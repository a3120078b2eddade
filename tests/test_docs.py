"""The guides' examples run, together with an app that trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flwr.serverapp.strategy import Strategy

from surp_fl import CompressUpdates, SuRP
from surp_fl.flower.records import record_of
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import app_with, initial

DOCS = Path(__file__).parent.parent / "docs"
GUIDES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_examples_of_a_guide_run(guide: Path) -> None:
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL):
        exec(compile(example, guide.name, "exec"), names)
    strategies = [value for value in names.values() if isinstance(value, Strategy)]
    assert strategies or guide.stem == "deployment"
    for strategy in strategies:
        trains = guide.stem == "existing-app"
        app = names["app"] if trains else app_with(names.get("mods", [CompressUpdates(SuRP(budget=218))]))
        with as_server():
            result = strategy.start(grid=InProcessGrid(app, 4), initial_arrays=record_of(initial()), num_rounds=2)
        assert result.train_metrics_clientapp[2]["surp-fl/failures"] == 0


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_what_a_guide_links_to_exists(guide: Path) -> None:
    for linked in re.findall(r"\]\((?!http)([^)#]+)", guide.read_text()):
        assert (DOCS / linked).exists(), linked
