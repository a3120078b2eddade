"""Valid SuRP messages that no encoder would choose: stretches made to cost a decoder time and memory.

    python -m simulations.hostile --count 2000

Written symbol by symbol with the range coder, from a program of stretches that knows the grammar and not the encoder:
sets that come again, runs, whole layers, all of a range but one, single picks in the last layer, padding after the end.
A message may ask for more work than its bytes are worth; then it has to be refused, about as fast.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surp_fl import Layout, MalformedMessage
from surp_fl.codecs import READERS, surp
from surp_fl.coding.index_sets import nothing_told, room
from surp_fl.coding.range_coder import encode_bits, encode_count, finish, grant, new_encoder, overdrawn, written
from surp_fl.context import Context, Reference
from surp_fl.message import pack

Coordinates = NDArray[np.int64]

MOST_PASSES, MICROSECONDS_A_BYTE, FIXED_SECONDS = 3, 20, 0.004  # of a decoder's time
_SURP = 3
_MOST_PICKS = (1 << 17) - 1
_ROOM = 1 << 20  # bytes


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
        return pack(_SURP, body, surp.shared_by_both(body, self.layout, self.reference))

    def seconds(self, message: bytes, repeats: int = 3) -> float:
        """Least time of the processor to decode or refuse a message."""
        return min(self._once(message) for _ in range(repeats))

    def _once(self, message: bytes) -> float:
        began = time.process_time()
        try:
            READERS[_SURP].decode(message, self.layout, reference=self.reference)
        except MalformedMessage:
            pass
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
    model.flags.writeable = before.flags.writeable = False
    return Victim(layout, model if context == 1 else (model, before))


def _uneven(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    rows = rng.lognormal(0, 2, size=(shape[0], 1)).astype(np.float32)
    return (rows * rng.lognormal(0, 1, size=(1, int(np.prod(shape[1:])))).astype(np.float32)).reshape(-1)


class Writer:
    """Writes stretches for a victim, without regard for limits."""

    def __init__(self, victim: Victim) -> None:
        self._shared = Context.of(victim.layout, victim.reference).shared
        self.n = victim.layout.size
        self.named = np.zeros(self.n, np.bool_)
        self._out, self._state = np.zeros(_ROOM, np.uint8), new_encoder()
        grant(self._state, self.n)
        encode_bits(self._state, self._out, victim.context, 2)
        self._told, self._code = nothing_told(self._shared), 0

    @property
    def length(self) -> int:
        """Bytes so far."""
        return int(written(self._state))

    @property
    def overdrawn(self) -> bool:
        """Whether a decoder has to refuse the message."""
        return bool(overdrawn(self._state))

    @property
    def shared(self) -> surp.Shared:
        """What the victim holds."""
        return self._shared

    def stretch(self, coordinates: Coordinates, negative: bool = False, fresh: bool | None = None) -> None:
        """Name distinct ascending coordinates; fresh if none of them was named, unless that is to be hidden."""
        if fresh is None:
            fresh = not self.named[coordinates].any()
        assert coordinates.size <= room(self._told, fresh)
        code = 4000
        signs = np.full(coordinates.size, negative)
        self._told = surp._append(
            self._state, self._out, self._code, code, coordinates, signs, self._shared, self._told, fresh or self._code == 0
        )  # fmt: skip
        self._code = code
        self.named[coordinates] = True

    def body(self, padding: int = 0) -> bytes:
        """The body, ended, with so many bytes behind its end."""
        state, out = self._state.copy(), self._out.copy()
        encode_count(state, out, 0)
        return out[: finish(state, out)].tobytes() + bytes(padding)


def _run(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    first = int(rng.integers(writer.n - k + 1)) if rng.random() < 0.5 else int(rng.choice([0, writer.n - k]))
    return np.arange(first, first + k)


def _spread(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    step = min(writer.n // k, int(2 ** rng.integers(0, 20)))
    return np.arange(k) * step + int(rng.integers(writer.n - (k - 1) * step))


def _anywhere(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    return np.unique(rng.integers(0, writer.n, k))


def _but_some(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    run = _run(writer, k, rng)
    return np.delete(run, rng.integers(0, k, int(rng.integers(1, 1 + k // 2)))) if k > 1 else run


def _again(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    named = np.flatnonzero(writer.named[: 1 << 22])[:k]
    return named if named.size else np.zeros(1, np.int64)


def _in_one_layer(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    shared = writer.shared
    cold = 1 if shared.hot.size else 0
    layer = int(rng.choice([cold, shared.start.size - 1, int(rng.integers(cold, shared.start.size))]))
    cells = int(shared.rows[layer] * shared.columns[layer])
    k = min(k, cells)
    return int(shared.start[layer]) + np.sort(rng.permutation(min(cells, 4 * k))[:k] if rng.random() < 0.5 else np.arange(k))


def _in_all_layers(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    starts = writer.shared.start[1 if writer.shared.hot.size else 0 :]
    return np.unique(starts[rng.integers(0, starts.size, k)] + rng.integers(0, 2))


def _hot(writer: Writer, k: int, rng: np.random.Generator) -> Coordinates:
    return writer.shared.hot[:k] if writer.shared.hot.size else _run(writer, k, rng)


KINDS: tuple[Callable[[Writer, int, np.random.Generator], Coordinates], ...] = (
    _run, _spread, _anywhere, _but_some, _again, _in_one_layer, _in_all_layers, _hot,
)  # fmt: skip


def program(writer: Writer, rng: np.random.Generator, most: int, beyond: bool) -> Iterator[bytes]:
    """Write stretches of a few random kinds until the message is as long as `most`, or asks for too much.

    Gives the body after some of the stretches; the last is refused if it is to go `beyond`.
    """
    kinds = [KINDS[i] for i in rng.choice(len(KINDS), int(rng.integers(1, 4)))]
    top = int(min(writer.n, _MOST_PICKS))
    sizes = [max(1, int(top ** rng.random())) for _ in kinds]
    opening = int(rng.integers(0, 3))
    before = writer.body()
    for number in range(4096):
        which = int(rng.integers(len(kinds)))
        kind, k = (KINDS[0], top) if number < opening else (kinds[which], sizes[which])
        writer.stretch(kind(writer, max(1, k), rng))
        if writer.length > most or (writer.overdrawn and not beyond):
            break
        before = writer.body()
        if writer.overdrawn:
            break
    yield before
