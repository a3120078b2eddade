"""NNCodec on updates: the finest step at which a message still fits a number of bytes, and the vector it decodes to.

One step for all arrays, unless its own rule chooses one for each: in an update all coordinates are alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from simulations.nncodec.process import Process
from surp_fl.layout import Layout
from surp_fl.types import Arrays, Vector

_DENSITY = 6
_OCTAVE = (
    1 << _DENSITY
)  # steps are 2^(qp / 64): of some, messages are a tenth longer from one of 2^(1 / 16) to the next
STRIDE = 2 * _OCTAVE
_FULL = 0.99  # of the bytes: no finer step is tried
_FINEST = -26 * _OCTAVE  # below the resolution of any update


def arrays_of(vector: Vector, layout: Layout) -> Arrays:
    """An update's arrays as NNCodec takes them: float32, of a dimension or more."""
    parts = np.split(vector, layout.ends[:-1])
    return {spec.name: part.reshape(spec.shape or 1) for spec, part in zip(layout.floats, parts, strict=True)}


def vector_of(arrays: Arrays, layout: Layout) -> Vector:
    """The update; arrays that NNCodec left out are zero.

    Raises:
        ValueError: an array has another size.
    """
    zeros = arrays_of(np.zeros(layout.size, np.float32), layout)
    found = [arrays.get(name, zero).astype(np.float32).reshape(zero.shape) for name, zero in zeros.items()]
    return np.concatenate([each.reshape(-1) for each in found]) if found else np.zeros(0, np.float32)


def encoded(process: Process, qp: int, settings: Mapping[str, Any]) -> list[bytes]:
    """The messages of the updates that a process holds."""
    given = {"qp": qp, "nonweight_qp": qp, "qp_density": _DENSITY, "compress_differences": True}
    return process.encode({**given, **settings})


def coarsest(vector: Vector) -> int:
    """A step of which no coordinate is half as long, nor any with a factor for its array or dependent quantisation."""
    largest = float(np.abs(vector).max(initial=0))
    return STRIDE * (2 + math.ceil(math.log2(largest) * _OCTAVE / STRIDE)) if largest else 0


def fitting(
    messages_at: Callable[[int], list[bytes]], largest: int, start: int, stride: int = STRIDE
) -> list[bytes] | None:
    """Find a step, about the finest from a coarse one on, with which the last message has at most `largest` bytes.

    Args:
        messages_at: the messages of updates in turn, for a quantisation parameter: a step of 2^(qp / 64).
        largest: bytes of the last.
        start: the coarse step.
        stride: from it to finer ones, as long as messages fit; then it is halved.

    Returns:
        The messages; None where those of the coarse step take more bytes.

    >>> fitting(lambda qp: [bytes(-qp)], 30, -5)[0] == bytes(30)
    True
    """
    best, qp = None, start
    while qp > _FINEST and len((messages := messages_at(qp))[-1]) <= largest:
        best, qp = messages, qp - stride
    if best is None:
        return None
    too_fine, fits = qp, qp + stride
    while fits - too_fine > 1 and len(best[-1]) < _FULL * largest:
        middle = (fits + too_fine) // 2
        messages = messages_at(middle)
        if len(messages[-1]) <= largest:
            best, fits = messages, middle
        else:
            too_fine = middle
    return best
