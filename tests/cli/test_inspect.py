"""`surp-fl inspect`, through files, for every scheme."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surp_fl import SuRP
from surp_fl.cli import main
from surp_fl.layout import Layout
from tests.flower_app import initial
from tests.schemes import SCHEMES, Row

ARRAYS = initial()
LAYOUT = Layout.of(ARRAYS)
MODEL = LAYOUT.flatten(ARRAYS)
UPDATE = np.random.default_rng(1).standard_t(2, LAYOUT.size).astype(np.float32)


def stored(folder: Path, message: bytes) -> list[str]:
    (folder / "message").write_bytes(message)
    before = {name: array + array.dtype.type(1) for name, array in ARRAYS.items()}
    models: dict[str, Any] = {"model": ARRAYS, "before": before}
    for name, arrays in models.items():
        np.savez(folder / f"{name}.npz", **arrays)
    return [str(folder / "message"), "--model", str(folder / "model.npz")]


@pytest.mark.parametrize("row", SCHEMES, ids=str)
def test_a_message_of_every_scheme_is_explained(row: Row, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codec = row.scheme.codec
    message = codec.encode(UPDATE, LAYOUT, rng=np.random.default_rng(0), reference=MODEL)
    where = stored(tmp_path, message)
    assert main(["inspect", *where, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    indices, values = codec.decode_sparse(message, LAYOUT, reference=MODEL)
    assert (told["scheme"], told["bytes"]) == (codec.reader.name, len(message))
    assert told["coordinates sent"] == len(indices)
    assert told["norm of the update"] == pytest.approx(float(np.linalg.norm(values)), rel=1e-5)
    assert sum(told["bits"].values()) == pytest.approx(8 * len(message))
    assert sum(each["coordinates sent"] for each in told["arrays"]) == len(indices)
    assert sum(each["share of the energy"] for each in told["arrays"]) == pytest.approx(1)
    assert [each["name"] for each in told["arrays"]] == ["weight", "bias", "wide"]
    assert main(["inspect", *where]) == 0
    assert "bits for indices" in capsys.readouterr().out


def test_without_the_model_the_header_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = MODEL + np.float32(1)
    message = SuRP(60).codec.encode(UPDATE, LAYOUT, rng=np.random.default_rng(0), reference=(MODEL, before))
    where = stored(tmp_path, message)
    assert main(["inspect", where[0]]) == 0
    out = capsys.readouterr().out
    assert "give --model FILE.npz" in out
    assert "that model and the one before" in out
    assert main(["inspect", *where, "--before", str(tmp_path / "before.npz")]) == 0
    assert "the check holds for this model" in capsys.readouterr().out


def test_an_error_is_one_line(tmp_path: Path) -> None:
    message = SuRP(60).codec.encode(UPDATE, LAYOUT, rng=np.random.default_rng(0), reference=MODEL)
    where = stored(tmp_path, message[:-1] + b"x")
    for arguments, says in (
        (where, "integrity check"),
        ([str(tmp_path / "nothing")], "No such file"),
        ([str(tmp_path / "model.npz")], "version"),
    ):
        found = subprocess.run(
            [sys.executable, "-m", "surp_fl.cli", "inspect", *arguments], capture_output=True, text=True, check=False
        )
        assert found.returncode == 1
        assert says in found.stderr
        assert len(found.stderr.splitlines()) == 1
