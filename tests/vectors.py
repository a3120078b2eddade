"""Test vectors: random ones of several distributions, and awkward ones by name."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from surp_fl import Layout

Vector = NDArray[np.float32]

AWKWARD: dict[str, Vector] = {
    "one coordinate": np.array([-2.5], np.float32),
    "one zero": np.zeros(1, np.float32),
    "two coordinates": np.array([1.0, -3.0], np.float32),
    "all zero": np.zeros(1000, np.float32),
    "constant": np.full(1000, -0.25, np.float32),
    "one huge value": np.concatenate([np.full(999, 1e-3), [3e38]]).astype(np.float32),
    "only one is not zero": np.eye(1, 1000, 500, dtype=np.float32)[0],
    "denormals": np.linspace(-1e-44, 1e-44, 1000).astype(np.float32),
    "smallest denormal": np.full(100, 1.4e-45, np.float32),
    "light tail": np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32),
    "heavy tail": np.random.default_rng(1).standard_cauchy(5000).astype(np.float32),
    "all of float32's range": np.ldexp(1.0, np.arange(-149, 128)).astype(np.float32),
    "negative zeros": np.full(10, -0.0, np.float32),
    "a power of two of coordinates": np.random.default_rng(2).laplace(size=4096).astype(np.float32),
}

_DRAWS: list[Callable[[np.random.Generator, int], NDArray[np.float64]]] = [
    lambda rng, n: rng.laplace(size=n),
    lambda rng, n: rng.normal(size=n) ** 3,
    lambda rng, n: rng.standard_t(2, size=n),
    lambda rng, n: rng.uniform(-1, 1, n),
    lambda rng, n: rng.laplace(size=n) * (rng.random(n) < 0.02),
    lambda rng, n: rng.integers(-3, 4, n).astype(np.float64),
]


@st.composite
def vectors(draw: st.DrawFn, max_size: int = 3000) -> Vector:
    """Random vectors, and small ones that Hypothesis shapes value by value."""
    if draw(st.booleans()):
        shape = st.integers(1, 40)
        finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
        return np.asarray(draw(hnp.arrays(np.float32, shape, elements=finite)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, max_size))
    scale = 10.0 ** draw(st.integers(-12, 12))
    return (scale * draw(st.sampled_from(_DRAWS))(rng, n)).astype(np.float32)


def layout_for(vector: Vector) -> Layout:
    """A layout of up to three arrays over the vector."""
    cuts = sorted({0, len(vector) // 3, len(vector) // 2, len(vector)})
    parts = {f"layer{i}": vector[a:b] for i, (a, b) in enumerate(pairwise(cuts))}
    return Layout.of(parts)
