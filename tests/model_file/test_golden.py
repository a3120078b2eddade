"""Files whose bytes are stored: they decode to the same arrays for ever. A change here is a change of the format.

Rewritten only by `python -m tests.model_file.test_golden --rewrite`. Encoders are free to make other files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surp_fl.model_file import Model, compress, cut, decompress_model
from tests.model_file.models import trained, with_every_dtype

GOLDEN = Path(__file__).parent / "golden"


def made() -> dict[str, bytes]:
    """Every role and dtype, units, gains, corrections, a cut file."""
    model = {name: array for name, array in trained().items() if name != "hidden.weight"}
    return {
        "trained": compress(model, budget=900),
        "trained-rms-norm": compress(model, budget=700, weighting="rms", gain="norm"),
        "trained-plain": compress(model, budget=700, weighting="none", gain="none", progressive=True),
        "trained-cut": cut(compress(model, budget=1400), 800),
        "rows": compress({"weight": np.random.default_rng(0).laplace(size=(6, 130)).astype(np.float32)}, budget=200),
        "every-dtype": compress(with_every_dtype(), budget=2500),
        "empty": compress({}, budget=50),
    }


def told(model: Model) -> dict[str, Any]:
    """What JSON can represent, to the bit."""
    return {
        "arrays": {
            name: [array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes().hex()]
            for name, array in model.arrays.items()
        },
        "dtypes": dict(model.dtypes),
        "metadata": dict(model.metadata),
    }


@pytest.mark.parametrize("name", made())
def test_stored_files_decode_to_the_same_arrays_as_ever(name: str) -> None:
    stored = json.loads((GOLDEN / f"{name}.json").read_text())
    found = told(decompress_model((GOLDEN / f"{name}.surp").read_bytes()))
    assert list(found["arrays"]) == list(stored["arrays"])
    assert found == stored


def test_there_are_no_other_stored_files() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {
        f"{name}.{kind}" for name in made() for kind in ("surp", "json")
    }


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit("this rewrites the stored files: say --rewrite")
    GOLDEN.mkdir(exist_ok=True)
    for each, file in made().items():
        (GOLDEN / f"{each}.surp").write_bytes(file)
        (GOLDEN / f"{each}.json").write_text(json.dumps(told(decompress_model(file)), indent=1) + "\n")
