"""Messages whose bytes are pinned. A change here is a change of the format: give it a new version.

Rewritten only by `python -m tests.codecs.test_golden --rewrite`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surp_fl import Dense, Layout, SuRP
from surp_fl.codecs import reader_of
from surp_fl.codecs.surp.trellis.sign_lags import LagModels, SignLags
from surp_fl.entropy.range_coder import RangeDecoder
from surp_fl.types import Reference
from tests.schemes import SCHEMES, Row
from tests.vectors import Vector

GOLDEN = Path(__file__).parents[1] / "golden"  # a folder a scheme, a file a message


def golden_vector() -> tuple[Vector, Layout]:
    """600 coordinates by integer arithmetic alone, so that no platform's mathematics can change them."""
    state, values = 12345, []
    for _ in range(600):
        state = (1103515245 * state + 12345) % 2**31
        values.append(((state >> 8) % 2001 - 1000) ** 3)
    vector = (np.array(values) / 2**30).astype(np.float32)
    return vector, Layout.of({"weight": vector[:500].reshape(20, 25), "bias": vector[500:]})


def vector_of_low_rank() -> tuple[Vector, Layout]:
    """The same layout with a weight of rank one and a few other coordinates: sums of it are exact in any order."""
    rows, columns = (np.array([(-1, 0, 1, 1)[i * i % 7 % 4] for i in range(size)], np.float32) for size in (20, 25))
    vector, layout = golden_vector()
    vector[:500] = 4 * np.outer(rows, columns).ravel()
    vector[500:] = np.where(np.arange(100) % 33 == 0, np.float32(16), np.float32(0))
    return vector, layout


def vector_of_runs() -> tuple[Vector, Layout]:
    """The same with the signs of the weight's rows in runs of five columns."""
    vector, layout = golden_vector()
    weight = np.abs(vector[:500]).reshape(20, 5, 5) * np.where(vector[:500].reshape(20, 5, 5)[:, :, :1] < 0, -1, 1)
    return np.concatenate([weight.astype(np.float32).ravel(), vector[500:]]), layout


def golden_references() -> dict[str, Reference]:
    """What both ends may hold; the model's changes are sparse, as after a round of small messages."""
    vector, _ = golden_vector()
    model = np.ascontiguousarray(vector[::-1])
    before = model.copy()
    before[::37] *= np.float32(0.5)
    return {"": None, " model": model, " history": (model, before)}


def named() -> dict[str, tuple[Row, Reference, Vector]]:
    """Every scheme, and those that code against a context with each of them."""
    plain = {
        row.name + name: (row, reference, golden_vector()[0])
        for row in SCHEMES
        for name, reference in golden_references().items()
        if reference is None or row.scheme.codec.reader.contextual
    }
    surp = next(row for row in SCHEMES if row.name == "surp 40 B")
    terms = {
        f"surp 40 B{name} terms": (surp, reference, vector_of_low_rank()[0])
        for name, reference in golden_references().items()
    }
    larger = next(row for row in SCHEMES if row.name == "surp 218 B")
    return plain | terms | {"surp 218 B lags": (larger, None, vector_of_runs()[0])}


def held() -> dict[str, tuple[Path, Reference]]:
    """Messages that no encoder writes any more, and every one reads: of groups, where the trellis is now used."""
    return {
        f"surp 218 B{name} of groups": (GOLDEN / "surp" / f"{_slug(f'surp 218 B{name} of groups')}.json", reference)
        for name, reference in golden_references().items()
    }


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def made(row: Row, reference: Reference, vector: Vector) -> dict[str, object]:
    _, layout = golden_vector()
    message = row.scheme.codec.encode(vector, layout, rng=np.random.default_rng(2024), reference=reference)
    indices, values = row.scheme.codec.decode_sparse(message, layout, reference=reference)
    if isinstance(row.scheme, Dense):  # nothing to see in a dense message that its own values do not show
        message, indices, values = message[:64], indices[:15], values[:15]
    return {"message": message.hex(), "indices": indices.tolist(), "values": [value.hex() for value in values.tolist()]}


def file_of(name: str) -> Path:
    """Of "surp 218 B model": golden/surp/218-B-model.json."""
    row, _, _ = named()[name]
    return GOLDEN / row.registered.name / f"{_slug(name)}.json"


def stored(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file_of(name).read_text())
    return found


@pytest.mark.parametrize("name", named())
def test_messages_are_the_same_bytes_as_ever(name: str) -> None:
    assert made(*named()[name]) == stored(name)


@pytest.mark.parametrize("name", [*(name for name in named() if name != "dense"), *held()])
def test_stored_messages_decode_to_the_same_values_as_ever(name: str) -> None:
    path, reference = held()[name] if name in held() else (file_of(name), named()[name][1])
    golden = json.loads(path.read_text())
    message = bytes.fromhex(golden["message"])
    indices, values = reader_of(message).decode_sparse(message, golden_vector()[1], reference=reference)
    assert indices.tolist() == golden["indices"]
    assert [value.hex() for value in values.tolist()] == golden["values"]


@pytest.mark.parametrize("name", [name for name in named() if name.endswith("terms")])
def test_a_message_with_terms_says_more_than_one_without(name: str) -> None:
    _, reference, vector = named()[name]
    _, layout = golden_vector()
    without = SuRP(40, rank_one=0).codec
    message = without.encode(vector, layout, rng=np.random.default_rng(0), reference=reference)
    assert len(stored(name)["indices"]) > 2 * len(without.decode_sparse(message, layout, reference=reference)[0])


def test_a_message_with_lags_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    decode = LagModels.decode

    def decode_and_note(self: LagModels, decoder: RangeDecoder) -> SignLags:
        lags = decode(self, decoder)
        found.append(lags.lags.size)
        return lags

    monkeypatch.setattr(LagModels, "decode", decode_and_note)
    for name, (_, layout) in {"surp 218 B": golden_vector(), "surp 218 B lags": vector_of_runs()}.items():
        message = bytes.fromhex(str(stored(name)["message"]))
        reader_of(message).decode(message, layout)
    assert found == [0, 1]


def test_there_are_no_other_golden_messages() -> None:
    assert set(GOLDEN.rglob("*.json")) == {file_of(name) for name in named()} | {path for path, _ in held().values()}


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit("this rewrites the golden messages: say --rewrite")
    for each, of_each in named().items():
        file_of(each).parent.mkdir(parents=True, exist_ok=True)
        lines = (f'"{key}": {json.dumps(value)}' for key, value in made(*of_each).items())
        file_of(each).write_text("{\n" + ",\n".join(lines) + "\n}\n")
