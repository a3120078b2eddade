"""What a client measures of its own message: times, norms, and how many coordinates hold a tenth of what it wants.

Knows vectors. Does not know how a message is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.flower.records import Stats
from surp_fl.memory import norm_of
from surp_fl.types import Vector
from surp_fl.vector_scans import histogram


def stats_of(seconds: float, delta: Vector, wanted: Vector, sent: Vector, residual: NDArray[Any] | None) -> Stats:
    """Measure a message.

    Args:
        seconds: that encoding took.
        delta: trained model minus received model; float32, shape (n,).
        wanted: what the memory made of it; float32, shape (n,).
        sent: the decoded message; float32, shape (n,).
        residual: after the message; None without error feedback.
    """
    norm = norm_of(wanted)
    return Stats(
        encode_seconds=seconds,
        relative_error=norm_of(wanted - sent) / norm if norm > 0 else 0.0,
        residual_norm=0.0 if residual is None else norm_of(residual),
        update_norm=norm_of(delta),
        tenth=coordinates_of(wanted, 0.1),
    )


def coordinates_of(vector: Vector, share: float) -> float:
    """The least number of coordinates that hold a share of a vector's squared norm, to within some percent.

    Takes one pass, without sorting: magnitudes are counted in bins, eight for each factor of two, and those of one bin
    count as equal.

    Args:
        vector: finite; float32, shape (n,).
        share: of the squared norm, from 0 to 1.

    Returns:
        A number of coordinates, 1 or more, not rounded; 0 for a vector of zeros.

    >>> coordinates_of(np.array([1, 4, -4, 2], np.float32), share=16 / 37)
    1.0
    """
    counts, energies = histogram(np.ascontiguousarray(vector))
    wanted = share * float(energies.sum())
    if wanted <= 0:
        return 0.0
    from_above = np.cumsum(energies[::-1])
    last = int(np.searchsorted(from_above, wanted))
    above = float(from_above[last - 1]) if last else 0.0
    partly = (wanted - above) / float(energies[::-1][last])  # of the bin in which the share is reached
    return max(1.0, float(counts[::-1][:last].sum() + partly * counts[::-1][last]))
