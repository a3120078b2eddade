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

import math
import zlib
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surp_fl._compile import njit
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
    finish,
    new_decoder,
    new_encoder,
    peek,
    take,
    written,
)  # fmt: skip
from surp_fl.coding.shared import Shared
from surp_fl.context import Context, Reference
from surp_fl.device import on_host
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, Memory
from surp_fl.message import HEADER_BYTES
from surp_fl.select import Stretch, lighter, stretches
from surp_fl.surp import code_of, magnitude_of

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
_MOST_STRETCHES = 4096  # in a message; with `most_picks`, what bounds a decoder's time
_FRESH = 15  # in 16
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
            if number > 0 and not message.may_have(chosen, layout.size):
                break
            trial = message.with_more(chosen, fresh=number == 0)
            for _ in range(_MOST_TRIALS):  # one, as a rule
                if trial.bits_over <= 0 or not chosen:
                    break
                chosen = lighter(chosen, (trial.bits_over + _SPARE) / (bits + trial.bits_over))
                trial = message.with_more(chosen, fresh=number == 0)
            message = trial
            if not chosen or message.bits_left < max(_LEAST_PASS, _LEAST_PART * 8 * self.budget):
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
        self._code = 0
        self._stretches = self._picks = 0
        encode_bits(self._state, self._out, context, 2)

    @property
    def bits_left(self) -> float:
        """Bits for indices and signs; the next stretch's count and magnitude taken off."""
        return 8.0 * (self._out.size - int(written(self._state))) - _HEAD_BITS

    @property
    def bits_over(self) -> float:
        """Bits beyond the room, until the last symbol is certain; in whole bytes."""
        return 8.0 * (int(finish(self._state.copy(), self._out[:0])) - self._out.size)

    def may_have(self, chosen: list[Stretch], n: int) -> bool:
        """Whether a decoder takes these stretches too, all of which may come again."""
        picks = self._picks + sum(stretch.coordinates.size for stretch in chosen)
        stretches = self._stretches + sum(1 + stretch.coordinates.size // _MOST_PICKS for stretch in chosen)
        return picks <= most_picks(n, max(0, 8 * int(written(self._state)) - 64)) and stretches <= _MOST_STRETCHES

    def with_more(self, chosen: list[Stretch], fresh: bool) -> _Message:
        """The message with these stretches behind it, fresh if they name nothing again; this one stays as it is."""
        longer = copy(self)
        longer._out, longer._state = self._out.copy(), self._state.copy()
        longer._told = Told(*(part.copy() for part in self._told))
        longer._append(chosen, fresh)
        return longer

    def _append(self, chosen: list[Stretch], fresh: bool) -> None:
        for stretch in chosen:
            code = _code_of(stretch.magnitude)
            for first in range(0, stretch.coordinates.size, _MOST_PICKS):
                part = slice(first, first + _MOST_PICKS)
                self._told = _append(
                    self._state, self._out, self._code, code, stretch.coordinates[part], stretch.negative[part],
                    self._shared, self._told, fresh,
                )  # fmt: skip
                self._code = code
                self._stretches += 1
            self._picks += stretch.coordinates.size

    def finished(self) -> bytes:
        encode_count(self._state, self._out, 0)
        length = finish(self._state, self._out)
        return self._out[: min(length, self._out.size)].tobytes()


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
    if told.named.size > 0:
        encode(state, out, 0 if fresh else _FRESH, _FRESH if fresh else 1, _FRESH + 1)
    return encode_set(state, out, coordinates, negative, shared, told, fresh)


@njit(cache=True)
def most_picks(n: int, bits: int) -> int:
    """How many picks a message may have, of coordinates that come again too: it bounds a decoder's time and memory."""
    return 2 * n + 16 * bits


@njit(cache=True)
def _decode(data: Bytes, n: int, shared: Shared, spent: Spent) -> tuple[NDArray[np.int64], NDArray[np.int16], bool]:
    """Coordinates and their codes, negative where they fall; and whether all of it is what an encoder writes.

    Bits of indices, signs and magnitudes are added to `spent`, which starts as three zeros.
    """
    state = new_decoder(data)
    told = nothing_told(shared)
    coordinates, codes = np.empty(256, np.int64), np.empty(256, np.int16)
    size = stretches_read = code = 0
    decode_bits(state, data, 2)
    while not ended(state):
        k = decode_count(state, data)
        if ended(state) or k == 0:
            break
        stretches_read += 1
        if k < 0 or k > _MOST_PICKS or k > n or stretches_read > _MOST_STRETCHES:
            return coordinates[:0], codes[:0], False
        before = bits_read(state)
        if code == 0:
            code = decode_bits(state, data, _CODE_BITS)
        else:
            change = decode_count(state, data)
            if change < 0 and not ended(state):
                return coordinates[:0], codes[:0], False
            code += change // 2 if change % 2 == 0 else -(change + 1) // 2
        if ended(state):
            break
        spent[2] += bits_read(state) - before
        if code <= 0 or code >> _CODE_BITS > 0:
            return coordinates[:0], codes[:0], False
        fresh = told.named.size == 0
        if not fresh:
            fresh = peek(state, _FRESH + 1) < _FRESH
            take(state, data, 0 if fresh else _FRESH, _FRESH if fresh else 1, _FRESH + 1)
            if ended(state):
                break
        if k > room(shared, told, fresh) or size + k > most_picks(n, 8 * data.size):
            return coordinates[:0], codes[:0], False
        before = bits_read(state)
        read, negative, told, of_signs = decode_set(state, data, k, shared, told, fresh)
        spent[0] += bits_read(state) - before - of_signs
        spent[1] += of_signs
        if size + read.size > coordinates.size:
            longer = 2 * (size + read.size)
            coordinates = np.concatenate((coordinates[:size], np.empty(longer - size, np.int64)))
            codes = np.concatenate((codes[:size], np.empty(longer - size, np.int16)))
        coordinates[size : size + read.size] = read
        for i in range(read.size):
            codes[size + i] = -code if negative[i] else code
        size += read.size
        if read.size < k:
            break
    return coordinates[:size], codes[:size], True


def context_of(body: bytes) -> int:
    """What a body was coded against."""
    data = np.frombuffer(body, np.uint8)
    return int(decode_bits(new_decoder(data), data, 2))


def read(body: bytes, layout: Layout, reference: Reference) -> Sparse:
    """Turn a body into indices and values."""
    return _read(body, layout, reference)[0]


def parts(body: bytes, layout: Layout, reference: Reference) -> Parts:
    """What a body's bits say."""
    return _read(body, layout, reference)[1]


def _read(body: bytes, layout: Layout, reference: Reference) -> tuple[Sparse, Parts]:
    shared = _context(body, layout, reference).shared
    spent = np.zeros(3)
    coordinates, codes, valid = _decode(np.frombuffer(body, np.uint8), layout.size, shared, spent)
    if not valid:
        raise MalformedBits("a stretch of no possible size or magnitude")
    levels, place = np.unique(codes, return_inverse=True)
    signed = np.array([math.copysign(magnitude_of(abs(int(code)) << _DROPPED), code) for code in levels])
    values = signed[place] if levels.size else np.empty(0)
    indices, order = np.unique(coordinates, return_inverse=True)
    with np.errstate(over="ignore"):
        sums = np.bincount(order, values, minlength=indices.size).astype(np.float32)
    return (indices, sums), Parts(*map(float, spent))


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
