"""The README's example runs, and what it links to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simulations.report.render import READMES

README = READMES[0].read_text()


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
