"""Models that the tests compress: small ones, with every kind of array."""

from __future__ import annotations

import numpy as np

from surp_fl.model_file import Model
from surp_fl.model_file.model import rounded_to
from surp_fl.types import Arrays


def trained(seed: int = 0) -> Arrays:
    """A network with batch normalization, as training leaves one: 7,700 weights, small arrays, statistics."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {
        "conv.weight": rng.normal(0, 0.3, (8, 1, 5, 5)),
        "norm.weight": rng.uniform(0.5, 1.5, 8),
        "norm.bias": rng.normal(0, 0.2, 8),
        "norm.running_mean": rng.normal(0, 2, 8),
        "norm.running_var": rng.lognormal(0, 2, 8),
        "hidden.weight": rng.uniform(-0.05, 0.05, (50, 128)) + 0.03 * rng.standard_t(3, (50, 128)),
        "hidden.bias": rng.normal(0, 0.1, 50),
        "last.weight": rng.laplace(0, 0.1, (22, 50)),
        "last.bias": rng.normal(0, 0.1, 22),
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    return {"norm.num_batches_tracked": np.array(938, np.int64)} | arrays


def with_every_dtype(seed: int = 0) -> Model:
    """One array of each dtype that a file can hold, and awkward ones, in no order of any kind."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(20, 30))
    arrays: Arrays = {
        "z": weight.astype(np.float32),
        "half": weight.astype(np.float16),
        "wide": 1e5 * weight,
        "brain": rounded_to("BF16", 0.01 * weight),
        "brain bias": rounded_to("BF16", 0.01 * weight[0]),
        "a/tied": weight.astype(np.float32),
        "scalar": np.array(-2.659, np.float32),
        "zeros": np.zeros((5, 4), np.float32),
        "mask": np.where(np.tri(6, dtype=bool), 0.0, -np.inf).astype(np.float32),
        "lost": np.array([np.nan, 1.0], np.float32),
        "too wide": np.array([[1e300, 1.0], [2.0, 3.0]]),
        "empty": np.zeros((0, 3), np.float16),
        "flags": rng.integers(0, 2, (3, 5)).astype(np.bool_),
        "eight bits": rng.integers(0, 256, (4, 5)).astype(np.uint8),
        "complex": (weight[:2] + 1j * weight[2:4]).astype(np.complex64),
        "näme ☃": rng.normal(size=3).astype(np.float32),
    }
    integers = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
    arrays |= {each: rng.integers(0, 100, (2, 7)).astype(each) for each in integers}
    dtypes = {"brain": "BF16", "brain bias": "BF16", "eight bits": "F8_E4M3"}
    return Model(arrays, dtypes, {"format": "pt", "about": "ünïcode\nand lines"})
