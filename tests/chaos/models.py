"""Two tiny models, one with batch normalization, and what a client learns from them. Knows arrays alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Vector = NDArray[np.float64]

COUNTER = "batches"  # an integer array: each client adds STEPS
STEPS = 30
_PULL = 0.1  # towards what the client's examples ask for, so that a thousand rounds keep the model bounded
_NOISE = 0.01  # of an update's coordinates; heavy tails, as real updates have


def plain(seed: int = 0) -> Arrays:
    """Weights, float64 among them, and a counter."""
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.normal(size=(24, 10)).astype(np.float32),
        "bias": rng.normal(size=10).astype(np.float32),
        "wide": rng.normal(size=5),
        COUNTER: np.array(0, np.int64),
    }


def normalized(seed: int = 0) -> Arrays:
    """A layer and its batch normalization, whose running statistics are not trained."""
    rng = np.random.default_rng(seed)
    return {
        "conv.weight": rng.normal(size=(6, 27)).astype(np.float32),
        "bn.weight": rng.normal(size=6).astype(np.float32),
        "bn.bias": rng.normal(size=6).astype(np.float32),
        "bn.running_mean": np.zeros(6, np.float32),
        "bn.running_var": np.ones(6, np.float32),
        COUNTER: np.array(0, np.int64),
    }


def is_statistic(name: str) -> bool:
    """Whether an array is a running statistic."""
    return "running" in name


def trained(arrays: Arrays) -> Vector:
    """The trained arrays end to end, in float64; shape (n,)."""
    return np.concatenate(
        [
            np.asarray(array, np.float64).reshape(-1)
            for name, array in arrays.items()
            if array.dtype.kind == "f" and not is_statistic(name)
        ]
    )


def learn(arrays: Arrays, client: int, turn: int) -> Arrays:
    """Train in place, as apps do: towards a point of the client's own, with heavy-tailed noise.

    Args:
        arrays: of the received model.
        client: its number.
        turn: how many times any client trained before, so that no two updates are equal.
    """
    goal, rng = np.random.default_rng([client, 7]), np.random.default_rng([client, turn])
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            array += STEPS
        elif is_statistic(name):
            array += 0.1 * (rng.uniform(0.5, 1.5, array.shape).astype(array.dtype) - array)
        else:
            noise = np.clip(rng.standard_t(3, array.shape), -20, 20) * _NOISE
            array += (_PULL * (goal.normal(size=array.shape) - array) + noise).astype(array.dtype)
    return arrays
