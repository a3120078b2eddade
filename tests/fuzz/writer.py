"""Writes valid SuRP messages that no encoder would choose, symbol by symbol: a generator that knows the grammar alone.

Rank-one terms, groups that come again, runs, whole layers, all of a range but one, single indices in the last layer,
padding after the end. A message may ask for more work than its bytes are worth; then a decoder has to refuse it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surp_fl import Layout, MalformedMessage
from surp_fl.codecs import READERS
from surp_fl.codecs.surp.coded_state import CodedState
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import WITH_TERMS, associated_data
from surp_fl.codecs.surp.groups import write_group
from surp_fl.codecs.surp.rank_one import layers_with_terms, write_term
from surp_fl.entropy.integers import encode_bits, encode_uint
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.frame import HEADER_BYTES, pack
from surp_fl.immutable import immutable
from surp_fl.types import Reference

Coordinates = NDArray[np.int64]

SURP = 3
MAX_INDICES = (1 << 17) - 1
_CAPACITY = 1 << 20  # bytes


@dataclass(frozen=True)
class Victim:
    """A decoder with what it holds: a model's layout, and the models that it was sent."""

    layout: Layout
    reference: Reference

    @property
    def context(self) -> int:
        """Which context its messages name."""
        return 0 if self.reference is None else 2 if isinstance(self.reference, tuple) else 1

    def message(self, body: bytes) -> bytes:
        """A body with a valid frame."""
        return pack(SURP, body, associated_data(body, self.layout, self.reference))

    def seconds(self, message: bytes, repeats: int = 3) -> float:
        """Least time of the processor to decode or refuse a message."""
        return min(self._once(message) for _ in range(repeats))

    def _once(self, message: bytes) -> float:
        began = time.process_time()
        with suppress(MalformedMessage):
            READERS[SURP].decode(message, self.layout, reference=self.reference)
        return time.process_time() - began


def victim(shapes: list[tuple[int, ...]], context: int, seed: int = 0) -> Victim:
    """A model of layers with these shapes; from context 1 on with uneven weights, with 2 a change before."""
    layout = Layout.of({f"layer {i}": np.broadcast_to(np.float32(0), shape) for i, shape in enumerate(shapes)})
    if context == 0:
        return Victim(layout, None)
    rng = np.random.default_rng(seed)
    model = np.concatenate([_uneven(shape, rng) for shape in shapes])
    before = model.copy()
    before[rng.choice(model.size, model.size // 20, replace=False)] += 1
    model, before = immutable(model), immutable(before)  # as on a server: contexts of read-only models are cached
    return Victim(layout, model if context == 1 else (model, before))


def _uneven(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    rows = rng.lognormal(0, 2, size=(shape[0], 1)).astype(np.float32)
    return (rows * rng.lognormal(0, 1, size=(1, int(np.prod(shape[1:])))).astype(np.float32)).reshape(-1)


@dataclass(frozen=True)
class Signs:
    """The signs of a rank-one term: as many of its rows, and of its columns, as are not zero.

    Attributes:
        place: of its layer among those that may have terms.
        rows: int8, shape (rows of the layer,).
        columns: int8, shape (columns of the layer,).
    """

    place: int
    rows: NDArray[np.int8]
    columns: NDArray[np.int8]


class Writer:
    """Writes groups for a victim, after rank-one terms if there are any, without regard for limits."""

    def __init__(self, victim: Victim, terms: Sequence[Signs] = ()) -> None:
        self._side = Context.of(victim.layout, victim.reference).side
        self.n = victim.layout.size
        self.sent = np.zeros(self.n, np.bool_)
        side = self._side
        self.start, self.rows, self.columns = (np.asarray(each) for each in (side.start, side.rows, side.columns))
        self.recent = np.asarray(side.recent)
        self._encoder = RangeEncoder(_CAPACITY)
        self._encoder.grant(self.n)
        if terms:
            encode_bits(self._encoder, WITH_TERMS, 2)
        encode_bits(self._encoder, victim.context, 2)
        if terms:
            encode_uint(self._encoder, len(terms))
        layers, code = layers_with_terms(side), 0
        for term in terms:
            write_term(self._encoder, side, layers, term.place, code, 4000, term.rows, term.columns)
            code = 4000
        self._state, self._code = CodedState(side), 0

    @property
    def length(self) -> int:
        """Bytes so far."""
        return self._encoder.bytes_written()

    @property
    def overdrawn(self) -> bool:
        """Whether a decoder has to refuse the message."""
        return self._encoder.overdrawn

    def group(self, coordinates: Coordinates, negative: bool = False, disjoint: bool | None = None) -> None:
        """Write distinct ascending coordinates; disjoint from those before, unless that is to be hidden."""
        if disjoint is None:
            disjoint = not self.sent[coordinates].any()
        assert coordinates.size <= self._state.capacity(disjoint)
        code = 4000
        signs = np.full(coordinates.size, negative, np.uint8)
        write_group(self._encoder, self._code, code, coordinates, signs, self._side, self._state, disjoint)
        self._code = code
        self.sent[coordinates] = True

    def body(self, padding: int = 0) -> bytes:
        """The body, ended, with so many bytes behind its end."""
        encoder = self._encoder.copy()
        encode_uint(encoder, 0)
        return encoder.finish() + bytes(padding)


def has_terms(message: bytes) -> bool:
    """Whether a message begins with rank-one terms."""
    return message[HEADER_BYTES] >> 6 == WITH_TERMS


def random_terms(victim: Victim, rng: np.random.Generator) -> list[Signs]:
    """Up to 8 terms of some layers: all, few, one or a run of the rows, and of the columns, are not zero."""
    side = Context.of(victim.layout, victim.reference).side
    layers = layers_with_terms(side)
    if not len(layers) or rng.random() < 0.5:
        return []
    kinds = [_KINDS_OF_SIGNS[i] for i in rng.integers(0, len(_KINDS_OF_SIGNS), 2)]
    found = []
    for _ in range(int(rng.integers(1, 9))):
        place = int(rng.integers(len(layers)))
        rows, columns = (int(each[layers[place]]) for each in (side.rows, side.columns))
        found.append(Signs(place, kinds[0](rows, rng), kinds[1](columns, rng)))
    return found


def _all(length: int, rng: np.random.Generator) -> NDArray[np.int8]:
    return np.ones(length, np.int8)


def _some(length: int, rng: np.random.Generator) -> NDArray[np.int8]:
    signs = np.zeros(length, np.int8)
    signs[rng.random(length) < 2.0 ** -rng.uniform(0, 12)] = 1
    signs[rng.integers(length)] = -1
    return signs


def _equally_spaced(length: int, rng: np.random.Generator) -> NDArray[np.int8]:
    signs = np.zeros(length, np.int8)
    signs[:: int(rng.integers(1, 40))] = 1
    return signs


def _run(length: int, rng: np.random.Generator) -> NDArray[np.int8]:
    signs = np.zeros(length, np.int8)
    signs[: int(rng.integers(1, length + 1))] = 1
    return signs


_KINDS_OF_SIGNS = (_all, _some, _equally_spaced, _run)


def run_of(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    first = int(rng.integers(writer.n - k + 1)) if rng.random() < 0.5 else int(rng.choice([0, writer.n - k]))
    return np.arange(first, first + k)


def evenly_spaced(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    step = min(writer.n // k, int(2 ** rng.integers(0, 20)))
    return np.arange(k) * step + int(rng.integers(writer.n - (k - 1) * step))


def _anywhere(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    return np.unique(rng.integers(0, writer.n, k))


def run_with_gaps(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    run = run_of(writer, k, rng)
    return np.delete(run, rng.integers(0, k, int(rng.integers(1, 1 + k // 2)))) if k > 1 else run


def _again(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    sent = np.flatnonzero(writer.sent[: 1 << 22])[:k]
    return sent if sent.size else np.zeros(1, np.int64)


def _in_one_layer(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    first = 1 if writer.recent.size else 0
    layer = int(rng.choice([first, writer.start.size - 1, int(rng.integers(first, writer.start.size))]))
    cells = int(writer.rows[layer] * writer.columns[layer])
    k = min(k, cells)
    return int(writer.start[layer]) + np.sort(
        rng.permutation(min(cells, 4 * k))[:k] if rng.random() < 0.5 else np.arange(k)
    )


def _in_all_layers(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    starts = writer.start[1 if writer.recent.size else 0 :]
    return np.unique(starts[rng.integers(0, starts.size, k)] + rng.integers(0, 2))


def _recent(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    return writer.recent[:k] if writer.recent.size else run_of(writer, k, rng)


KINDS: tuple[Callable[[Writer, int, np.random.Generator], Coordinates], ...] = (
    run_of, evenly_spaced, _anywhere, run_with_gaps, _again, _in_one_layer, _in_all_layers, _recent,
)  # fmt: skip


def program(writer: Writer, rng: np.random.Generator, most: int, beyond: bool) -> Iterator[bytes]:
    """Write groups of a few random kinds until the message is as long as `most`, or asks for too much.

    Gives the body after some of the groups; the last is refused if it is to go `beyond`.
    """
    kinds = [KINDS[i] for i in rng.choice(len(KINDS), int(rng.integers(1, 4)))]
    top = int(min(writer.n, MAX_INDICES))
    sizes = [max(1, int(top ** rng.random())) for _ in kinds]
    opening = int(rng.integers(0, 3))
    before = writer.body()
    for number in range(4096):
        which = int(rng.integers(len(kinds)))
        kind, k = (KINDS[0], top) if number < opening else (kinds[which], sizes[which])
        writer.group(kind(writer, max(1, k), rng))
        if writer.length > most or (writer.overdrawn and not beyond):
            break
        before = writer.body()
        if writer.overdrawn:
            break
    yield before
