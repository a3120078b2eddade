"""The encoded difference between two models of one layout, on the uplink and on the downlink: up to three sections.

    message      bytes    trained arrays: the message of a scheme
    statistics   bytes    running statistics: a message of its own, in their own units; empty if none changed
    integers     bytes    integer and boolean arrays: their differences, lossless; empty if none changed

The payload is all sections together. Knows layouts and codecs. Does not know Flower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs import reader_of
from surp_fl.codecs.codec import Scheme, budget_of, with_budget
from surp_fl.codecs.dense import READER as LOSSLESS
from surp_fl.codecs.dense import Dense, longest
from surp_fl.codecs.surp.scheme import SMALLEST_BUDGET
from surp_fl.integer_arrays import read_integers, write_integers
from surp_fl.layout import Layout
from surp_fl.statistics_section import read_statistics, share_of, write_statistics
from surp_fl.types import Array, Reference

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

    @property
    def tells_all_statistics(self) -> bool:
        """Whether running statistics are lossless, so that those which it leaves as they were did not change."""
        return reader_of(self.statistics or self.message) is LOSSLESS

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
    in_turns: bool = False,
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
        in_turns: whether others tell running statistics of the same round too, so that this change may tell a few well.

    Raises:
        ValueError: the change holds NaN or infinity.
    """
    integers = write_integers(before, after, layout)
    budget = budget_of(scheme, layout)
    if budget is None:
        message = _message(scheme, wanted, layout, rng, reference, delta)
        lossless = reader_of(message) is LOSSLESS
        size = longest(layout.of_statistics) if lossless else max(len(message), SMALLEST_BUDGET)
        return Change(message, write_statistics(before, after, layout, size, rng, in_turns), integers)
    left = max(budget - len(integers), min(budget, SMALLEST_BUDGET))
    size = max(share_of(left), left - max(longest(layout), _ANY_HEADER))  # what a small model's message cannot use
    statistics = write_statistics(before, after, layout, size, rng, in_turns)
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
