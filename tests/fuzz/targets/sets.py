"""Targets: index sets, and the splits that they are made of. What they decode is encoded anew, and has to come back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs.surp.beta_binomial import BetaBinomial
from surp_fl.codecs.surp.coded_state import CodedState
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.index_set import decode_set, encode_set
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Flags, Integers
from tests.fuzz.targets.model import LAYOUT, REFERENCES
from tests.fuzz.targets.target import Fields, Target, numbers

_SIDES = [Context.of(LAYOUT, reference).side for reference in REFERENCES]
_MOST_SETS, _MOST_SPLITS = 4, 12  # for speed where the loops run as Python
_MOST_WEIGHT = 1 << 45  # of a half: beyond all that a model of 2^31 coordinates has
_MOST_PICKS, _MOST_CELLS, _MOST_CONCENTRATION = 1 << 11, 1 << 31, 402

Signed = tuple[Integers, Flags, bool]  # coordinates, signs, and whether no earlier set has one of them


def index_set(data: bytes) -> None:
    """Up to four sets of any sizes, disjoint or not, given a model, its last changes, or neither."""
    fields = Fields(data)
    side = _SIDES[fields.number(1) % len(_SIDES)]
    wanted = [(fields.number(1), bool(fields.number(1) & 1)) for _ in range(1 + fields.number(1) % _MOST_SETS)]
    message = fields.rest()
    found = _decoded(message, side, wanted)
    encoder, state = RangeEncoder(len(message) + 64), CodedState(side)
    encoder.grant(LAYOUT.size)
    for coordinates, negative, disjoint in found:
        encode_set(encoder, coordinates, negative, side, state, disjoint)
    assert not encoder.overdrawn, "the encoder's account has less credit than the decoder's"
    again = _decoded(encoder.finish(), side, [(each.size, disjoint) for each, _, disjoint in found], exactly=True)
    assert list(map(_pairs, again)) == list(map(_pairs, found)), "other sets come back"


def _decoded(
    message: bytes, side: SideInformation, wanted: list[tuple[int, bool]], exactly: bool = False
) -> list[Signed]:
    """The whole sets of a message; counts are taken modulo what a set may have, unless they are exact."""
    decoder, state, seen, found = RangeDecoder(message), CodedState(side), set[int](), list[Signed]()
    decoder.grant(LAYOUT.size)
    for count, disjoint in wanted:
        capacity = state.capacity(disjoint)
        k = count if exactly else count % (capacity + 1)
        coordinates, negative = np.empty(k, np.int64), np.empty(k, np.uint8)
        read, bits = decode_set(decoder, coordinates, negative, side, state, disjoint)
        assert 0 <= read <= k, "more picks than the set has"
        assert bits >= 0, "signs of fewer than no bits"
        names = set(coordinates[:read].tolist())
        assert len(names) == read, "a coordinate twice"
        assert all(0 <= each < LAYOUT.size for each in names), "no coordinates of the model"
        assert not (disjoint and names & seen), "a coordinate of an earlier set"
        assert (negative[:read] <= 1).all(), "no signs"
        if read < k or decoder.exhausted():
            break
        seen |= names
        found.append((coordinates, negative, disjoint))
    return found


def _pairs(signed: Signed) -> dict[int, int]:
    return dict(zip(signed[0].tolist(), signed[1].tolist(), strict=True))


def beta_binomial(data: bytes) -> None:
    """Splits of any counts and weights, one after another."""
    fields = Fields(data)
    splits = [_split(fields) for _ in range(1 + fields.number(1) % 4)]
    message = fields.rest()
    found = _numbers_of(message, splits, _MOST_SPLITS)
    encoder, writer = RangeEncoder(len(message) + 64), BetaBinomial(_MOST_PICKS)
    for place, number in enumerate(found):
        writer.encode(encoder, number, *splits[place % len(splits)])
    assert _numbers_of(encoder.finish(), splits, len(found)) == found, "other numbers come back"


def _numbers_of(message: bytes, splits: list[tuple[int, int, int, int, int, int]], most: int) -> list[int]:
    decoder, reader, found = RangeDecoder(message), BetaBinomial(_MOST_PICKS), list[int]()
    while len(found) < most:
        split = splits[len(found) % len(splits)]
        number = reader.decode(decoder, *split)
        if decoder.exhausted():
            break
        k, left, right = split[:3]
        assert max(0, k - right) <= number <= min(k, left), f"{number} of {k} picks among {left} and {right} cells"
        found.append(number)
    return found


def _split(fields: Fields) -> tuple[int, int, int, int, int, int]:
    """Picks, free cells of both halves, their weights, and the concentration."""
    k = 1 + fields.number(2) % _MOST_PICKS
    left = fields.number(4) % _MOST_CELLS
    right = max(fields.number(4) % _MOST_CELLS, k - left)
    weights = fields.number(6) % _MOST_WEIGHT, fields.number(6) % _MOST_WEIGHT
    return k, left, right, *weights, 2 + fields.number(2) % (_MOST_CONCENTRATION - 1)


def _sets(which: int) -> bytes:
    side, rng = _SIDES[which], np.random.default_rng(0)
    encoder, state = RangeEncoder(200), CodedState(side)
    order: NDArray[np.int64] = rng.permutation(LAYOUT.size).astype(np.int64)
    sizes = (1, 9, 30)
    for part in np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1]):
        encode_set(encoder, np.sort(part), (part & 1).astype(np.uint8), side, state, True)
    return bytes([which, 2]) + b"".join(bytes([size, 1]) for size in sizes) + encoder.finish()


def _splits() -> bytes:
    split = numbers(2, 9) + numbers(4, 300, 400) + numbers(6, 1 << 40, 3 << 40) + numbers(2, 3)
    return b"\1" + split + split[::-1] + bytes(range(100, 130))


TARGETS = (
    Target(index_set, "decode_set", lambda: map(_sets, range(3)), 200),
    Target(beta_binomial, "BetaBinomial", lambda: [_splits()], 160),
)
