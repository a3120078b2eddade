"""Messages whose bytes are pinned. A change here is a change of the format: give it a new version.

Rewritten only by `python -m tests.codecs.test_golden --rewrite`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from surp_fl import Dense, Layout
from surp_fl.codecs import reader_of
from surp_fl.types import Reference
from tests.schemes import SCHEMES, Row
from tests.vectors import Vector

FILE = Path(__file__).parents[1] / "golden.json"


def golden_vector() -> tuple[Vector, Layout]:
    """600 coordinates by integer arithmetic alone, so that no platform's mathematics can change them."""
    state, values = 12345, []
    for _ in range(600):
        state = (1103515245 * state + 12345) % 2**31
        values.append(((state >> 8) % 2001 - 1000) ** 3)
    vector = (np.array(values) / 2**30).astype(np.float32)
    return vector, Layout.of({"weight": vector[:500].reshape(20, 25), "bias": vector[500:]})


def golden_references() -> dict[str, Reference]:
    """What both ends may hold; the model's changes are sparse, as after a round of small messages."""
    vector, _ = golden_vector()
    model = np.ascontiguousarray(vector[::-1])
    before = model.copy()
    before[::37] *= np.float32(0.5)
    return {"": None, " model": model, " history": (model, before)}


def named() -> dict[str, tuple[Row, Reference]]:
    """Every scheme, and those that code against a context with each of them."""
    return {
        row.name + name: (row, reference)
        for row in SCHEMES
        for name, reference in golden_references().items()
        if reference is None or row.scheme.codec.reader.contextual
    }


def made(row: Row, reference: Reference) -> dict[str, object]:
    vector, layout = golden_vector()
    message = row.scheme.codec.encode(vector, layout, rng=np.random.default_rng(2024), reference=reference)
    indices, values = row.scheme.codec.decode_sparse(message, layout, reference=reference)
    if isinstance(row.scheme, Dense):  # nothing to see in a dense message that its own values do not show
        message, indices, values = message[:64], indices[:15], values[:15]
    return {"message": message.hex(), "indices": indices.tolist(), "values": [value.hex() for value in values.tolist()]}


@pytest.mark.parametrize("name", named())
def test_messages_are_the_same_bytes_as_ever(name: str) -> None:
    assert made(*named()[name]) == json.loads(FILE.read_text())[name]


@pytest.mark.parametrize("name", [name for name in named() if name != "dense"])
def test_stored_messages_decode_to_the_same_values_as_ever(name: str) -> None:
    golden = json.loads(FILE.read_text())[name]
    message = bytes.fromhex(golden["message"])
    indices, values = reader_of(message).decode_sparse(message, golden_vector()[1], reference=named()[name][1])
    assert indices.tolist() == golden["indices"]
    assert [value.hex() for value in values.tolist()] == golden["values"]


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit("this rewrites the golden messages: say --rewrite")
    FILE.write_text(json.dumps({name: made(*row) for name, row in named().items()}, indent=1) + "\n")
