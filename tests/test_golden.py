"""Messages whose bytes are pinned. A change here is a change of the format: give it a new version.

Rewritten only by `python -m tests.test_golden --rewrite`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from surp_fl import Layout
from surp_fl.codecs import reader_of
from tests.schemes import SCHEMES, Row
from tests.vectors import Vector

FILE = Path(__file__).parent / "golden.json"


def golden_vector() -> tuple[Vector, Layout]:
    """600 coordinates by integer arithmetic alone, so that no platform's mathematics can change them."""
    state, values = 12345, []
    for _ in range(600):
        state = (1103515245 * state + 12345) % 2**31
        values.append(((state >> 8) % 2001 - 1000) ** 3)
    vector = (np.array(values) / 2**30).astype(np.float32)
    return vector, Layout.of({"weight": vector[:500].reshape(20, 25), "bias": vector[500:]})


def made(row: Row) -> dict[str, object]:
    vector, layout = golden_vector()
    message = row.scheme.codec.encode(vector, layout, rng=np.random.default_rng(2024))
    indices, values = row.scheme.codec.decode_sparse(message, layout)
    if len(indices) == len(vector):  # nothing to see in a dense message that its own values do not show
        message, indices, values = message[:64], indices[:15], values[:15]
    return {"message": message.hex(), "indices": indices.tolist(), "values": [value.hex() for value in values.tolist()]}


@pytest.mark.parametrize("row", SCHEMES, ids=str)
def test_messages_are_the_same_bytes_as_ever(row: Row) -> None:
    assert made(row) == json.loads(FILE.read_text())[row.name]


@pytest.mark.parametrize("row", SCHEMES[1:], ids=str)
def test_stored_messages_decode_to_the_same_values_as_ever(row: Row) -> None:
    golden = json.loads(FILE.read_text())[row.name]
    message = bytes.fromhex(golden["message"])
    indices, values = reader_of(message).decode_sparse(message, golden_vector()[1])
    assert indices.tolist() == golden["indices"]
    assert [value.hex() for value in values.tolist()] == golden["values"]


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit("this rewrites the golden messages: say --rewrite")
    FILE.write_text(json.dumps({row.name: made(row) for row in SCHEMES}, indent=1) + "\n")
