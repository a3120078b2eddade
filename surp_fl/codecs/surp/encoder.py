"""The writing end of SuRP: what rate–distortion selection chose → the bytes of a body, within a budget.

The format is described in `decoder.py`, which mirrors this file.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from surp_fl._compile import njit
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import (
    CODE_BITS,
    DISJOINT_IN_16,
    DROPPED_BITS,
    HISTORY,
    MODEL,
    MOST_GROUPS,
    MOST_INDICES,
    NO_CONTEXT,
)
from surp_fl.codecs.surp.index_set import Told, encode_set, nothing_told
from surp_fl.codecs.surp.layers import Shared, rooms_of
from surp_fl.codecs.surp.rate_distortion import Stretch, lighter, stretches
from surp_fl.entropy.minifloat import decode_finite, encode_minifloat
from surp_fl.entropy.range_coder import (
    Bytes,
    State,
    encode,
    encode_bits,
    encode_count,
    finish,
    grant,
    new_encoder,
    overdrawn,
    written,
)
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.topk import on_host
from surp_fl.types import Integers, Reference, Signs, Vector

if TYPE_CHECKING:
    import torch

_HEAD_BITS = 26  # context, count and magnitude of the first group
_MOST_PASSES, _LEAST_PASS, _LEAST_PART = 24, 16, 0.003  # bits; of the budget
_LEAST_INDICES = 256  # below which a group is not divided, for the work that it asks of a decoder
_MOST_TRIALS, _SPARE = 8, 8  # bits
_LEAST_CAPACITY, _CAPACITY = 1024, 80  # bytes, and bytes a coordinate: more than there is to say


def write_body(
    vector: Vector | torch.Tensor, layout: Layout, reference: Reference, budget: int, progressive: bool
) -> bytes:
    """Write the body that takes the most error away within a budget.

    Args:
        vector: float32, shape (n,); an array, or a tensor on any device.
        layout: of the model.
        reference: what the decoder holds as well.
        budget: bytes, whole message.
        progressive: whether what is worth most comes first.
    """
    shared = Context.of(layout, reference).shared
    context = NO_CONTEXT if reference is None else HISTORY if isinstance(reference, tuple) else MODEL
    message = _Message(context, shared, min(budget - HEADER_BYTES, _LEAST_CAPACITY + _CAPACITY * layout.size))
    left = vector
    for number in range(_MOST_PASSES):  # one, unless there is room for what the magnitudes of a pass left open
        bits = message.bits_left
        chosen = stretches(left, shared, bits, progressive)
        trial = message.with_more(chosen, fresh=number == 0)
        for _ in range(_MOST_TRIALS):  # one, as a rule
            if trial.bits_over <= 0 or not chosen:
                break
            chosen = lighter(chosen, (trial.bits_over + _SPARE) / (bits + trial.bits_over))
            trial = message.with_more(chosen, fresh=number == 0)
        message = trial
        if message.full or not chosen or message.bits_left < max(_LEAST_PASS, _LEAST_PART * 8 * budget):
            break
        left = _less(left, chosen)
    return message.finished()


def _less(vector: Vector | torch.Tensor, chosen: list[Stretch]) -> Vector:
    """What a vector still has to say after these stretches."""
    left = on_host(vector).copy()
    for stretch in chosen:
        said = np.float32(decode_finite(_code_of(stretch.magnitude) << DROPPED_BITS))
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
        first, size = 0, MOST_INDICES
        while first < stretch.coordinates.size and not self.full:
            part = slice(first, first + size)
            state, told = self._state.copy(), _copied(self._told)
            told = _append(
                state, self._out, self._code, code, stretch.coordinates[part], stretch.negative[part],
                self._shared, told, fresh,
            )  # fmt: skip
            if overdrawn(state) or self._stretches == MOST_GROUPS:
                size = min(size, stretch.coordinates.size - first) // 2
                self.full = size < _LEAST_INDICES or self._stretches == MOST_GROUPS
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
    nearest = (encode_minifloat(magnitude) + (1 << DROPPED_BITS - 1)) >> DROPPED_BITS
    return min(max(nearest, 1), (1 << CODE_BITS) - 1)


@njit(cache=True)
def _append(
    state: State, out: Bytes, before: int, code: int, coordinates: Integers, negative: Signs,
    shared: Shared, told: Told, fresh: bool,
) -> Told:  # fmt: skip
    """Write one stretch; `before` is the code of the one before it, 0 for none."""
    encode_count(state, out, coordinates.size)
    if before == 0:
        encode_bits(state, out, code, CODE_BITS)
    else:
        encode_count(state, out, 2 * (code - before) if code >= before else 2 * (before - code) - 1)
    if before > 0:
        encode(state, out, 0 if fresh else DISJOINT_IN_16, DISJOINT_IN_16 if fresh else 1, DISJOINT_IN_16 + 1)
    return encode_set(state, out, coordinates, negative, shared, told, fresh)
