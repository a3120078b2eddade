"""A body → the float32 vector that it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tests.format_walk.frame import Shape
from tests.format_walk.groups import read_groups
from tests.format_walk.index_set import Cells
from tests.format_walk.reading import WINDOW, Reading
from tests.format_walk.side import Side, Vector, side_of
from tests.format_walk.symbols import MalformedError, Source, UndeterminedError
from tests.format_walk.terms import read_terms
from tests.format_walk.trellis import read_trellis

NONE, MODEL, BOTH, OTHERS = range(4)  # contexts, and what has more bits


@dataclass(frozen=True)
class Setting:
    """What the reader of a message holds: the model's shapes, the model and an earlier one, if it has them."""

    shapes: tuple[Shape, ...]
    model: Vector | None = None
    before: Vector | None = None

    @cached_property
    def n(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes)

    @cached_property
    def sides(self) -> Mapping[int, Side]:
        """What there is for each context that the reader has."""
        found = {NONE: side_of(self.shapes, None, None)}
        if self.model is not None:
            found[MODEL] = side_of(self.shapes, self.model, None)
            if self.before is not None:
                found[BOTH] = side_of(self.shapes, self.model, self.before)
        return found


class Walk:
    """One walk over a body, by the symbols of any source."""

    def __init__(self, source: Source, setting: Setting) -> None:
        self._source, self._setting = source, setting
        self._sums = np.zeros(setting.n)
        self._values = np.zeros(setting.n, np.float32)

    def run(self) -> bool:
        """Read all that is determined; whether that was all there is."""
        try:
            self._body()
        except UndeterminedError:
            return False
        self._source.check(self._source.needed, "something follows the end of the message")
        return True

    def vector(self) -> NDArray[np.float32]:
        """What was read so far means."""
        with np.errstate(over="ignore"):
            vector = (self._sums + self._values).astype(np.float32)
        self._source.check(bool(np.isfinite(vector).all()), "a value beyond float32")
        return vector

    def vector_or_none(self) -> Vector | None:
        """The same; None if a value is beyond float32."""
        try:
            return self.vector()
        except MalformedError:
            return None

    def _body(self) -> None:
        source = self._source
        context = source.bits("context", 2, source.choose("context", 0, 3))
        with_more = context == OTHERS
        if with_more:
            context = source.bits("context with terms", 2, source.choose("context with terms", 0, 3))
        if context == OTHERS:
            source.note("trellis mode")
            read_trellis(source, self._setting.sides[NONE].layers, self._sums, self._values)
            return
        source.check(context in self._setting.sides, "the reader does not have this context")
        side = self._setting.sides[context]
        source.note(("no context", "the model as context", "model and history as context")[context])
        source.note(
            "history without a recent layer", context == BOTH and all(layer.fell is None for layer in side.layers)
        )
        if with_more:
            source.note("terms before groups")
            read_terms(source, side.layers, self._sums)
        read_groups(source, [Cells(layer) for layer in side.layers], self._sums)


def read_body(body: bytes, setting: Setting) -> Vector:
    """The vector that a body says, float32, shape (n,).

    Raises:
        MalformedError: it breaks a limit of the format.
    """
    source = Reading(body, setting.n)
    source.check(named_context(body) in setting.sides, "the reader does not have this context")
    walk = Walk(source, setting)
    walk.run()
    return walk.vector()


def named_context(body: bytes) -> int:
    """Whose digest is in the message's check: the context that the body has with zeros for all missing bytes."""
    source = Reading(body[:WINDOW].ljust(2 * WINDOW, b"\0"), 0)
    try:
        context = source.bits("context", 2)
        return context if context < OTHERS else source.bits("context with terms", 2) % OTHERS
    except MalformedError:  # nothing but ones
        return NONE
