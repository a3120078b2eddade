"""A round's messages, decoded one after the other, and weighed against each other before any of them counts.

Weighing needs all norms, so that all are decoded before the first is handed on. What they say is kept as long as it
takes no more than one model; beyond that it is decoded again, so that memory does not grow with the clients.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from surp_fl.strategies.proportion import limit, remembered
from surp_fl.strategies.replies import Opened

from surp_fl.codecs.codec import Sparse
from surp_fl.message import MalformedMessage

Decode = Callable[[Opened], Sparse]


class Decoded(NamedTuple):
    """What became of one reply.

    Attributes:
        opened: the reply.
        said: what its update says; or why it is left out.
        seconds: that decoding took.
    """

    opened: Opened
    said: Sparse | MalformedMessage
    seconds: float


def norm_of(sparse: Sparse) -> float:
    """L2 norm of an update, in float64."""
    return float(np.sqrt(np.square(sparse[1], dtype=np.float64).sum()))


class Weighing:
    """Decodes rounds, and remembers how long their updates were.

    Args:
        proportion: how many times the usual norm an update may have; None for any.
    """

    def __init__(self, proportion: float | None) -> None:
        if proportion is not None and not proportion >= 1:
            raise ValueError(f"proportion = {proportion}; expected how many times the usual norm, 1 or more, or None")
        self.proportion = proportion
        self._earlier: tuple[float, ...] = ()

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
        norms: list[float] = []
        for each in opened:
            decoded = _decoded(each, decode)
            if isinstance(decoded.said, MalformedMessage):
                norms.append(0.0)
                found.append(decoded)
                continue
            norms.append(norm_of(decoded.said))
            size = sum(array.nbytes for array in decoded.said)
            found.append(decoded if size <= room else None)
            room -= size if size <= room else 0
        most = limit(norms, self._earlier, self.proportion)
        self._earlier = remembered(norms, self._earlier)
        for place, each in enumerate(opened):
            known, found[place] = found[place], None
            if norms[place] > most:
                yield Decoded(each, MalformedMessage(self._refusal(norms[place], most)), 0.0)
            else:
                yield known or _decoded(each, decode)

    def _refusal(self, norm: float, most: float) -> str:
        return (
            f"its update has norm {norm:.3g}; expected at most {most:.3g}, {self.proportion:g} times what is usual in "
            "this round and the ones before: clip gradients if this client trains as the others do; DecodeUpdates(..., "
            "proportion=None) takes any"
        )


def _decoded(each: Opened, decode: Decode) -> Decoded:
    began = time.perf_counter()
    try:
        said: Sparse | MalformedMessage = decode(each)
    except MalformedMessage as fault:
        said = fault
    return Decoded(each, said, time.perf_counter() - began)
