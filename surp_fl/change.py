"""The encoded difference between two models of one layout, on the uplink and on the downlink: up to three sections.

    message      bytes    trained arrays: the message of a scheme
    statistics   bytes    running statistics: a message of its own, in their own units; empty if none changed
    integers     bytes    integer and boolean arrays: their differences, lossless; empty if none changed

The payload is all sections together. Knows layouts and codecs. Does not know Flower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surp_fl import statistics
from surp_fl.codecs import reader_of
from surp_fl.codecs.codec import Scheme, budget_of, with_budget
from surp_fl.codecs.dense import READER as _UNSCALED
from surp_fl.codecs.dense import Dense, longest
from surp_fl.codecs.surp.scheme import READER as _IN_UNITS
from surp_fl.codecs.surp.scheme import SMALLEST_BUDGET, SuRP
from surp_fl.errors import MalformedMessage
from surp_fl.frame import HEADER_BYTES
from surp_fl.integer_arrays import read_integers, write_integers
from surp_fl.layout import Layout
from surp_fl.memory import norm_of
from surp_fl.types import Array, Reference

_STATISTICS_DIVISOR = 4  # statistics may take a quarter of the budget
_NEGLIGIBLE_UNITS = 0.25  # root mean square error of statistics, below which their bytes serve weights better
_ANY_HEADER, _PER_ARRAY = 32, 2  # bytes that hold any scheme's options, and a scale for each array


@dataclass(frozen=True)
class Change:
    """The sections of one change, as they are sent.

    Attributes:
        message: of the trained arrays.
        statistics: of the running statistics; empty if none changed.
        integers: of the integer and boolean arrays; empty if none changed.
    """

    message: bytes
    statistics: bytes = b""
    integers: bytes = b""

    @property
    def payload(self) -> int:
        """Bytes of all sections."""
        return len(self.message) + len(self.statistics) + len(self.integers)

    def untrained(self, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
        """Decode running statistics and integer arrays; new arrays, or those of `before` where nothing changed.

        Args:
            before: the arrays that both ends hold; all running statistics and integer arrays of the layout.
            layout: of the model.

        Raises:
            MalformedMessage: a section is not valid.
        """
        return read_statistics(self.statistics, before, layout) | read_integers(self.integers, before, layout)


def change_of(
    scheme: Scheme,
    wanted: NDArray[np.float32],
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    layout: Layout,
    rng: np.random.Generator,
    reference: Reference,
    delta: NDArray[np.float32] | None = None,
) -> Change:
    """Encode all sections within the scheme's budget: the message gets what the other sections leave.

    Integer arrays that changed are sent in any case, even beyond the budget. No section is longer than its dense form:
    4 bytes a value and the frame. Without a budget, statistics take no more bytes than the message, or 16 where that
    has fewer; beside a dense message they are dense.

    Args:
        scheme: of the message.
        wanted: for the message; float32, shape (n,).
        before: the model that both ends hold.
        after: what it became.
        layout: of both.
        rng: of the encoder's random choices.
        reference: the model, or the model and the one before it, that the message is coded against; None for none.
        delta: the part of `wanted` that is this round's own, without residuals; None for all of it.

    Raises:
        ValueError: the change holds NaN or infinity.
    """
    integers = write_integers(before, after, layout)
    budget = budget_of(scheme, layout)
    if budget is None:
        message = _message(scheme, wanted, layout, rng, reference, delta)
        lossless = reader_of(message) is _UNSCALED
        size = longest(layout.of_statistics) if lossless else max(len(message), SMALLEST_BUDGET)
        return Change(message, write_statistics(before, after, layout, size, rng), integers)
    left = max(budget - len(integers), min(budget, SMALLEST_BUDGET))
    size = max(share_of(left), left - max(longest(layout), _ANY_HEADER))  # what a small model's message cannot use
    statistics = write_statistics(before, after, layout, size, rng)
    useful = _ANY_HEADER + sum(_PER_ARRAY + spec.size * spec.dtype.itemsize for spec in layout.floats)
    if statistics or integers or useful < left:  # a float16 model has fewer bytes than its dense message
        scheme = with_budget(scheme, min(left - len(statistics), useful))
    return Change(_message(scheme, wanted, layout, rng, reference, delta), statistics, integers)


def _message(
    scheme: Scheme,
    wanted: NDArray[np.float32],
    layout: Layout,
    rng: np.random.Generator,
    reference: Reference,
    delta: NDArray[np.float32] | None,
) -> bytes:
    """The scheme's message, or the dense one: where that is shorter, or has no more bytes than every budget allows."""
    if longest(layout) > SMALLEST_BUDGET:
        message = scheme.codec.encode(wanted, layout, rng=rng, reference=reference, delta=delta)
        if len(message) <= longest(layout):
            return message
    return Dense().codec.encode(wanted, layout, rng=rng)  # a model of a few coordinates: lossless in fewer bytes


def share_of(budget: int) -> int:
    """Bytes of a budget that running statistics may take: a quarter, at least the smallest message if twice that fits.

    >>> share_of(400), share_of(2 * SMALLEST_BUDGET - 1)
    (100, 0)
    """
    return max(budget // _STATISTICS_DIVISOR, SMALLEST_BUDGET) if budget >= 2 * SMALLEST_BUDGET else 0


def write_statistics(
    before: Mapping[str, Array], after: Mapping[str, Array], layout: Layout, size: int, rng: np.random.Generator
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

    Raises:
        ValueError: a statistic became NaN or infinite.
    """
    of_statistics = layout.of_statistics
    if all(np.array_equal(before[name], after[name]) for name, _ in layout.kinds):
        return b""
    if HEADER_BYTES + 4 * of_statistics.size <= size:
        unscaled = of_statistics.difference(
            {name: after[name] for name, _ in layout.kinds}, {name: before[name] for name, _ in layout.kinds}
        )
        return Dense().codec.encode(unscaled, of_statistics, rng=rng)
    if size < SMALLEST_BUDGET:
        return b""
    changes = of_statistics.flatten(statistics.in_units(before, after, dict(layout.kinds)))
    section = b""
    for budget in (size // 4, size // 2, size):
        if budget >= SMALLEST_BUDGET:
            section = SuRP(budget).codec.encode(changes, of_statistics, rng=rng)
            error = norm_of(changes - _IN_UNITS.decode(section, of_statistics)) / math.sqrt(of_statistics.size)
            if error <= _NEGLIGIBLE_UNITS:
                break
    return section


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
    if reader not in (_IN_UNITS, _UNSCALED):
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
