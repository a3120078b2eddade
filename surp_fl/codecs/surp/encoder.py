"""The writing end of SuRP: groups from rate–distortion selection → the bytes of a body, within a budget.

The format is described in `decoder.py`, which mirrors this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from surp_fl.codecs.surp.coded_state import CodedState
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.decoder import HISTORY, MODEL, NO_CONTEXT, WITH_TERMS
from surp_fl.codecs.surp.groups import MAX_GROUPS, MAX_INDICES, magnitude_of, nearest_code, write_group
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.rank_one_search import Term
from surp_fl.codecs.surp.rank_one_selection import shortened, terms_within, without, write_terms
from surp_fl.codecs.surp.rate_distortion import Group, drop_lowest_gain, select_groups
from surp_fl.entropy.integers import encode_bits, encode_uint
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.topk import on_host
from surp_fl.types import Reference, Vector

if TYPE_CHECKING:
    import torch

# Tuned constants of the encoder, not of the format; set by hand: the history names no experiment that chose them.
# simulations.experiments.messages measures what a change does, on recorded updates.
_HEAD_BITS = 26  # about the context, the count and the magnitude of the first group
_MAX_PASSES, _MIN_PASS_BITS, _MIN_PASS_SHARE = 24, 16, 0.003  # no pass for fewer bits, or a smaller share of the budget
_MAX_TRIALS, _SPARE_BITS = 8, 8  # attempts to drop to the budget, each with 8 bits to spare
_MIN_PART = 256  # coordinates, below which a group that exceeds a decoder's credit is not halved further
_MIN_CAPACITY, _CAPACITY_PER_COORDINATE = 1024, 80  # bytes, and bytes a coordinate: more than any vector needs


def write_body(
    vector: Vector | torch.Tensor,
    layout: Layout,
    reference: Reference,
    budget: int,
    progressive: bool,
    rank_one: float = 0.0,
    delta: Vector | None = None,
) -> bytes:
    """Write the body with the least squared error within a budget.

    Args:
        vector: float32, shape (n,); an array, or a tensor on any device.
        layout: of the model, n coordinates.
        reference: what the decoder holds: the client's last model, or a pair of it and the model before, or nothing.
        budget: bytes, whole message.
        progressive: select so that truncated messages are near-optimal for their length.
        rank_one: largest share of the bits for rank-one terms, 0 to 1.
        delta: the round's own part of the vector, float32, shape (n,), which tells whether terms pay; None for all
            of the vector.

    Returns:
        At most budget − HEADER_BYTES bytes.

    Raises:
        ValueError: the vector holds NaN or infinity.
    """
    side = Context.of(layout, reference).side
    context = NO_CONTEXT if reference is None else HISTORY if isinstance(reference, tuple) else MODEL
    capacity = capacity_within(budget, layout.size)
    terms = terms_within(8.0 * capacity, rank_one, vector, delta, side) if rank_one else []
    message = begun(context, side, capacity, terms)
    while terms and (message.overdrawn or message.excess_bits > 0):  # their bits are an estimate
        terms = terms[:-1] if message.overdrawn else shortened(terms, message.excess_bits, vector, side)
        message = begun(context, side, capacity, terms)
    if terms and message.bits_left < _MIN_PASS_BITS:
        return message.to_bytes()
    return message.filled(without(vector, terms, side) if terms else vector, progressive).to_bytes()


def capacity_within(budget: int, n: int) -> int:
    """Bytes of a body of n coordinates, given those of the whole message: more than any vector needs, at most."""
    return min(budget - HEADER_BYTES, _MIN_CAPACITY + _CAPACITY_PER_COORDINATE * n)


def begun(context: int, side: SideInformation, capacity: int, terms: Sequence[Term] = ()) -> Message:
    """A message that holds the context and terms.

    Args:
        context: what the decoder holds: NO_CONTEXT, MODEL or HISTORY.
        side: the same, in full.
        capacity: bytes of the body.
        terms: rank-one terms of layers.
    """
    encoder = RangeEncoder(capacity)
    encoder.grant(int(side.cells_from_each_layer()[0]) - len(side.recent))
    if terms:
        encode_bits(encoder, WITH_TERMS, 2)
    encode_bits(encoder, context, 2)
    if terms:
        write_terms(encoder, side, terms)
    return Message(encoder, side, len(terms))


def residual_of(vector: Vector | torch.Tensor, chosen: Sequence[Group]) -> Vector:
    """The vector minus what a decoder adds for these groups."""
    residual = on_host(vector).copy()
    for group in chosen:
        decoded = np.float32(magnitude_of(nearest_code(group.magnitude)))
        residual[group.coordinates] -= np.where(group.negative, -decoded, decoded)
    return residual


class Message:
    """A body that grows group by group; what exceeds its capacity is counted, and truncated at the end.

    Args:
        encoder: of the body, which may hold something already; with its credit.
        side: what the decoder holds.
        terms: how many rank-one terms it holds.
    """

    def __init__(self, encoder: RangeEncoder, side: SideInformation, terms: int = 0) -> None:
        self._side = side
        self._capacity = encoder.capacity()
        self._encoder = encoder
        self._state = CodedState(side)
        self._code = self._groups = 0
        self._terms = terms
        self.full = False  # whether more groups would exceed a decoder's credit or the limit of groups

    @property
    def overdrawn(self) -> bool:
        """Whether a decoder would refuse the terms, for the work that they ask for."""
        return self._encoder.overdrawn

    @property
    def bits_left(self) -> float:
        """Bits left, minus an estimate for the next group's count and magnitude."""
        return 8.0 * (self._capacity - self._encoder.bytes_written()) - _HEAD_BITS

    @property
    def length(self) -> int:
        """Bytes of the body if it ended here, with the last symbol made certain; also beyond the capacity."""
        return int(self._encoder.length())

    @property
    def excess_bits(self) -> float:
        """Bits beyond the capacity, with the last symbol made certain; a multiple of 8."""
        return 8.0 * (self.length - self._capacity)

    def filled(self, vector: Vector | torch.Tensor, progressive: bool = False) -> Message:
        """A copy with the groups of least squared error that its capacity holds; arguments as of `write_body`."""
        message, residual = self, vector
        for number in range(_MAX_PASSES):  # one, unless the budget also holds corrections of the coded magnitudes
            bits = message.bits_left
            chosen = select_groups(residual, self._side, bits, progressive)
            trial = message.with_groups(chosen, disjoint=number == 0)
            for _ in range(_MAX_TRIALS):  # one, as a rule
                if trial.excess_bits <= 0 or not chosen:
                    break
                chosen = drop_lowest_gain(chosen, (trial.excess_bits + _SPARE_BITS) / (bits + trial.excess_bits))
                trial = message.with_groups(chosen, disjoint=number == 0)
            message = trial
            if (
                message.full
                or not chosen
                or message.bits_left < max(_MIN_PASS_BITS, _MIN_PASS_SHARE * 8 * self._capacity)
            ):
                break
            residual = residual_of(residual, chosen)
        return message

    def with_groups(self, chosen: Sequence[Group], disjoint: bool) -> Message:
        """A copy with more groups at its end; `disjoint` if no coordinate of theirs is coded yet."""
        longer = copy(self)
        for group in chosen:
            longer._append_group(group, disjoint)
        return longer

    def _append_group(self, group: Group, disjoint: bool) -> None:
        """Write a group, in parts if it is too long or would exceed a decoder's credit."""
        code = nearest_code(group.magnitude)
        negative = group.negative.view(np.uint8)
        first, size = 0, MAX_INDICES
        while first < group.coordinates.size and not self.full:
            part = slice(first, first + size)
            encoder, state = self._encoder.copy(), self._state.copy()
            write_group(encoder, self._code, code, group.coordinates[part], negative[part], self._side, state, disjoint)
            if encoder.overdrawn or self._groups == MAX_GROUPS:
                size = min(size, group.coordinates.size - first) // 2
                self.full = size < _MIN_PART or self._groups == MAX_GROUPS
                continue
            self._encoder, self._state, self._code = encoder, state, code
            self._groups += 1
            first += size

    def to_bytes(self) -> bytes:
        """The body, with a count of zero at its end if that fits; cut, it could lose a sign, and so a whole term."""
        ended = self._encoder.copy()
        encode_uint(ended, 0)
        ends_with_a_term = self._terms > 0 and self._groups == 0
        fits = not ends_with_a_term or ended.length() <= self._capacity
        return (ended if fits else self._encoder).finish()
