"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import simulations
import surp_fl


def modules() -> Iterator[str]:
    for package in (surp_fl, simulations):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield found.name


def test_examples_in_docstrings_hold() -> None:
    results = {name: doctest.testmod(importlib.import_module(name)) for name in modules()}
    assert {name: result.failed for name, result in results.items() if result.failed} == {}
    assert sum(result.attempted for result in results.values()) > 30


@pytest.mark.parametrize("name", ["surp_fl.strategies.downlink.deltas", "surp_fl.codecs.surp.encoder"])
def test_modules_in_all_rooms_are_looked_at(name: str) -> None:
    assert name in set(modules())
