from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from surp_fl.codecs import READERS, SCHEMES, registry

settings.register_profile("default", max_examples=100, deadline=None, print_blob=True)
settings.register_profile("few", max_examples=10, deadline=None)  # where the loops run uncompiled, and in tests/compat
settings.register_profile("thorough", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_finish() -> None:
    """Keep what exists by now out of garbage collections, of which Flower asks for one with each record."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def registry_of_its_own() -> Iterator[None]:
    """What a test registers is known to that test alone."""
    tables: list[dict[Any, Any]] = [READERS, SCHEMES]
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    registry._register_installed.cache_clear()
