"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import simulations
import surp_fl

ROOT = Path(__file__).parents[1]


def modules() -> Iterator[str]:
    for package in (surp_fl, simulations):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield found.name


def test_examples_in_docstrings_hold() -> None:
    """In a process without compiled loops: compiled modules do not show what they import from each other."""
    command = [sys.executable, "-m", "tests.test_doctests"]
    environment = os.environ | {"SURP_FL_PURE_PYTHON": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout) > 30  # examples


@pytest.mark.parametrize("name", ["surp_fl.strategies.downlink.deltas", "surp_fl.codecs.surp.encoder"])
def test_modules_in_all_rooms_are_looked_at(name: str) -> None:
    assert name in set(modules())


if __name__ == "__main__":
    results = [doctest.testmod(importlib.import_module(name)) for name in modules()]
    if not any(result.failed for result in results):
        print(sum(result.attempted for result in results))
    sys.exit(any(result.failed for result in results))
