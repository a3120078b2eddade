"""Sessions: the rounds that continue one model, so that the residuals which clients keep remain valid.

A process may start several strategies one after the other, with one `DecodeUpdates` or with several. A start from the
model that an earlier run ended with continues that run's session; a start from any other model opens a new session, in
which clients discard their residuals. Knows digests of models. Does not know messages.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.records import arrays_of
from surp_fl.statistics import Kinds
from surp_fl.strategies.initial_model import InitialModel
from surp_fl.strategies.node_registry import NodeRegistry

_MAX_SAVED = 64  # sessions; beyond that the oldest is forgotten


@dataclass(frozen=True)
class SavedSession:
    """What a session needs to be resumed.

    Attributes:
        session: random id, by which clients recognise the session.
        session_round: rounds that were begun in it.
        applied: by node id, the session round of its last message that was applied to the model.
    """

    session: int
    session_round: int
    applied: dict[int, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """JSON, to be kept with a model."""
        return json.dumps([self.session, self.session_round, list(self.applied.items())]).encode()

    @classmethod
    def from_bytes(cls, saved: bytes) -> SavedSession:
        """Read what `to_bytes` made.

        Raises:
            ValueError: it is something else.
        """
        try:
            session, session_round, applied = json.loads(saved)
            found = cls(session, session_round, dict(applied))
        except (TypeError, ValueError, RecursionError) as fault:
            raise ValueError(f"{saved[:60]!r} is no saved session: {fault}; give what saved_session() gave") from fault
        numbers = [found.session, found.session_round, *found.applied, *found.applied.values()]
        if not all(type(each) is int for each in numbers):
            raise ValueError(f"{saved[:60]!r} is no saved session: not all is numbers; give what saved_session() gave")
        return found


_saved: dict[bytes, SavedSession] = {}  # by digest of the final model, the oldest first


def save_session(version: bytes, session: SavedSession) -> None:
    """Save the session of a run that ended, in this process, under the digest of its final model."""
    _saved.pop(version, None)
    _saved[version] = session
    while len(_saved) > _MAX_SAVED:
        del _saved[next(iter(_saved))]


def resume(version: bytes) -> SavedSession | None:
    """Take the session that ended with this model; None the second time, which has to open a new session."""
    return _saved.pop(version, None)


class Session:
    """The session of one `DecodeUpdates`: from one start to the next where the model is continued.

    Args:
        history_bytes: memory for models of earlier rounds; see `NodeRegistry`.
        kinds: which arrays are running statistics; None recognises them by name.

    Attributes:
        id: random, 62 bits.
        round: rounds begun in this session, counted from 1 whatever number the strategy gives them.
        registry: what each node was sent.
        initial: names, order and dtypes of the initial model.
    """

    def __init__(self, history_bytes: int, kinds: Kinds | None) -> None:
        self.id = secrets.randbits(62)
        self.round = 0
        self.registry = NodeRegistry(history_bytes)
        self.initial = InitialModel(kinds)
        self._history_bytes = history_bytes
        self._kinds = kinds
        self._final = b""  # digest of the model that the last start ended with

    def begin(self, initial: ArrayRecord) -> None:
        """Start from a model: continue this session, resume a saved one, or open a new one."""
        version = digest_of(arrays_of(initial))
        saved = resume(version)
        if version == self._final:
            return
        saved = saved or SavedSession(secrets.randbits(62), self.round)
        self.id, self.round = saved.session, saved.session_round
        self.registry = NodeRegistry(self._history_bytes)
        self.registry.applied.update(saved.applied)
        self.initial = InitialModel(self._kinds)

    @property
    def saved(self) -> SavedSession:
        """As it is now."""
        return SavedSession(self.id, self.round, dict(self.registry.applied))

    def end(self, final: ArrayRecord) -> None:
        """Save the session under the final model."""
        self._final = digest_of(arrays_of(final))
        save_session(self._final, self.saved)
