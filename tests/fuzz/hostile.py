"""Valid SuRP messages that no encoder would choose: stretches made to cost a decoder time and memory.

    python -m tests.fuzz.hostile --count 2000

Written symbol by symbol with the range coder, from a program of stretches that knows the grammar and not the encoder:
sets that come again, runs, whole layers, all of a range but one, single picks in the last layer, padding after the end.
A message may ask for more work than its bytes are worth; then it has to be refused, about as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surp_fl import QSGD, STC, Dense, Layout, MalformedMessage, PaperSuRP, SuRP, TopK
from surp_fl.codecs import READERS
from surp_fl.codecs.codec import Scheme
from surp_fl.codecs.surp import encoder as surp
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import associated_data as _associated_data
from surp_fl.codecs.surp.index_set import nothing_told, room
from surp_fl.codecs.surp.layers import Shared
from surp_fl.entropy.range_coder import encode_bits, encode_count, finish, grant, new_encoder, overdrawn, written
from surp_fl.frame import HEADER_BYTES, pack, scheme_id_of
from surp_fl.immutable import immutable
from surp_fl.types import Reference

Coordinates = NDArray[np.int64]

MOST_PASSES, MICROSECONDS_A_BYTE = 3, 20  # of a decoder's time
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
        return pack(_SURP, body, _associated_data(body, self.layout, self.reference))

    def seconds(self, message: bytes, repeats: int = 3) -> float:
        """Least time of the processor to decode or refuse a message."""
        return min(self._once(message) for _ in range(repeats))

    def _once(self, message: bytes) -> float:
        began = time.process_time()
        with suppress(MalformedMessage):
            READERS[_SURP].decode(message, self.layout, reference=self.reference)
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
    model, before = immutable(model), immutable(before)  # as on a server: what is read off them is kept
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
    def shared(self) -> Shared:
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
            self._state, self._out, self._code, code, coordinates, signs, self._shared, self._told, fresh
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
    return int(shared.start[layer]) + np.sort(
        rng.permutation(min(cells, 4 * k))[:k] if rng.random() < 0.5 else np.arange(k)
    )


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


def pass_seconds(n: int) -> float:
    """Least time of one pass over a vector of n coordinates: the largest magnitude."""
    vector = np.ones(n, np.float32)
    best = np.inf
    for _ in range(5):
        began = time.process_time()
        np.abs(vector).max()
        best = min(best, time.process_time() - began)
    return float(best)


@dataclass(frozen=True)
class Cost:
    """What the costliest message of a search takes.

    Attributes:
        ratio: its time over what is allowed.
        seconds: its time.
        length: bytes.
        seed: of its program.
    """

    ratio: float
    seconds: float
    length: int
    seed: int


def worst_of(victim: Victim, count: int, seed: int, most: int) -> Cost:
    """Search for the message that takes longest for its length."""
    one_pass = pass_seconds(victim.layout.size)
    writer = Writer(victim)
    writer.stretch(np.arange(3))
    victim.seconds(victim.message(writer.body()))  # compiles, and reads what is held
    worst = Cost(0.0, 0.0, 0, 0)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        for body in program(Writer(victim), rng, most, beyond=bool(rng.random() < 0.3)):
            message = victim.message(body)
            allowed = MOST_PASSES * one_pass + 1e-6 * MICROSECONDS_A_BYTE * len(message)
            seconds = victim.seconds(message, 1)
            if seconds > worst.ratio * allowed:  # once more: the machine may have been busy
                seconds = min(seconds, victim.seconds(message, 5))
            if seconds > worst.ratio * allowed:
                worst = Cost(seconds / allowed, seconds, len(message), number)
    return worst


def bodies(layout: Layout) -> Iterator[tuple[int, bytes]]:
    """Scheme ids and bodies that take a decoder's memory, for a model of one layer; valid ones and others."""
    n, rng = layout.size, np.random.default_rng(0)
    vector = rng.laplace(size=n).astype(np.float32)
    schemes: list[Scheme] = [
        Dense(), QSGD(bits=2, bucket=n), QSGD(bits=8, bucket=1), TopK(sparsity=0.0), TopK(sparsity=0.0, value_bits=16),
        TopK(sparsity=0.7), STC(n), STC(n // 8), PaperSuRP(steps=n // 20), PaperSuRP(steps=n // 4), SuRP(20_000),
    ]  # fmt: skip
    for scheme in schemes:
        message = scheme.codec.encode(vector, layout, rng=rng)
        yield scheme_id_of(message), message[HEADER_BYTES:]
        yield scheme_id_of(message), message[HEADER_BYTES:] + bytes(len(message) // 4)
    for k in (_MOST_PICKS, 10_000):
        for kind in (_run, _but_some, _spread):
            writer = Writer(Victim(layout, None))
            while writer.length < 40_000 and not writer.overdrawn:
                body = writer.body()
                writer.stretch(kind(writer, k, rng))
            yield _SURP, body
            yield _SURP, writer.body(400_000)


def memory(n: int) -> list[dict[str, int | str]]:
    """How many bytes each decoder takes at most for each of `bodies`, by the kernel's account.

    Needs MALLOC_MMAP_THRESHOLD_=65536: memory that the process kept for itself would not count.
    """
    if os.environ.get("MALLOC_MMAP_THRESHOLD_") != "65536":
        raise ValueError("run it with MALLOC_MMAP_THRESHOLD_=65536 in the environment")
    layout = Layout.of({"w": np.broadcast_to(np.float32(0), (n,))})
    found: list[dict[str, int | str]] = []
    seen = set()
    for scheme_id, body in bodies(layout):
        reader = READERS[scheme_id]
        message = pack(scheme_id, body, layout.fingerprint)
        for decode in (reader.decode, reader.decode_sparse):
            for _ in range(1 if (reader, decode.__name__) in seen else 2):  # the first compiles
                Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
                before = _resident("VmRSS")
                with suppress(MalformedMessage):
                    decode(message, layout)
                taken = _resident("VmHWM") - before
            seen.add((reader, decode.__name__))
            found.append({"scheme": reader.name, "n": n, "message": len(message), "bytes": taken})
    return found


def _resident(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def main(arguments: list[str] | None = None) -> int:
    """Search for the costliest messages, and say what they cost."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.hostile", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="messages for each model (%(default)s)")
    parser.add_argument("--most", type=int, default=4000, help="bytes (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", action="store_true", help="measure memory instead, as JSON")
    options = parser.parse_args(arguments)
    if options.memory:
        json.dump(memory(1_000_000), sys.stdout)
        return 0
    models: list[list[tuple[int, ...]]] = [
        [(1, 10_000_000)], [(512, 4608)] * 4, [(50, 100)] * 2000, [(30, 40), (7,), (300, 200)],
    ]  # fmt: skip
    for shapes in models:
        for context in range(3):
            worst = worst_of(victim(shapes, context), options.count, options.seed, options.most)
            print(f"{len(shapes)} layers, context {context}: {worst}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
