"""A round's messages, decoded one after the other, and weighed against each other before any of them counts.

Weighing needs all norms, so that all are decoded before the first is handed on. What they say is kept as long as it
takes no more than one model; beyond that it is decoded again, so that memory does not grow with the clients.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from surp_fl import statistics
from surp_fl.errors import MalformedMessage
from surp_fl.memory import norm_of
from surp_fl.strategies.proportion import limit, remembered
from surp_fl.strategies.replies import Opened, Said
from surp_fl.updates import values_of

Decode = Callable[[Opened], Said]


_WHAT = ("update", "change of running statistics")


class Decoded(NamedTuple):
    """What became of one reply.

    Attributes:
        opened: the reply.
        said: what it says; or why it is left out.
        seconds: that decoding took.
    """

    opened: Opened
    said: Said | MalformedMessage
    seconds: float


def norms_of(opened: Opened, said: Said) -> tuple[float, float]:
    """L2 norms of an update, and of how it changes running statistics, in units of their own; in float64."""
    kinds = dict(opened.broadcast.layout.kinds)
    changes = statistics.in_units(opened.broadcast.others, said.others, kinds)
    return norm_of(values_of(said.change)), math.hypot(*(norm_of(change.reshape(-1)) for change in changes.values()))


class Weighing:
    """Decodes rounds, and remembers how long their updates were.

    Args:
        proportion: how many times the usual norm an update may have; None for any.
    """

    def __init__(self, proportion: float | None) -> None:
        if proportion is not None and not proportion >= 1:
            raise ValueError(f"proportion = {proportion}; expected how many times the usual norm, 1 or more, or None")
        self.proportion = proportion
        self._earlier: tuple[tuple[float, ...], ...] = ((), ())  # of updates, and of statistics

    def round(self, opened: list[Opened], decode: Decode) -> Iterator[Decoded]:
        """Decode the replies of one round, in their order.

        Args:
            opened: the replies; their first model says how many bytes may be kept.
            decode: one of them, with the same result when it is called again.
        """
        if self.proportion is None:
            for each in opened:
                yield _decoded(each, decode)
            return
        room = 4 * opened[0].broadcast.layout.size if opened else 0
        found: list[Decoded | None] = []  # None: to be decoded again
        norms: list[tuple[float, float]] = []
        for each in opened:
            decoded = _decoded(each, decode)
            if isinstance(decoded.said, MalformedMessage):
                norms.append((0.0, 0.0))
                found.append(decoded)
                continue
            norms.append(norms_of(each, decoded.said))
            size = decoded.said.bytes_beside(each.broadcast.others)
            found.append(decoded if size <= room else None)
            room -= size if size <= room else 0
        of_each_kind = list(zip(*norms, strict=True)) or [(), ()]
        most = [limit(mine, before, self.proportion) for mine, before in zip(of_each_kind, self._earlier, strict=True)]
        self._earlier = tuple(
            remembered(mine, before) for mine, before in zip(of_each_kind, self._earlier, strict=True)
        )
        for place, each in enumerate(opened):
            known, found[place] = found[place], None
            beyond = [
                self._refusal(what, norm, allowed)
                for what, norm, allowed in zip(_WHAT, norms[place], most, strict=True)
                if norm > allowed
            ]
            if beyond:
                yield Decoded(each, MalformedMessage(beyond[0]), 0.0)
            else:
                yield known or _decoded(each, decode)

    def _refusal(self, what: str, norm: float, most: float) -> str:
        return (
            f"its {what} has norm {norm:.3g}; expected at most {most:.3g}, {self.proportion:g} times what is usual in "
            "this round and the ones before: clip gradients if this client trains as the others do; DecodeUpdates(..., "
            "proportion=None) takes any"
        )


def _decoded(each: Opened, decode: Decode) -> Decoded:
    began = time.perf_counter()
    try:
        said: Said | MalformedMessage = decode(each)
    except MalformedMessage as fault:
        said = fault
    return Decoded(each, said, time.perf_counter() - began)
