"""Runs that go on with the model that another one ended with: what clients owe is owed to that model still.

A process may start several strategies one after the other, with one `DecodeUpdates` or with several. Knows digests of
models; not models.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST = 64  # ends that are remembered


@dataclass(frozen=True)
class Ended:
    """What goes on where a model does.

    Attributes:
        session: by which clients know that it does.
        turn: rounds that were begun in it.
        applied: by node, the round of its last message that reached the model.
    """

    session: int
    turn: int
    applied: dict[int, int] = field(default_factory=dict)


_ends: dict[bytes, Ended] = {}  # by digest of the model, the oldest first


def remember(version: bytes, ended: Ended) -> None:
    """A run ended with this model."""
    _ends.pop(version, None)
    _ends[version] = ended
    while len(_ends) > _MOST:
        del _ends[next(iter(_ends))]


def taken_up(version: bytes) -> Ended | None:
    """What ended with this model, once: whoever starts from it a second time begins anew."""
    return _ends.pop(version, None)
