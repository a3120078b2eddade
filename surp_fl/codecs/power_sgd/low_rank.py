"""One step of power iteration: the factors of a matrix. Does not know messages.

Source: Vogels, Karimireddy, Jaggi 2019, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed
Optimization", Algorithm 1: P ← M·Q, P̂ ← orthogonalised P, Q ← Mᵀ·P̂.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from surp_fl.types import Floats

_VANISHED = 1e-10  # share of a column's norm that is left where it depends on those before it, but for rounding

Round = Callable[[Floats], Floats]


def factors(matrix: Floats, start: Floats, rounded: Round, iterations: int = 1) -> tuple[Floats, Floats]:
    """Factors P and Q of a matrix, P·Qᵀ; each power iteration brings them closer to its largest singular vectors.

    Args:
        matrix: shape (rows, columns).
        start: the columns that span what Q spanned before, or any; shape (columns, rank).
        rounded: what P and Q are in a message.
        iterations: at least 1.

    Returns:
        Of shapes (rows, rank) and (columns, rank), rounded. Where the matrix has a lower rank, columns are 0 in both.
    """
    right = start
    for _ in range(iterations):
        left = orthogonalized(matrix @ right)
        right = matrix.T @ left
    left = rounded(left)
    right = rounded(matrix.T @ left)
    told = left.any(0) & right.any(0)
    return left * told, right * told


def orthogonalized(columns: Floats) -> Floats:
    """Orthonormal columns that span the same, by Gram and Schmidt, twice; 0 for those that depend on others.

    >>> orthogonalized(np.array([[3.0, 1.0, 6.0], [4.0, 0.0, 8.0]])).round(2).tolist()
    [[0.6, 0.8, 0.0], [0.8, -0.6, 0.0]]
    """
    found = np.zeros_like(columns)
    for place, column in enumerate(columns.T):
        before, left = found[:, :place], column
        for _ in range(2):
            left = left - before @ (before.T @ left)
        norm, whole = np.linalg.norm(left), np.linalg.norm(column)
        if norm > _VANISHED * whole:
            found[:, place] = left / norm
    return found


def warm_start(last: Floats, rank: int, rng: np.random.Generator) -> Floats:
    """Columns that span the rows of a matrix of rank `rank` or less, as its Q does; random ones for those missing.

    What power iteration makes of Q depends on what its columns span and on nothing else, so that this is as good a
    start as Q itself.

    Args:
        last: what was sent of the matrix, P·Qᵀ; shape (rows, columns).
        rank: columns of the start.
        rng: of the directions.

    Returns:
        Shape (columns, rank).
    """
    start = orthogonalized(last.T @ rng.standard_normal((len(last), rank)))
    missing = ~start.any(0)
    start[:, missing] = rng.standard_normal((len(start), int(missing.sum())))
    return start
