"""Small random models for Hypothesis, and masks within them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from surp_fl.pruning import prune
from surp_fl.types import Array

_SHAPES = [(4, 3, 2, 2), (6, 4, 3), (5, 7), (3, 30), (1, 1), (2, 1), (16, 9)]


@st.composite
def models(draw: st.DrawFn) -> dict[str, Array]:
    """Up to five layers with biases; some with ties, zeros, all zeros, or another float type."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    model: dict[str, Array] = {}
    for i, shape in enumerate(draw(st.lists(st.sampled_from(_SHAPES), min_size=1, max_size=5))):
        kind = draw(st.sampled_from(["laplace", "integers", "sparse", "zeros"]))
        values: NDArray[np.float64] = {
            "laplace": rng.laplace(size=shape) * 10.0 ** rng.integers(-3, 3),
            "integers": rng.integers(-3, 4, shape).astype(float),
            "sparse": rng.normal(size=shape) * (rng.random(shape) < 0.3),
            "zeros": np.zeros(shape),
        }[kind]
        model[f"{i}.weight"] = values.astype(draw(st.sampled_from([np.float32, np.float32, np.float64, np.float16])))
        model[f"{i}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
    return model


def weights_of(model: dict[str, Array]) -> dict[str, Array]:
    return {name: array for name, array in model.items() if array.ndim >= 2}


def gradients_of(model: dict[str, Array], seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=array.shape) for name, array in weights_of(model).items()}


def total_of(model: dict[str, Array]) -> int:
    return sum(array.size for array in weights_of(model).values())


def masks_within(model: dict[str, Array], seed: int) -> dict[str, NDArray[np.bool_]]:
    """Half of the weights, at random."""
    keep = (total_of(model) + 1) // 2
    rng = np.random.default_rng(seed)
    return dict(prune(model, 1 - keep / total_of(model), "random", tied=False, rng=rng).masks)
