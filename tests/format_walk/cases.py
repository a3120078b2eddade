"""Random messages with what they mean: whole ones, cut ones, damaged ones, and ones that break a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np

from tests.format_walk.body import Setting, Walk, named_context, read_body
from tests.format_walk.choosing import Choosing
from tests.format_walk.frame import associated, fingerprint_of, framed
from tests.format_walk.side import Vector
from tests.format_walk.symbols import MalformedError, OverdrawnError
from tests.format_walk.taste import Taste


@dataclass(frozen=True)
class Case:
    """A message and what it means.

    Attributes:
        vector: None if the message is malformed.
        visited: names of features, the reason of a malformed message among them.
    """

    setting: Setting
    body: bytes
    vector: Vector | None
    visited: Counter[str] = field(default_factory=Counter)

    @property
    def names(self) -> list[str]:
        return [f"array{i}" for i in range(len(self.setting.shapes))]

    @property
    def fingerprint(self) -> int:
        return fingerprint_of(self.names, self.setting.shapes)

    @property
    def message(self) -> bytes:
        """The body in its frame; where the reader lacks its context, in one of no context."""
        side = self.setting.sides.get(named_context(self.body))
        return framed(self.body, associated(self.fingerprint, side.digest if side else 0))


def case_of(body: bytes, setting: Setting, visited: Counter[str] | None = None) -> Case:
    """The case of any body: read here."""
    visited = Counter() if visited is None else visited
    try:
        return Case(setting, body, read_body(body, setting), visited)
    except MalformedError as error:
        visited[str(error)] += 1
        return Case(setting, body, None, visited)


def chosen(setting: Setting, taste: Taste, rng: Random) -> Iterator[Case]:
    """A message to a taste; and it cut just before what makes it malformed.

    Raises:
        AssertionError: the message that was written is not read as it was meant.
    """
    source = Choosing(setting.n, taste, rng)
    walk, vector, broken = Walk(source, setting), None, ""
    try:
        walk.run()
    except OverdrawnError:
        broken = "its credit is overdrawn"
    except MalformedError:
        broken = "it breaks a limit"
    else:
        vector = walk.vector_or_none()
    whole = case_of(source.finish(), setting, source.visited)
    if vector is None:
        assert whole.vector is None, "a malformed message is read"
    else:
        np.testing.assert_array_equal(vector, whole.vector)
    yield whole
    if broken and len(whole.body) > 1:
        yield case_of(whole.body[:-1], setting, Counter([f"a message that is cut before {broken}"]))


def cut(case: Case, rng: Random) -> Case:
    """A prefix of at least a byte: of nothing, the context is not known."""
    length = rng.randrange(1, len(case.body))
    return case_of(case.body[:length], case.setting, Counter(["a message that is cut"]))


def damaged(case: Case, rng: Random) -> Case:
    """Other bytes, or more of them, in a frame that is right."""
    body, at = case.body, rng.randrange(len(case.body))
    other = rng.choice(
        (
            body + rng.randbytes(rng.randint(1, 3)),
            body[:at] + rng.randbytes(1) + body[at + 1 :],
            body[:at] + rng.randbytes(rng.randint(1, 40)),
            rng.randbytes(rng.randint(1, 60)),
            b"\xff" * 5 + rng.choice((b"", b"\xfe\xff", b"\xff", b"\xff\0")) + rng.randbytes(rng.randint(0, 3)),
        )
    )
    return case_of(other, case.setting, Counter(["a message that is damaged"]))
