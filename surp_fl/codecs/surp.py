"""SuRP messages: stretches of the walk as sets, in a range coder, against what both ends already hold.

Knows how stretches become bytes. Writer and reader mirror each other; every symbol is range coded:

    context      2 bits   0: none; 1: the model that the client was sent; 2: that, and the one it was sent before
    stretches             until a count of zero, or until the bytes end, wherever that is
      count      k, as in coding/range_coder
      magnitude  13 bits (9 of exponent, 4 of mantissa) for the first stretch, then the change of that number, as a
                 count: twice a rise, or twice a fall less one
      fresh      whether no coordinate comes again; not for the first stretch, which is
      set        k coordinates and their signs, as in coding/index_sets
"""

from __future__ import annotations

import zlib
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
from surp_fl._surp_loops import value_of
from surp_fl.codecs.codec import Codec, Parts, Reader, Sparse, Vector
from surp_fl.coding.fixed import MalformedBits
from surp_fl.coding.index_sets import Told, decode_set, encode_set, nothing_told, room
from surp_fl.coding.range_coder import (
    Bytes,
    State,
    bits_read,
    decode_bits,
    decode_count,
    encode,
    encode_bits,
    encode_count,
    ended,
    exhausted,
    finish,
    grant,
    new_decoder,
    new_encoder,
    overdrawn,
    peek,
    take,
    written,
)  # fmt: skip
from surp_fl.coding.shared import Shared, rooms_of
from surp_fl.context import Context, Reference
from surp_fl.device import on_host
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.message import HEADER_BYTES
from surp_fl.select import Stretch, lighter, stretches
from surp_fl.surp import MAX_CODE, code_of, magnitude_of

if TYPE_CHECKING:
    import torch

Spent = NDArray[np.float64]

_NO_CONTEXT, _MODEL, _HISTORY = 0, 1, 2
_NEEDS = {
    _MODEL: "the model that the client was sent",
    _HISTORY: "the model that the client was sent and the one that it was sent before",
}
_CODE_BITS = 13
_DROPPED = 16 - _CODE_BITS  # of the 16-bit code's mantissa
_HEAD_BITS = 26  # context, count and magnitude of the first stretch
_MOST_PASSES, _LEAST_PASS, _LEAST_PART = 24, 16, 0.003  # bits; of the budget
_MOST_PICKS = (1 << 17) - 1  # in a stretch
_LEAST_PICKS = 256  # below which a stretch is not divided, for the work that it asks of a decoder
_MOST_STRETCHES = 4096  # in a message
_GATHERED, _SHARE_GATHERED = 4096, 8  # picks, and coordinates a pick, that a decoder gathers before it has a vector
_FRESH = 15  # in 16
_FAULTY, _COSTLY = 1, 2
_MOST = magnitude_of(MAX_CODE)
_MOST_TRIALS, _SPARE = 8, 8  # bits
_LEAST_ROOM, _ROOM = 1024, 80  # bytes, and bytes a coordinate: more than there is to say
SMALLEST_BUDGET = 16


@dataclass(frozen=True)
class SuRP:
    """Successive Refinement for Pruning, fitted to real updates: the least error for a number of bytes.

    Against a model that both ends hold, indices cost less where the model's rows and columns are large. A message may
    be cut anywhere (`surp_fl.truncate`); what is left is a message, with the error that its length can have.

    Attributes:
        budget: bytes, whole message; more bytes, less error.
        progressive: put what is worth most first, so that a cut message is about as good as one made for its length.
            Costs about a twentieth of the bytes; without it a cut may lose up to a third of what it leaves.
        memory: what the client carries between rounds.
    """

    budget: int
    progressive: bool = False
    memory: Memory = field(default_factory=ErrorFeedback)

    def __post_init__(self) -> None:
        if self.budget < SMALLEST_BUDGET:
            raise ValueError(f"budget = {self.budget} bytes; the smallest message of use has {SMALLEST_BUDGET}")

    @property
    def codec(self) -> Codec:
        """The two ends of this scheme."""
        return Codec(READER, self._write)

    def _write(
        self, vector: Vector | torch.Tensor, layout: Layout, rng: np.random.Generator, reference: Reference
    ) -> bytes:
        shared = Context.of(layout, reference).shared
        context = _NO_CONTEXT if reference is None else _HISTORY if isinstance(reference, tuple) else _MODEL
        message = _Message(context, shared, min(self.budget - HEADER_BYTES, _LEAST_ROOM + _ROOM * layout.size))
        left = vector
        for number in range(_MOST_PASSES):  # one, unless there is room for what the magnitudes of a pass left open
            bits = message.bits_left
            chosen = stretches(left, shared, bits, self.progressive)
            trial = message.with_more(chosen, fresh=number == 0)
            for _ in range(_MOST_TRIALS):  # one, as a rule
                if trial.bits_over <= 0 or not chosen:
                    break
                chosen = lighter(chosen, (trial.bits_over + _SPARE) / (bits + trial.bits_over))
                trial = message.with_more(chosen, fresh=number == 0)
            message = trial
            if message.full or not chosen or message.bits_left < max(_LEAST_PASS, _LEAST_PART * 8 * self.budget):
                break
            left = _less(left, chosen)
        return message.finished()


def _less(vector: Vector | torch.Tensor, chosen: list[Stretch]) -> Vector:
    """What a vector still has to say after these stretches."""
    left = on_host(vector).copy()
    for stretch in chosen:
        said = np.float32(magnitude_of(_code_of(stretch.magnitude) << _DROPPED))
        left[stretch.coordinates] -= np.where(stretch.negative, -said, said)
    return left


class _Message:
    """A message in the making: what does not fit into its room is counted, and cut off in the end."""

    def __init__(self, context: int, shared: Shared, room: int) -> None:
        self._shared = shared
        self._out = np.zeros(room, np.uint8)
        self._state = new_encoder()
        self._told = nothing_told(shared)
        self._code = self._stretches = 0
        self.full = False  # whether a decoder would not follow any further
        grant(self._state, int(rooms_of(shared)[0]) - shared.hot.size)
        encode_bits(self._state, self._out, context, 2)

    @property
    def bits_left(self) -> float:
        """Bits for indices and signs; the next stretch's count and magnitude taken off."""
        return 8.0 * (self._out.size - int(written(self._state))) - _HEAD_BITS

    @property
    def bits_over(self) -> float:
        """Bits beyond the room, until the last symbol is certain; in whole bytes."""
        return 8.0 * (int(finish(self._state.copy(), self._out[:0])) - self._out.size)

    def with_more(self, chosen: list[Stretch], fresh: bool) -> _Message:
        """The message with these stretches behind it, fresh if they name nothing again; this one stays as it is."""
        longer = copy(self)
        longer._out, longer._state, longer._told = self._out.copy(), self._state.copy(), _copied(self._told)
        for stretch in chosen:
            longer._append(stretch, fresh)
        return longer

    def _append(self, stretch: Stretch, fresh: bool) -> None:
        """Write a stretch, in parts where it is long or a decoder would not follow it as a whole."""
        code = _code_of(stretch.magnitude)
        first, size = 0, _MOST_PICKS
        while first < stretch.coordinates.size and not self.full:
            part = slice(first, first + size)
            state, told = self._state.copy(), _copied(self._told)
            told = _append(
                state, self._out, self._code, code, stretch.coordinates[part], stretch.negative[part],
                self._shared, told, fresh,
            )  # fmt: skip
            if overdrawn(state) or self._stretches == _MOST_STRETCHES:
                size = min(size, stretch.coordinates.size - first) // 2
                self.full = size < _LEAST_PICKS or self._stretches == _MOST_STRETCHES
                continue
            self._state, self._told, self._code = state, told, code
            self._stretches += 1
            first += size

    def finished(self) -> bytes:
        encode_count(self._state, self._out, 0)
        length = finish(self._state, self._out)
        return self._out[: min(length, self._out.size)].tobytes()


def _copied(told: Told) -> Told:
    """What was told so far, with what the next stretch changes in place."""
    return told._replace(
        seen=told.seen.copy(), powers=told.powers.copy(), gone=told.gone.copy(),
        bits=told.bits.copy(), counts=told.counts.copy(),
    )  # fmt: skip


def _code_of(magnitude: float) -> int:
    """The nearest 13-bit code, never 0."""
    nearest = (code_of(magnitude) + (1 << _DROPPED - 1)) >> _DROPPED
    return min(max(nearest, 1), (1 << _CODE_BITS) - 1)


@njit(cache=True)
def _append(
    state: State, out: Bytes, before: int, code: int, coordinates: NDArray[np.int64], negative: NDArray[np.bool_],
    shared: Shared, told: Told, fresh: bool,
) -> Told:  # fmt: skip
    """Write one stretch; `before` is the code of the one before it, 0 for none."""
    encode_count(state, out, coordinates.size)
    if before == 0:
        encode_bits(state, out, code, _CODE_BITS)
    else:
        encode_count(state, out, 2 * (code - before) if code >= before else 2 * (before - code) - 1)
    if before > 0:
        encode(state, out, 0 if fresh else _FRESH, _FRESH if fresh else 1, _FRESH + 1)
    return encode_set(state, out, coordinates, negative, shared, told, fresh)


@njit(cache=True)
def _values(codes: NDArray[np.int16]) -> Spent:
    """What codes stand for, negative ones where they fall."""
    values = np.empty(codes.size)
    for i in range(codes.size):
        value = min(value_of(abs(int(codes[i])) << _DROPPED), _MOST)
        values[i] = value if codes[i] > 0 else -value
    return values


@njit(cache=True)
def _add(sums: Spent, coordinates: NDArray[np.int64], codes: NDArray[np.int16]) -> None:
    """Add what codes stand for at coordinates of which some come again."""
    values = _values(codes)
    for i in range(coordinates.size):
        sums[coordinates[i]] += values[i]


@njit(cache=True)
def _decode(
    data: Bytes, n: int, shared: Shared, spent: Spent
) -> tuple[NDArray[np.int64], NDArray[np.int16], Spent, int]:
    """Coordinates and their codes, negative where they fall; or, where they are many, the sum at each coordinate.

    Last comes what is wrong with it: nothing (0), what no encoder writes (1), too much work (2). Bits of indices, signs
    and magnitudes are added to `spent`, which starts as three zeros.
    """
    state = new_decoder(data)
    grant(state, n)
    told = nothing_told(shared)
    coordinates, codes, sums = np.empty(256, np.int64), np.empty(256, np.int16), np.empty(0)
    size = stretches_read = code = fault = 0
    decode_bits(state, data, 2)
    while not ended(state):
        k = decode_count(state, data)
        if ended(state):
            break
        if k == 0:
            fault = 0 if exhausted(state, data) else _FAULTY
            break
        stretches_read += 1
        if k < 0 or k > _MOST_PICKS or k > n or stretches_read > _MOST_STRETCHES:
            fault = _FAULTY
            break
        before = bits_read(state)
        if code == 0:
            code = decode_bits(state, data, _CODE_BITS)
        else:
            change = decode_count(state, data)
            if change < 0 and not ended(state):
                fault = _FAULTY
                break
            code += change // 2 if change % 2 == 0 else -(change + 1) // 2
        if ended(state):
            break
        spent[2] += bits_read(state) - before
        if code <= 0 or code >> _CODE_BITS > 0:
            fault = _FAULTY
            break
        fresh = stretches_read == 1
        if not fresh:
            fresh = peek(state, _FRESH + 1) < _FRESH
            take(state, data, 0 if fresh else _FRESH, _FRESH if fresh else 1, _FRESH + 1)
            if ended(state):
                break
        if k > room(told, fresh):
            fault = _FAULTY
            break
        before = bits_read(state)
        read, negative, told, of_signs = decode_set(state, data, k, shared, told, fresh)
        spent[0] += bits_read(state) - before - of_signs
        spent[1] += of_signs
        if sums.size == 0 and size + read.size > _GATHERED + n // _SHARE_GATHERED:
            sums = np.zeros(n)
            _add(sums, coordinates[:size], codes[:size])
        if sums.size > 0:
            size = 0
        if size + read.size > coordinates.size:
            longer = 2 * (size + read.size)
            coordinates = np.concatenate((coordinates[:size], np.empty(longer - size, np.int64)))
            codes = np.concatenate((codes[:size], np.empty(longer - size, np.int16)))
        coordinates[size : size + read.size] = read
        for i in range(read.size):
            codes[size + i] = -code if negative[i] else code
        size += read.size
        if sums.size > 0:
            _add(sums, coordinates[:size], codes[:size])
        if read.size < k:
            break
    return coordinates[:size], codes[:size], sums, _COSTLY if overdrawn(state) else fault


def context_of(body: bytes) -> int:
    """What a body was coded against."""
    data = np.frombuffer(body, np.uint8)
    return int(decode_bits(new_decoder(data), data, 2))


def read(body: bytes, layout: Layout, reference: Reference) -> Sparse | Vector:
    """Turn a body into indices and values, or into the vector where many are named."""
    return _read(body, layout, reference)[0]


def parts(body: bytes, layout: Layout, reference: Reference) -> Parts:
    """What a body's bits say."""
    return _read(body, layout, reference)[1]


def _read(body: bytes, layout: Layout, reference: Reference) -> tuple[Sparse | Vector, Parts]:
    shared = _context(body, layout, reference).shared
    spent = np.zeros(3)
    coordinates, codes, sums, fault = _decode(np.frombuffer(body, np.uint8), layout.size, shared, spent)
    if fault == _COSTLY:
        raise MalformedBits("it asks for more work than its bytes are worth")
    if fault == _FAULTY:
        raise MalformedBits("a stretch of no possible size or magnitude, or something after the end")
    told = Parts(*map(float, spent))
    with np.errstate(over="ignore"):
        if sums.size > 0:
            return sums.astype(np.float32), told
        values = _values(codes)
        indices, order = np.unique(coordinates, return_inverse=True)
        return (indices, np.bincount(order, values, minlength=indices.size).astype(np.float32)), told


def shared_by_both(body: bytes, layout: Layout, reference: Reference) -> int:
    """32 bits of what both ends must hold to read this body.

    Raises:
        MalformedBits: it needs a context that this end does not have.
    """
    digest = _context(body, layout, reference).digest
    return zlib.crc32(digest.to_bytes(4, "little"), layout.fingerprint) if digest else layout.fingerprint


def _context(body: bytes, layout: Layout, reference: Reference) -> Context:
    context = context_of(body)
    if context == _NO_CONTEXT:
        return Context.of(layout, None)
    if context not in _NEEDS:
        raise MalformedBits(f"context {context}; this version knows 0 (none), 1 (the model) and 2 (and the one before)")
    if reference is None or (context == _HISTORY and not isinstance(reference, tuple)):
        raise MalformedBits(f"it was coded against {_NEEDS[context]}, which this decoder was not given as `reference`")
    model = reference[0] if isinstance(reference, tuple) else reference
    return Context.of(layout, reference if context == _HISTORY else model)


READER = Reader(3, read, parts, shared_by_both, contextual=True, progressive=True, takes_tensors=True)
