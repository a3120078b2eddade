"""What the messages of both algorithms begin with, options, β, counts and scales, and checks that both decoders make.

Knows bits. Does not know what follows the head.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from surp_fl.codecs.surp_paper.schedule import Schedule
from surp_fl.entropy.bitio import BitReader, BitWriter, MalformedBits, width_of
from surp_fl.layout import Layout
from surp_fl.types import Integers

_SCALES, _BETA = 1, 2  # option bits
_MIN_GATHERED, _COORDINATES_PER_GATHERED = 4096, 8  # indices in any model; coordinates for one more, before a vector


class Head(NamedTuple):
    """What was read.

    Attributes:
        schedule: for the layout's size, and β.
        steps: at least 1.
        refreshes: fewer than steps; or of two sides as many at most.
        scale_codes: of all layers, shape (layers,); None if no scales are sent.
    """

    schedule: Schedule
    steps: int
    refreshes: int
    scale_codes: Integers | None


def rounded(beta: float | None) -> float | None:
    """β as a message has it."""
    return None if beta is None else float(np.float32(beta))


def head_bits(beta: float | None, scale_codes: Integers | None) -> int:
    """Bits of the head, without the two counts."""
    return 8 + 32 * (beta is not None) + 16 * (0 if scale_codes is None else scale_codes.size)


def write_head(bits: BitWriter, beta: float | None, scale_codes: Integers | None, steps: int, refreshes: int) -> None:
    """Write the head; β is rounded, and there are fewer refreshes than steps."""
    bits.write_one(_SCALES * (scale_codes is not None) | _BETA * (beta is not None), 8)
    if beta is not None:
        bits.write_one(int.from_bytes(struct.pack(">f", beta), "big"), 32)
    bits.write_varint(steps)
    if steps > 0:
        bits.write_varint(refreshes)
        if scale_codes is not None:
            bits.write(scale_codes, 16)


def read_head(bits: BitReader, layout: Layout, sides: int) -> Head | None:
    """Read the head; None for a message without steps, which ends with it.

    Args:
        bits: at the beginning of a body.
        layout: of the model.
        sides: that a step of the algorithm refines, as of `Schedule.of`.

    Raises:
        MalformedBits: no encoder writes this head.
    """
    options = bits.read_one(8)
    if options & ~(_SCALES | _BETA):
        raise MalformedBits(f"options {options:#04x}; this version knows the lowest two bits")
    beta = float(struct.unpack(">f", bits.read_one(32).to_bytes(4, "big"))[0]) if options & _BETA else None
    steps = bits.read_varint()
    if steps == 0:
        bits.finish()
        return None
    if layout.size == 0:
        raise MalformedBits("there are steps, but the model has no floating-point coordinate")
    try:
        schedule = Schedule.of(layout.size, beta, sides)
    except ValueError as fault:
        raise MalformedBits(str(fault)) from fault
    refreshes = bits.read_varint()
    if refreshes >= steps + sides - 1:  # Algorithm 1 may estimate twice before its first step
        raise MalformedBits(f"{refreshes} refreshes in {steps} steps")
    return Head(schedule, steps, refreshes, bits.read(layout.ends.size, 16) if options & _SCALES else None)


def check_refreshes(refresh_at: Integers, refresh_code: Integers, steps: int) -> None:
    """Check the refreshes, the first estimate included.

    Raises:
        MalformedBits: they are not in order within the steps, or an estimate is zero.
    """
    if (refresh_at[1:] <= refresh_at[:-1]).any() or refresh_at[-1] >= steps:
        raise MalformedBits("the refreshes are not in ascending order within the steps")
    if (refresh_code == 0).any():
        raise MalformedBits("an estimate of zero")


def index_bits_of(n: int) -> int:
    """Bits of an index: ⌈log2 n⌉, at least 1."""
    return max(1, width_of(n))


def check_indices(indices: Integers, n: int) -> None:
    """Check that indices, at least one, are those of n coordinates.

    Raises:
        MalformedBits: they are not.
    """
    if indices.max() >= n:
        raise MalformedBits(f"index {indices.max()} in a model of {n} coordinates")


def is_dense(indices: int, n: int) -> bool:
    """Whether so many indices decode to a vector: as pairs of index and value they would take more memory."""
    return indices > _MIN_GATHERED + n // _COORDINATES_PER_GATHERED
