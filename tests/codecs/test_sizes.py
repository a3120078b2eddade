"""Bytes, coordinates and error of every scheme's messages for recorded updates: a change of any shows in review.

The short form of `simulations.benchmarks.schemes`, which measures the same on updates of all workloads, and how long it
takes. Rewritten only by `python -m tests.codecs.test_sizes --rewrite`.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from simulations.benchmarks.schemes import coded, settings_of
from surp_fl import Layout, SuRP
from surp_fl.codecs import Scheme
from surp_fl.types import Reference, Vector

FOLDER = Path(__file__).parent
TABLE, UPDATES = FOLDER / "sizes.csv", FOLDER / "recorded_updates.npz"
BUDGETS = (50, 100, 218, 1000, 4000)  # bytes
SHAPES = {"conv.weight": (16, 1, 3, 3), "conv.bias": (16,), "hidden.weight": (60, 144), "hidden.bias": (60,)}
SHAPES |= {"out.weight": (10, 60), "out.bias": (10,)}
LAYOUT = Layout.of({name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()})
COLUMNS = ("scheme", "options", "update", "context", "bytes", "coordinates", "relative error")


def updates() -> dict[str, tuple[Vector, dict[str, Reference]]]:
    """What a client wanted to send, and what the server held: see `record_updates.py`."""
    found = np.load(UPDATES)
    return {
        name: (
            found[f"{name} wanted"],
            {
                "none": None,
                "model": found[f"{name} model"],
                "history": (found[f"{name} model"], found[f"{name} before"]),
            },
        )
        for name in ("early", "late")
    }


def schemes() -> dict[str, dict[str, Scheme]]:
    """Every registered scheme at every budget; those without one as their examples are."""
    found: dict[str, dict[str, Scheme]] = {}
    for name, options, scheme in settings_of(BUDGETS):
        found.setdefault(name, {})[options] = scheme
    return found | {"surp, progressive": {f"{budget} B": SuRP(budget, progressive=True) for budget in BUDGETS[2:]}}


def table() -> str:
    """One row for each scheme, budget, update and context."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    for name, of_each in schemes().items():
        for options, scheme in of_each.items():
            for update, (wanted, contexts) in updates().items():
                for context, reference in contexts.items():
                    if reference is not None and not scheme.codec.reader.contextual:
                        continue
                    found = coded(scheme, wanted, LAYOUT, reference)
                    out.writerow((name, options, update, context, found.bytes, found.coordinates, f"{found.error:.4f}"))
    return text.getvalue()


@pytest.mark.compiled
@pytest.mark.parametrize("name", schemes())
def test_messages_have_the_sizes_and_errors_of_the_committed_table(name: str) -> None:
    committed = list(csv.reader(io.StringIO(TABLE.read_text())))
    measured = list(csv.reader(io.StringIO(table_once())))
    assert [row for row in measured if row[0] == name] == [row for row in committed if row[0] == name]


def test_the_committed_table_has_no_other_rows() -> None:
    assert {row["scheme"] for row in csv.DictReader(io.StringIO(TABLE.read_text()))} == set(schemes())


_made: list[str] = []


def table_once() -> str:
    """Made once for all tests of a process."""
    if not _made:
        _made.append(table())
    return _made[0]


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit("this rewrites the table of sizes: say --rewrite")
    TABLE.write_text(table())
