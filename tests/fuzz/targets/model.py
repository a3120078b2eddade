"""A small model with awkward layers, and what both ends hold of it: made once, for targets that decode into it."""

from __future__ import annotations

import numpy as np

from surp_fl import Layout
from surp_fl.immutable import immutable
from surp_fl.types import Arrays, Reference

SHAPES: dict[str, tuple[int, ...]] = {"conv": (4, 2, 3), "bias": (5,), "fc": (12, 10), "scalar": (), "none": (0, 3)}


def _arrays() -> Arrays:
    rng = np.random.default_rng(0)
    return {name: rng.standard_t(2, size=shape).astype(np.float32) for name, shape in SHAPES.items()}


ARRAYS = _arrays()
LAYOUT = Layout.of(ARRAYS)
VECTOR = LAYOUT.flatten(ARRAYS)


def _references() -> tuple[Reference, Reference, Reference]:
    rng = np.random.default_rng(1)
    model = rng.normal(size=LAYOUT.size).astype(np.float32)
    before = model.copy()
    before[::17] += 1
    return None, immutable(model), (immutable(model), immutable(before))


REFERENCES = _references()  # nothing, a model, and a model with the one before it


def _whole_model() -> Arrays:
    rng = np.random.default_rng(2)
    floats = {"weight": rng.normal(size=(6, 7)), "bias": rng.normal(size=7), "norm.running_mean": rng.normal(size=3)}
    floats["norm.running_var"] = rng.lognormal(size=3)
    found: Arrays = {name: array.astype(np.float32) for name, array in floats.items()}
    found |= {"half": rng.normal(size=(3, 5)).astype(np.float16), "wide": rng.normal(size=2)}
    found |= {"tied": found["weight"].copy(), "scalar": np.array(2.5, np.float32), "none": np.zeros((0, 3), np.float32)}
    found |= {"steps": np.array(7), "mask": np.array([True, False, True]), "bytes": np.arange(3, dtype=np.uint8)}
    return found | {"many": np.arange(20, dtype=np.int16)}


MODEL = _whole_model()  # trained arrays, tied ones, statistics, integers and booleans
MODEL_LAYOUT = Layout.of(MODEL)
