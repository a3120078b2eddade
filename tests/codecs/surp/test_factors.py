"""Low-rank factors beside levels: what they save, what is read of them, and that a reader refuses what none writes."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import Layout, SuRP
from surp_fl.codecs.surp import modes
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.trellis.body import Quantised, begun_with
from surp_fl.codecs.surp.trellis.factor_levels import EXACT_SIDE, Components, components_of, told
from surp_fl.codecs.surp.trellis.factors import Shape, layers_with_factors, most_components, write_shapes
from surp_fl.codecs.surp.trellis.level_fit import LevelFit
from surp_fl.codecs.surp.trellis.level_reader import Layer
from surp_fl.codecs.surp.trellis.low_rank import LowRankSearch
from surp_fl.codecs.surp.trellis.reader import MODE_WITH_FACTORS, TRELLIS, read_trellis
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import encode_bits
from surp_fl.entropy.range_coder import RangeEncoder
from surp_fl.types import Vector
from surp_fl.updates import as_vector
from tests.format_walk.body import Setting, read_body

RNG = np.random.default_rng(0)


def update_of_rank(rank: int, noise: float, shape: tuple[int, int] = (120, 160)) -> tuple[Layout, Vector]:
    """A layer of outer products, each of half the norm of the one before, with noise; and a bias."""
    rng = np.random.default_rng(rank)
    layer = rng.normal(size=shape) * noise
    for each in range(rank):
        layer += np.outer(rng.normal(size=shape[0]), rng.normal(size=shape[1])) * 0.5**each
    arrays = {"weight": layer.astype(np.float32), "bias": rng.normal(size=shape[0]).astype(np.float32)}
    layout = Layout.of(arrays)
    return layout, layout.flatten(arrays)


def side_of(layout: Layout) -> SideInformation:
    return Context.of(layout, None).side


def message(vector: Vector, layout: Layout, budget: int, share: float = 1.0) -> bytes:
    return SuRP(budget, rank_one=share).codec.encode(vector, layout, rng=RNG)


def error(vector: Vector, layout: Layout, budget: int, share: float = 1.0) -> float:
    found = message(vector, layout, budget, share)
    assert len(found) <= budget
    return float(np.linalg.norm(vector - SuRP(budget).codec.decode(found, layout)) / np.linalg.norm(vector))


def body_with_factors(vector: Vector, layout: Layout, capacity: int) -> bytes:
    side = side_of(layout)
    factors = LowRankSearch(vector, side, 8.0 * capacity).find()
    assert factors is not None
    body = LevelFit.of(factors.subtracted_from(vector), side, capacity, factors).body().content
    assert body is not None
    return body


@pytest.mark.compiled
def test_an_update_of_low_rank_is_told_by_factors_and_noise_by_levels_alone() -> None:
    layout, vector = update_of_rank(6, 0.03)
    assert error(vector, layout, 3000) < 0.4 * error(vector, layout, 3000, share=0)
    layout, vector = update_of_rank(0, 1.0)
    assert message(vector, layout, 3000) == message(vector, layout, 3000, share=0)


@pytest.mark.compiled
def test_where_factors_are_hardly_better_levels_alone_are_tried_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layout, vector = update_of_rank(0, 1.0)
    alone = message(vector, layout, 3000, share=0)
    monkeypatch.setattr(modes, "ADVANTAGE", 3.0)  # any factors are taken
    assert LowRankSearch(vector, side_of(layout), 8.0 * 2996).find(3.0) is not None
    assert message(vector, layout, 3000) == alone


@pytest.mark.compiled
@pytest.mark.parametrize("shape", [(300, 40), (40, 300)], ids=["tall", "wide"])
def test_both_sides_of_a_layer_may_be_the_shorter_one(shape: tuple[int, int]) -> None:
    layout, vector = update_of_rank(5, 0.03, shape)
    assert error(vector, layout, 2500) < 0.5 * error(vector, layout, 2500, share=0)


@pytest.mark.compiled
def test_factors_take_their_share_at_most() -> None:
    layout, vector = update_of_rank(8, 0.1)
    bits = [
        0.0 if factors is None else factors.bits
        for share in (0.0, 0.2, 0.5, 1.0)
        for factors in (LowRankSearch(vector, side_of(layout), 24_000.0, share).find(),)
    ]
    assert bits[0] == 0
    assert 0 < bits[1] <= 4800
    assert bits[1] < bits[2] <= 12_000 < bits[3]


@pytest.mark.parametrize("capacity", [500, 2000])
def test_a_decoder_of_the_description_alone_reads_factors_whole_and_cut(capacity: int) -> None:
    arrays = {
        str(i): (RNG.normal(size=(rows, 2)) @ RNG.normal(size=(2, columns)) + 0.05 * RNG.normal(size=(rows, columns)))
        for i, (rows, columns) in enumerate([(16, 30), (40, 20), (3, 90), (1, 50)])
    }
    layout = Layout.of({name: array.astype(np.float32) for name, array in arrays.items()})
    vector = layout.flatten({name: array.astype(np.float32) for name, array in arrays.items()})
    body, setting = body_with_factors(vector, layout, capacity), Setting(tuple(each.shape for each in arrays.values()))
    errors = []
    for length in sorted({*range(1, 60), *np.linspace(60, len(body), 20, dtype=int).tolist()}):
        mine = as_vector(read_trellis(body[:length], layout.size, side_of(layout))[0], layout.size)
        np.testing.assert_array_equal(read_body(body[:length], setting), mine)
        errors.append(np.linalg.norm(vector - mine))
    assert errors[0] == pytest.approx(np.linalg.norm(vector))
    assert errors[-1] < 0.3 * errors[0]


def test_right_factors_fit_what_levels_have_made_of_left_ones() -> None:
    """In a coarse step, they are nearer to the layer than those of singular vectors."""
    rng = np.random.default_rng(3)
    matrix = (rng.normal(size=(30, 3)) @ rng.normal(size=(3, 50))).astype(np.float32)
    found = components_of(Layer(0, 30, 50), matrix, 3)
    factors = told([(found, 3)], float(found.values[0]) / 12)
    ((lefts, rights),) = factors.pairs()
    fitted = factors.vector[3 * 30 :].reshape(3, 50)
    assert np.linalg.norm(matrix - lefts.T @ fitted) < 0.95 * np.linalg.norm(matrix - lefts.T @ found.rights)
    assert np.linalg.norm(matrix - lefts.T @ rights) < 0.5 * np.linalg.norm(matrix)


def test_components_of_a_large_layer_are_about_those_of_an_exact_search() -> None:
    rng = np.random.default_rng(4)
    shape = (EXACT_SIDE + 8, EXACT_SIDE + 60)
    matrix = (rng.normal(size=(shape[0], 4)) @ np.diag([8, 4, 2, 1]) @ rng.normal(size=(4, shape[1]))).astype(
        np.float32
    )
    found = components_of(Layer(0, *shape), matrix, 4)
    assert isinstance(found, Components)
    assert found.values == pytest.approx(np.linalg.svd(matrix, compute_uv=False)[:4], rel=0.02)
    whole = (found.lefts / found.values[:, None] ** 2).T @ (found.rights * found.values[:, None])
    assert np.linalg.norm(matrix - whole) < 0.05 * np.linalg.norm(matrix)


def test_zeros_and_layers_without_factors_have_none() -> None:
    layout = Layout.of({"w": np.zeros((3, 900), np.float32)})
    assert LowRankSearch(np.zeros(2700, np.float32), side_of(layout), 9000.0).find() is None
    assert LowRankSearch(RNG.normal(size=2700).astype(np.float32), side_of(layout), 9000.0).find() is None


def shapes_of(codes: list[int], layout: Layout) -> bytes:
    """A message that says no more of factors than their shapes."""
    encoder = RangeEncoder(10_000)
    for value, width in ((TRELLIS, 2), (TRELLIS, 2), (MODE_WITH_FACTORS, 2)):
        encode_bits(encoder, value, width)
    (layer,) = layers_with_factors(side_of(layout))
    write_shapes(encoder, side_of(layout), [Shape(layer, codes)])
    for _ in range(8):
        encode_bits(encoder, 1, 1)
    return encoder.finish()


@pytest.mark.parametrize(
    ("codes", "message"),
    [([4096] * 7, "7 components of a layer; expected at most 6"), ([0], "code 0"), ([4096, 8192], "code 8192")],
)
def test_shapes_that_no_encoder_writes_are_malformed(codes: list[int], message: str) -> None:
    layout = Layout.of({"w": np.zeros((10, 16), np.float32), "b": np.zeros(16, np.float32)})
    assert most_components(layers_with_factors(side_of(layout))[0]) == 6
    with pytest.raises(MalformedBits, match=message):
        read_trellis(shapes_of(codes, layout), layout.size, side_of(layout))
    assert not as_vector(read_trellis(shapes_of([4096] * 6, layout), layout.size, side_of(layout))[0], 176).any()


@pytest.mark.compiled
def test_products_are_paid_for_by_bytes() -> None:
    """Left factors whose levels cost hardly anything, over a layer of 12 million cells."""
    rows, columns, rank = 40, 300_000, 30
    layout = Layout.of({"w": np.broadcast_to(np.float32(0), (rows, columns))})
    matrix, ones = np.zeros((rows, columns), np.float32), np.ones((rank, rows))
    rights = np.zeros((rank, columns))
    found = told([(Components(Layer(0, rows, columns), matrix, np.ones(rank), ones, rights), rank)], 0.5)
    encoder = begun_with(found, side_of(layout), 10_000)
    assert encoder.overdrawn
    assert encoder.length() < 2000
    with pytest.raises(MalformedBits, match="more work"):
        read_trellis(encoder.finish(), layout.size, side_of(layout))


@pytest.mark.compiled
@pytest.mark.parametrize("bits", [0.3, 1.0, 3.0])
def test_few_codings_find_the_step(bits: float, monkeypatch: pytest.MonkeyPatch) -> None:
    codings, coded = list[Quantised](), LevelFit._coded

    def noted(fit: LevelFit, chosen: Quantised) -> tuple[RangeEncoder, int]:
        codings.append(chosen)
        return coded(fit, chosen)

    monkeypatch.setattr(LevelFit, "_coded", noted)
    vector = np.random.default_rng(3).laplace(size=1 << 18).astype(np.float32)
    layout, capacity = Layout.of({"w": vector.reshape(512, 512)}), int(bits * vector.size / 8)
    body = LevelFit.of(vector, side_of(layout), capacity).body().content
    assert body is not None
    assert 0.998 * capacity - 1 <= len(body) <= capacity
    assert len(codings) <= 3
