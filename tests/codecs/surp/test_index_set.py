"""Index sets: what goes in comes out under every context, near the ideal length of the model behind it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import Layout
from surp_fl.codecs.surp.coded_state import CodedState
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.index_set import decode_set, encode_set
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Integers, Reference, Signs

SHAPES = {"a": (4, 30), "bias": (7,), "b": (60, 40), "conv": (5, 3, 3, 3), "scalar": (), "none": (0, 4)}
LAYOUT = Layout.of({name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()})


def references() -> dict[str, Reference]:
    rng = np.random.default_rng(0)
    model = (rng.normal(size=LAYOUT.size) ** 3).astype(np.float32)
    before = model.copy()
    before[rng.choice(LAYOUT.size, 90, replace=False)] += 1
    zeros = np.zeros(LAYOUT.size, np.float32)
    return {"none": None, "model": model, "history": (model, before), "zeros": zeros, "unchanged": (model, model)}


def through_bytes(
    sets: list[tuple[Integers, Signs]], side: SideInformation, cut: int | None = None
) -> list[tuple[Integers, Signs]]:
    """What a decoder reads of sets, each coded as disjoint from the earlier ones if it is."""
    names: set[int] = set()
    disjoint = []
    for coordinates, _ in sets:
        disjoint.append(names.isdisjoint(coordinates.tolist()))
        names.update(coordinates.tolist())
    encoder, state = RangeEncoder(20_000), CodedState(side)
    for (coordinates, negative), new in zip(sets, disjoint, strict=True):
        encode_set(encoder, coordinates, negative.view(np.uint8), side, state, new)
    decoder, state, read = RangeDecoder(encoder.finish()[:cut]), CodedState(side), []
    for (coordinates, _), new in zip(sets, disjoint, strict=True):
        found, signs = np.empty(len(coordinates), np.int64), np.empty(len(coordinates), np.uint8)
        size, _ = decode_set(decoder, found, signs, side, state, new)
        read.append((found[:size], signs[:size].view(np.bool_)))
    return read


def length_of(coordinates: Integers, negative: Signs, side: SideInformation) -> int:
    """Bytes of one set."""
    encoder = RangeEncoder(8 * len(coordinates) + 2000)
    encode_set(encoder, coordinates, negative.view(np.uint8), side, CodedState(side), True)
    return encoder.length()


@st.composite
def index_sets(draw: st.DrawFn) -> list[tuple[Integers, Signs]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.sampled_from([0, 1, 2, 9, 60, 700, LAYOUT.size - 1, LAYOUT.size]), min_size=1, max_size=3))
    chosen = [np.sort(rng.choice(LAYOUT.size, size, replace=False)).astype(np.int64) for size in sizes]
    if draw(st.booleans()):  # disjoint ones
        cuts = np.sort(rng.integers(0, LAYOUT.size + 1, len(sizes)))
        chosen = [np.sort(part) for part in np.split(rng.permutation(LAYOUT.size).astype(np.int64), cuts)]
    return [(coordinates, rng.random(len(coordinates)) < draw(st.floats(0, 1))) for coordinates in chosen]


@pytest.mark.parametrize("reference", references())
@given(index_sets())
def test_sets_come_back_with_their_signs(reference: str, sets: list[tuple[Integers, Signs]]) -> None:
    side = Context.of(LAYOUT, references()[reference]).side
    for (coordinates, negative), (read, signs) in zip(sets, through_bytes(sets, side), strict=True):
        order = np.argsort(read)
        np.testing.assert_array_equal(read[order], coordinates)
        np.testing.assert_array_equal(signs[order], negative)


@pytest.mark.parametrize("reference", ["none", "history"])
def test_a_truncated_set_is_a_subset_of_it(reference: str) -> None:
    rng = np.random.default_rng(0)
    coordinates = np.sort(rng.choice(LAYOUT.size, 120, replace=False)).astype(np.int64)
    negative = rng.random(120) < 0.5
    side = Context.of(LAYOUT, references()[reference]).side
    sizes = []
    for cut in range(0, 140, 3):
        ((read, signs),) = through_bytes([(coordinates, negative)], side, cut)
        assert set(read.tolist()) <= set(coordinates.tolist())
        np.testing.assert_array_equal(signs, negative[np.searchsorted(coordinates, read)])
        sizes.append(len(read))
    assert sizes == sorted(sizes)
    assert sizes[-1] == 120


@pytest.mark.compiled
@pytest.mark.parametrize(("n", "k"), [(400_000, 20), (400_000, 130), (400_000, 25_000)])
def test_a_set_without_context_costs_what_it_must(n: int, k: int) -> None:
    """log2 C(n, k) bits and a bit a sign, k not counted; the trees pay half a percent for allowing uneven halves."""
    layout = Layout.of({"one": np.zeros((1, n), np.float32)})
    side = Context.of(layout, None).side
    rng = np.random.default_rng(0)
    lengths = []
    for _ in range(10):
        coordinates = np.sort(rng.choice(n, k, replace=False)).astype(np.int64)
        lengths.append(length_of(coordinates, rng.random(k) < 0.5, side))
    ideal = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2) / 8 + k / 8
    assert np.mean(lengths) <= ideal * (1.01 if k < 1000 else 1.005) + 1


def test_picks_where_the_model_is_large_cost_less() -> None:
    rng = np.random.default_rng(0)
    model = np.full((300, 200), 0.01, np.float32)
    rows, columns = rng.choice(300, 12, replace=False), rng.choice(200, 12, replace=False)
    model[np.ix_(rows, columns)] = 0.1
    layout = Layout.of({"w": model})
    coordinates = np.sort((rows[:, None] * 200 + columns)[rng.random((12, 12)) < 0.6]).astype(np.int64)
    lengths = {}
    for name, reference in (("none", None), ("model", model.reshape(-1))):
        side = Context.of(layout, reference).side
        lengths[name] = length_of(coordinates, np.zeros(len(coordinates), np.bool_), side)
    assert lengths["model"] < 0.6 * lengths["none"]
