"""What is sent of the difference between two models of one layout, in either direction: up to three sections.

    message      bytes    trained arrays: the message of a scheme
    statistics   bytes    running statistics: a message of their own, in units of their own; empty where none changed
    exact        bytes    integer and boolean arrays that changed: their differences, without loss; empty where none did

All sections count: together they are the payload. Knows layouts and codecs. Does not know Flower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surp_fl import statistics
from surp_fl.codecs import reader_of
from surp_fl.codecs.codec import Scheme, with_budget
from surp_fl.codecs.dense import READER as _AS_THEY_ARE
from surp_fl.codecs.dense import Dense, longest
from surp_fl.codecs.surp.scheme import READER as _IN_UNITS
from surp_fl.codecs.surp.scheme import SMALLEST_BUDGET, SuRP
from surp_fl.errors import MalformedMessage
from surp_fl.frame import HEADER_BYTES
from surp_fl.integer_arrays import read_integers, write_integers
from surp_fl.layout import Layout
from surp_fl.types import Array, Reference

_SHARE = 4  # of a budget is the statistics'


@dataclass(frozen=True)
class Change:
    """The sections of one change, as they travel.

    Attributes:
        message: of the trained arrays.
        statistics: of the running statistics; empty where none changed.
        exact: of the integer and boolean arrays; empty where none changed.
    """

    message: bytes
    statistics: bytes = b""
    exact: bytes = b""

    @property
    def payload(self) -> int:
        """Bytes of all sections."""
        return len(self.message) + len(self.statistics) + len(self.exact)

    def others(self, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
        """Statistics and exact arrays after this change; new arrays, or those of `before` where nothing changed.

        Args:
            before: those that both ends hold; all of the layout.
            layout: of the model.

        Raises:
            MalformedMessage: a section is not valid.
        """
        return read_statistics(self.statistics, before, layout) | read_integers(self.exact, before, layout)


def change_of(
    scheme: Scheme,
    wanted: NDArray[np.float32],
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    layout: Layout,
    rng: np.random.Generator,
    reference: Reference,
) -> Change:
    """Make all sections, within the scheme's budget: what the others leave of it is the message's.

    Integer arrays that changed travel in any case, beyond the budget where they have to. Without a budget, statistics
    take no more than the message.

    Args:
        scheme: of the message.
        wanted: for the message; float32, shape (n,).
        before: the model that both ends hold.
        after: what it became.
        layout: of both.
        rng: of the encoder's random choices.
        reference: what the message is coded against.

    Raises:
        ValueError: the change holds NaN or infinity.
    """
    exact = write_integers(before, after, layout)
    budget: int | None = getattr(scheme, "budget", None)
    if budget is None:
        message = _message(scheme, wanted, layout, rng, reference)
        return Change(message, write_statistics(before, after, layout, len(message), rng), exact)
    left = max(budget - len(exact), min(budget, SMALLEST_BUDGET))
    statistics = write_statistics(before, after, layout, share_of(left), rng)
    if statistics or exact:
        scheme = with_budget(scheme, left - len(statistics))
    return Change(_message(scheme, wanted, layout, rng, reference), statistics, exact)


def _message(
    scheme: Scheme, wanted: NDArray[np.float32], layout: Layout, rng: np.random.Generator, reference: Reference
) -> bytes:
    message = scheme.codec.encode(wanted, layout, rng=rng, reference=reference)
    if len(message) <= longest(layout):
        return message
    return Dense().codec.encode(wanted, layout, rng=rng)  # a model of a few coordinates: all of it, in fewer bytes


def share_of(budget: int) -> int:
    """Bytes of a budget that running statistics may take: a quarter, or what makes a message where as much is left."""
    return max(budget // _SHARE, SMALLEST_BUDGET) if budget >= 2 * SMALLEST_BUDGET else 0


def write_statistics(
    before: Mapping[str, Array], after: Mapping[str, Array], layout: Layout, size: int, rng: np.random.Generator
) -> bytes:
    """Tell how running statistics changed, in no more than `size` bytes: as they are if they fit, else in units.

    What is not told is not owed: who estimates statistics anew will tell it again.

    Args:
        before: what the other end holds too; all arrays of the layout.
        after: what they became.
        layout: of the model.
        size: bytes, the whole section.
        rng: of the encoder's random choices.

    Raises:
        ValueError: a statistic became NaN or infinite.
    """
    of_statistics = layout.of_statistics
    if all(np.array_equal(before[name], after[name]) for name, _ in layout.kinds):
        return b""
    if HEADER_BYTES + 4 * of_statistics.size <= size:
        exactly = of_statistics.difference(
            {name: after[name] for name, _ in layout.kinds}, {name: before[name] for name, _ in layout.kinds}
        )
        return Dense().codec.encode(exactly, of_statistics, rng=rng)
    if size < SMALLEST_BUDGET:
        return b""
    changes = of_statistics.flatten(statistics.in_units(before, after, dict(layout.kinds)))
    return SuRP(size).codec.encode(changes, of_statistics, rng=rng)


def read_statistics(section: bytes, before: Mapping[str, Array], layout: Layout) -> dict[str, Array]:
    """Running statistics after a change.

    Raises:
        MalformedMessage: the section is not valid.
    """
    kinds = dict(layout.kinds)
    if not section:
        return {name: before[name] for name in kinds}
    reader = reader_of(section)
    if reader not in (_IN_UNITS, _AS_THEY_ARE):
        raise MalformedMessage(
            f"the section of running statistics is a '{reader.name}' message; expected dense or surp"
        )
    told = reader.decode(section, layout.of_statistics)
    if reader is _IN_UNITS:
        return statistics.moved(before, layout.of_statistics.floats_of(told), kinds)
    after = layout.of_statistics.moved(before, told)
    return {
        name: statistics.as_dtype(np.asarray(after[name], np.float64), before[name].dtype, kind)
        for name, kind in kinds.items()
    }
