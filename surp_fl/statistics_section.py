"""The section of running statistics of a change: lossless where that fits, else in their own units (statistics.py).

Where it does not fit, the section holds some of the arrays, drawn at random, with a few bits a value; the server
averages each array over the clients that sent it. If each client sent the largest of all changes instead, most
statistics would stay what they were when the model was another. Knows layouts and codecs. Does not know Flower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from surp_fl import statistics
from surp_fl.codecs import reader_of
from surp_fl.codecs.dense import READER as _LOSSLESS
from surp_fl.codecs.dense import Dense
from surp_fl.codecs.surp.scheme import READER as _IN_UNITS
from surp_fl.codecs.surp.scheme import SMALLEST_BUDGET, SuRP
from surp_fl.errors import MalformedMessage
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.memory import norm_of
from surp_fl.types import Array

_DIVISOR = 4  # statistics may take a quarter of the budget
_NEGLIGIBLE_UNITS = 0.05  # root mean square error, below which its bytes serve weights better
_BITS_EACH = 2.75  # of the statistics that are drawn; set by hand, as is the one above


def share_of(budget: int) -> int:
    """Bytes of a budget that running statistics may take: a quarter, at least the smallest message if twice that fits.

    >>> share_of(400), share_of(2 * SMALLEST_BUDGET - 1)
    (100, 0)
    """
    return max(budget // _DIVISOR, SMALLEST_BUDGET) if budget >= 2 * SMALLEST_BUDGET else 0


def write_statistics(
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    layout: Layout,
    size: int,
    rng: np.random.Generator,
    in_turns: bool = False,
) -> bytes:
    """Encode changes of running statistics in at most `size` bytes: without loss if that fits, else in their own units.

    A quarter or half of the bytes is enough where the error is negligible in these units.

    There is no error feedback: each round estimates statistics anew, and its change holds what was lost before.

    Args:
        before: the model that both ends hold; all arrays of the layout.
        after: what it became.
        layout: of the model.
        size: bytes of the section.
        rng: of the encoder's random choices.
        in_turns: hold some of the arrays where there are too few bytes for all, because other clients send the rest.

    Raises:
        ValueError: a statistic became NaN or infinite.
    """
    of_statistics = layout.of_statistics
    if all(np.array_equal(before[name], after[name]) for name, _ in layout.kinds):
        return b""
    for name, _ in layout.kinds:
        if not np.isfinite(after[name]).all():
            raise ValueError(f"running statistics '{name}' hold NaN or infinity: the local training diverged")
    if HEADER_BYTES + 4 * of_statistics.size <= size:
        unscaled = of_statistics.difference(
            {name: after[name] for name, _ in layout.kinds}, {name: before[name] for name, _ in layout.kinds}
        )
        return Dense().codec.encode(unscaled, of_statistics, rng=rng)
    if size < SMALLEST_BUDGET:
        return b""
    changes = of_statistics.flatten(statistics.in_units(before, after, dict(layout.kinds)))
    drawn = _drawn(of_statistics, size, rng) if in_turns else np.ones(of_statistics.size, bool)
    changes[~drawn] = 0
    section = b""
    for budget in (size // 4, size // 2, size):
        if budget >= SMALLEST_BUDGET:
            section = SuRP(budget).codec.encode(changes, of_statistics, rng=rng)
            error = norm_of(changes - _IN_UNITS.decode(section, of_statistics)) / math.sqrt(np.count_nonzero(drawn))
            if error <= _NEGLIGIBLE_UNITS:
                break
    return section


def _drawn(layout: Layout, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The coordinates that a section of so many bytes holds: of whole arrays at random, until the bytes are used."""
    drawn, left = np.zeros(layout.size, bool), 8 * size / _BITS_EACH
    if layout.size <= left:
        return ~drawn
    for place in rng.permutation(len(layout.floats)):
        if left > 0:
            spec = layout.floats[place]
            drawn[layout.ends[place] - spec.size : layout.ends[place]] = True
            left -= spec.size
    return drawn


def read_statistics(section: bytes, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """Decode running statistics.

    Args:
        section: as it came.
        before: the arrays that both ends hold; all running statistics of the layout.
        layout: of the model.

    Returns:
        The arrays after the change, by name; those of `before` where the section is empty.

    Raises:
        MalformedMessage: the section is not valid.
    """
    kinds = dict(layout.kinds)
    if not section:
        return {name: before[name] for name in kinds}
    reader = reader_of(section)
    if reader not in (_IN_UNITS, _LOSSLESS):
        raise MalformedMessage(
            f"the section of running statistics is a '{reader.name}' message; expected dense or surp"
        )
    change = reader.decode(section, layout.of_statistics)
    if reader is _IN_UNITS:
        return statistics.add_units(before, layout.of_statistics.floats_of(change), kinds)
    after = layout.of_statistics.moved(before, change)
    return {
        name: statistics.as_dtype(np.asarray(after[name], np.float64), before[name].dtype, kind)
        for name, kind in kinds.items()
    }
