"""Decodes a round's messages one after the other, and rejects those whose norm is out of proportion.

The limit depends on all norms of the round, so that all messages are decoded before the first is handed on. Decoded
updates are kept as long as they take no more memory than one model; the others are decoded a second time, so that
memory does not grow with the number of clients. Knows replies. Does not know Flower's strategies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from surp_fl import statistics
from surp_fl.errors import MalformedMessage
from surp_fl.memory import norm_of
from surp_fl.strategies.proportion import norm_limit, recent_medians
from surp_fl.strategies.replies import DecodedReply, ParsedReply
from surp_fl.updates import values_of

Decode = Callable[[ParsedReply], DecodedReply]


_CHECKED = ("update", "change of running statistics")


class DecodingResult(NamedTuple):
    """The result of decoding one reply.

    Attributes:
        parsed: the reply.
        result: its content; or why it is rejected.
        seconds: that decoding took.
    """

    parsed: ParsedReply
    result: DecodedReply | MalformedMessage
    seconds: float


def norms_of(parsed: ParsedReply, decoded: DecodedReply) -> tuple[float, float]:
    """L2 norms of an update, and of the change of running statistics in their own units; in float64."""
    sent = parsed.sent_model
    changes = statistics.in_units(sent.untrained, decoded.untrained, dict(sent.layout.kinds))
    return norm_of(values_of(decoded.update)), math.hypot(*(norm_of(change) for change in changes.values()))


class NormCheck:
    """Decodes rounds, and keeps the median norms of the last ones.

    Args:
        proportion: how many times the usual norm an update may have, 1 or more; None accepts any.

    Raises:
        ValueError: `proportion` is less than 1.
    """

    def __init__(self, proportion: float | None) -> None:
        if proportion is not None and not proportion >= 1:
            raise ValueError(f"proportion = {proportion}; expected how many times the usual norm, 1 or more, or None")
        self.proportion = proportion
        self._medians: tuple[tuple[float, ...], ...] = ((), ())  # of earlier rounds: of updates, and of statistics

    def decode_round(self, parsed: list[ParsedReply], decode: Decode) -> Iterator[DecodingResult]:
        """Decode the replies of one round, in their order.

        Args:
            parsed: the replies; decoded updates may take the memory of the first one's model.
            decode: decodes one of them, with the same result when it is called again.
        """
        if self.proportion is None:
            for each in parsed:
                yield _timed(each, decode)
            return
        capacity = 4 * parsed[0].sent_model.layout.size if parsed else 0  # bytes
        results: list[DecodingResult | None] = []  # None: decoded again below
        norms: list[tuple[float, float]] = []
        for each in parsed:
            decoded = _timed(each, decode)
            if isinstance(decoded.result, MalformedMessage):
                norms.append((0.0, 0.0))
                results.append(decoded)
                continue
            norms.append(norms_of(each, decoded.result))
            size = decoded.result.extra_bytes(each.sent_model.untrained)
            results.append(decoded if size <= capacity else None)
            capacity -= size if size <= capacity else 0
        by_kind = list(zip(*norms, strict=True)) or [(), ()]
        limits = [
            norm_limit(mine, medians, self.proportion) for mine, medians in zip(by_kind, self._medians, strict=True)
        ]
        self._medians = tuple(
            recent_medians(mine, medians) for mine, medians in zip(by_kind, self._medians, strict=True)
        )
        for place, each in enumerate(parsed):
            known, results[place] = results[place], None
            faults = [
                self._fault(what, norm, limit)
                for what, norm, limit in zip(_CHECKED, norms[place], limits, strict=True)
                if norm > limit
            ]
            if faults:
                yield DecodingResult(each, MalformedMessage(faults[0]), 0.0)
            else:
                yield known or _timed(each, decode)

    def _fault(self, what: str, norm: float, limit: float) -> str:
        return (
            f"its {what} has norm {norm:.3g}; expected at most {limit:.3g}, {self.proportion:g} times what is usual in "
            "this round and the ones before: clip gradients if this client trains as the others do; DecodeUpdates(..., "
            "proportion=None) takes any"
        )


def _timed(parsed: ParsedReply, decode: Decode) -> DecodingResult:
    began = time.perf_counter()
    try:
        result: DecodedReply | MalformedMessage = decode(parsed)
    except MalformedMessage as fault:
        result = fault
    return DecodingResult(parsed, result, time.perf_counter() - began)
