"""The trellis mode: a level for every coordinate."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surp_fl import Layout, MalformedMessage, SuRP
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.encoder import write_body
from surp_fl.codecs.surp.layers import SideInformation
from surp_fl.codecs.surp.modes import write_better
from surp_fl.codecs.surp.trellis import body as writer
from surp_fl.codecs.surp.trellis import lag_search
from surp_fl.codecs.surp.trellis.body import begun_with
from surp_fl.codecs.surp.trellis.level_coder import encode_layer
from surp_fl.codecs.surp.trellis.level_fit import LevelFit
from surp_fl.codecs.surp.trellis.level_models import LevelModels
from surp_fl.codecs.surp.trellis.level_reader import code_of_step, magnitudes_of, step_of
from surp_fl.codecs.surp.trellis.reader import is_trellis, read_trellis
from surp_fl.codecs.surp.trellis.sign_lags import NO_LAGS, LagModels, SignLags
from surp_fl.entropy.adaptive_integer import AdaptiveInteger
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.entropy.integers import encode_bits, encode_uint
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.updates import as_vector
from tests.format_walk.body import Setting, read_body
from tests.vectors import Vector, layout_for, vectors

RNG = np.random.default_rng(0)
FIRST = magnitudes_of(7, 5) / 16


def update(rows: int = 100, columns: int = 150, seed: int = 0) -> tuple[Layout, Vector]:
    """Coordinates as large as their row and column, and a bias."""
    rng = np.random.default_rng(seed)
    weight = rng.laplace(size=(rows, columns)) * rng.lognormal(0, 1, (rows, 1)) * rng.lognormal(0, 1, columns)
    arrays = {"weight": weight.astype(np.float32), "bias": rng.laplace(size=rows).astype(np.float32)}
    layout = Layout.of(arrays)
    return layout, layout.flatten(arrays)


def side_of(layout: Layout) -> SideInformation:
    return Context.of(layout, None).side


def error(vector: Vector, body: bytes, layout: Layout) -> float:
    decoded = as_vector(read_trellis(body, layout.size, side_of(layout))[0], layout.size)
    return float(np.linalg.norm(vector.astype(float) - decoded) / np.linalg.norm(vector.astype(float)))


def written(vector: Vector, layout: Layout, capacity: int) -> bytes:
    body = LevelFit.of(vector, side_of(layout), capacity).body().content
    assert body is not None
    return body


SHAPES: dict[str, list[tuple[int, ...]]] = {
    "one array": [(30, 40)],
    "several": [(8, 1, 3, 3), (8,), (12, 72), (12,), (0, 5), (10, 12)],
    "a row": [(1, 900), (700,)],
}


@pytest.mark.parametrize("bits", [0.3, 1.5, 6, 20])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_a_decoder_of_the_description_alone_reads_the_same(shapes: list[tuple[int, ...]], bits: float) -> None:
    rng = np.random.default_rng(11)
    arrays = {f"{i}": rng.laplace(size=shape).astype(np.float32) for i, shape in enumerate(shapes)}
    for array in arrays.values():
        array[: len(array) // 3] *= np.float32(0.01)  # rows of zeros, at few bits
    layout = Layout.of(arrays)
    body = written(layout.flatten(arrays), layout, max(int(bits * layout.size / 8), 12))
    for length in (len(body), len(body) - 1, len(body) // 2, 9, 3):
        mine = as_vector(read_trellis(body[:length], layout.size, side_of(layout))[0], layout.size)
        np.testing.assert_array_equal(read_body(body[:length], Setting(tuple(shapes))), mine)


def smooth(rows: int, columns: int, lag: int, seed: int = 0) -> Vector:
    """Rows in which a coordinate is like those some columns before."""
    noise = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    for column in range(lag, columns):
        noise[:, column] += np.float32(0.9) * noise[:, column - lag]
    return noise


def test_a_decoder_of_the_description_alone_reads_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer's own, those of the one before, and none; whole and cut anywhere."""
    arrays = {str(i): smooth(20, 90, 5 if i != 1 else 3, seed=i) for i in range(4)}
    arrays["none"] = np.random.default_rng(4).standard_normal((30, 70)).astype(np.float32)
    layout, found = Layout.of(arrays), list[tuple[int, bool]]()
    decode = LagModels.decode

    def noted(models: LagModels, decoder: RangeDecoder) -> SignLags:
        before, lags = models.before, decode(models, decoder)
        found.append((lags.lags.size, lags is before))
        return lags

    whole = written(layout.flatten(arrays), layout, layout.size // 4)
    with monkeypatch.context() as patch:
        patch.setattr(LagModels, "decode", noted)
        read_trellis(whole, layout.size, side_of(layout))
    assert (0, False) in found
    assert any(size > 0 and same for size, same in found)
    assert sum(size > 0 and not same for size, same in found) >= 2
    shapes = [array.shape for array in arrays.values()]
    for length in (*range(1, 48), len(whole) // 2, len(whole)):
        mine = as_vector(read_trellis(whole[:length], layout.size, side_of(layout))[0], layout.size)
        np.testing.assert_array_equal(read_body(whole[:length], Setting(tuple(shapes))), mine)


@pytest.mark.parametrize("step", [1 << 19, 1, (1 << 20) - 1, 104 << 11], ids=["usual", "least", "largest", "denormal"])
@pytest.mark.parametrize("offsets", [None, (0, 15)], ids=["usual", "others"])
@pytest.mark.parametrize(
    ("lags", "weights"),
    [
        ([1, 2, 3], [32, -20, 9]),
        ([1, 30, 256], [-32, 1, 5]),
        (list(range(1, 9)), [32] * 8),
        (list(range(1, 9)), [-32] * 8),
    ],
    ids=["few", "beyond the row", "all for", "all against"],
)
def test_a_decoder_of_the_description_alone_reads_any_lags(
    lags: list[int], weights: list[int], offsets: tuple[int, int] | None, step: int
) -> None:
    """Also those that this encoder would not choose; signs are as told, and then the contrary."""
    layout = Layout.of({"w": np.zeros((6, 300 if 256 in lags else 30), np.float32)})
    rows, columns = layout.arrays[0].shape
    encoder = begun_with(None, side_of(layout), 10_000)
    offset_bits = [(0, 1)] if offsets is None else [(1, 1), *((each, 4) for each in offsets)]
    for value, width in ((step, 20), *offset_bits):
        encode_bits(encoder, value, width)
    AdaptiveInteger(4).encode(encoder, 1)
    told = SignLags(np.array(lags, np.int64), np.array(weights, np.int64))
    LagModels().encode(encoder, told)
    levels = np.random.default_rng(2).integers(0, 4, rows * columns).astype(np.int32)
    signs = np.where(np.arange(rows * columns) < rows * columns // 2, 1, -1).astype(np.float32)
    encode_layer(encoder, LevelModels(), levels, signs, columns, 64, *told)
    body = encoder.finish()
    for length in (len(body), *range(1, 40)):
        with np.errstate(over="ignore"):
            mine = as_vector(read_trellis(body[:length], layout.size, side_of(layout))[0], layout.size)
        np.testing.assert_array_equal(read_body(body[:length], Setting(((rows, columns),))), mine)
    assert np.count_nonzero(mine) <= np.count_nonzero(levels)


def test_a_coordinate_with_lags_is_more_work() -> None:
    """Zeros of a row that has a level: a third more is spent than without."""
    credits = []
    for lags in (NO_LAGS, SignLags(np.array([1], np.int64), np.array([1], np.int64))):
        encoder, levels = RangeEncoder(1000), np.zeros(8000, np.int32)
        levels[[0, 4000]] = 1
        encoder.grant(0)
        layers = 0
        while not encoder.overdrawn:
            encode_layer(encoder, LevelModels(), levels, levels.astype(np.float32), 4000, 1, *lags)
            layers += 1
        credits.append(layers)
    assert 1.2 < credits[0] / credits[1] < 1.8


def test_a_vector_whose_lags_are_too_much_work_is_sent_without(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, asked = Layout.of({"w": smooth(60, 200, 7)}), list[int]()
    encode = encode_layer

    def overdrawn(encoder: RangeEncoder, *rest: Any) -> None:
        asked.append(len(rest[-2]))
        encode(encoder, *rest)
        if len(rest[-2]):
            encoder.grant(0)
            encoder.spend(1 << 40)

    monkeypatch.setattr(writer, "encode_layer", overdrawn)
    body = written(smooth(60, 200, 7).ravel(), layout, 1500)
    assert asked[0] > 0
    assert set(asked[1:]) == {0}
    assert error(smooth(60, 200, 7).ravel(), body, layout) < 0.9


@pytest.mark.compiled
def test_signs_that_are_alike_a_few_columns_apart_save_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    array = smooth(60, 200, 7)
    layout, errors = Layout.of({"w": array}), []
    for lags in (lag_search.lags_of, lambda *_: NO_LAGS):
        monkeypatch.setattr(writer, "lags_of", lags)
        errors.append(error(array.ravel(), written(array.ravel(), layout, array.size // 8), layout))
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("capacity", [300, 1000, 8000])
def test_a_fit_tells_the_error_of_its_body(capacity: int) -> None:
    vector = np.random.default_rng(4).laplace(size=20_000).astype(np.float32)
    layout = layout_for(vector)
    body = LevelFit.of(vector, side_of(layout), capacity).body()
    assert body.content is not None
    assert body.error == pytest.approx(error(vector, body.content, layout) * np.linalg.norm(vector), rel=1e-5)


@given(vectors(max_size=600), st.integers(5, 3000))
def test_any_vector_comes_back_within_the_capacity_and_nearer(vector: Vector, capacity: int) -> None:
    layout = layout_for(vector)
    body = LevelFit.of(vector, side_of(layout), capacity).body().content
    if body is None:
        return
    assert len(body) <= capacity
    assert is_trellis(body)
    decoded = as_vector(read_trellis(body, layout.size, side_of(layout))[0], layout.size)
    assert (np.abs(decoded - vector.astype(float)) <= np.abs(vector.astype(float)) * (1 + 1e-6)).all()
    assert (np.sign(decoded) * np.sign(vector) >= 0).all()  # no sign is wrong


@settings(max_examples=30)
@given(vectors(max_size=300))
def test_a_cut_body_is_a_body_and_a_longer_one_is_never_worse(vector: Vector) -> None:
    layout = layout_for(vector)
    body = LevelFit.of(vector, side_of(layout), 400).body().content
    if body is None:
        return
    errors = [error(vector, body[:length], layout) for length in range(1, len(body) + 1)]
    assert all(after <= before + 1e-6 for before, after in pairwise(errors))


@pytest.mark.compiled
@pytest.mark.parametrize("bits", [0.1, 0.3, 1, 2, 4, 8])
def test_the_budget_is_used_up(bits: float) -> None:
    layout, vector = update(200, 300)  # at the fewest bits, one coordinate more or less is far below a percent of them
    capacity = int(bits * layout.size / 8)
    assert 0.99 * capacity <= len(written(vector, layout, capacity)) <= capacity


@pytest.mark.compiled
@pytest.mark.parametrize(("bits", "share"), [(0.15, 0.98), (0.3, 0.95), (1, 0.9), (2, 0.75)])
def test_the_error_is_below_that_of_groups(bits: float, share: float) -> None:
    layout, vector = update()
    budget = int(bits * layout.size / 8)
    groups = SuRP(budget).codec.reader.read(write_body(vector, layout, None, budget, False), layout, None)
    other = float(np.linalg.norm(vector - as_vector(groups, layout.size)) / np.linalg.norm(vector))
    assert error(vector, written(vector, layout, budget - 4), layout) < share * other


@pytest.mark.compiled
def test_a_bit_a_coordinate_halves_the_error() -> None:
    layout, vector = update(60, 80)
    errors = [error(vector, written(vector, layout, bits * layout.size // 8), layout) for bits in (3, 4, 5, 6, 12)]
    assert all(0.4 < after / before < 0.6 for before, after in pairwise(errors[:4]))
    assert errors[4] < 1.1 * errors[3] / 2**6


def test_more_than_enough_bytes_are_not_used() -> None:
    layout, vector = update(20, 30)
    body = written(vector, layout, 10_000)
    assert len(body) < 4 * vector.size
    assert error(vector, body, layout) < 1e-5


@pytest.mark.compiled
def test_what_lies_in_one_component_is_told_apart_from_noise() -> None:
    """Half of the energy is of rank one, and no coordinate stands out."""
    rng = np.random.default_rng(5)
    signs = np.sign(rng.standard_normal(120))[:, None] * np.sign(rng.standard_normal(200))
    array = (signs + rng.standard_normal((120, 200))).astype(np.float32)
    layout = Layout.of({"w": array})
    vector, budget = array.ravel(), int(0.5 * array.size / 8)
    errors = []
    for share in (1.0, 0.0):
        codec = SuRP(budget, rank_one=share).codec
        decoded = codec.decode(codec.encode(vector, layout, rng=RNG), layout)
        errors.append(float(np.linalg.norm(vector - decoded) / np.linalg.norm(vector)))
    assert errors[0] < 0.75 * errors[1]


def body_of(*parts: tuple[int, int]) -> bytes:
    encoder = RangeEncoder(100)
    for value, width in parts:
        encode_bits(encoder, value, width)
    return encoder.finish()


@given(st.floats(1e-40, 1e38))
def test_steps_are_told_to_a_2000th(step: float) -> None:
    told = step_of(code_of_step(step))
    assert step * (1 - 2**-11) < told <= step


def test_codes_of_steps_end_where_their_bits_do() -> None:
    assert code_of_step(1e-300) == 1
    assert 0 < step_of(1) < 1e-76
    assert code_of_step(1e300) == 2**20 - 1
    assert step_of(2**20 - 1) == 4095 * 2.0**244


HEAD = ((3, 2), (3, 2))
STEP = ((1 << 19, 20), (0, 1))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (body_of(*HEAD, (3, 2), *STEP), "mode 3"),
        (body_of(*HEAD, (0, 2), (0, 20), (1, 1), (7, 4), (5, 4), (1, 3)), "a step of 0"),
        (b"\xff" * 20, "no symbol"),
    ],
)
def test_what_no_encoder_writes_is_malformed(body: bytes, message: str) -> None:
    layout, _ = update(10, 10)
    with pytest.raises(MalformedBits, match=message):
        read_trellis(body, layout.size, side_of(layout))


def test_an_impossible_number_of_terms_is_malformed() -> None:
    layout, _ = update(10, 10)
    encoder = RangeEncoder(100)
    for value, width in (*HEAD, (1, 2)):
        encode_bits(encoder, value, width)
    encode_uint(encoder, 0)
    encode_bits(encoder, 1000, 16)
    with pytest.raises(MalformedBits, match="terms"):
        read_trellis(encoder.finish() + b"\x01" * 8, layout.size, side_of(layout))


def test_an_impossible_mean_is_malformed() -> None:
    layout, _ = update(10, 10)
    encoder = begun_with(None, side_of(layout), 100)
    for value, width in STEP:
        encode_bits(encoder, value, width)
    AdaptiveInteger(4).encode(encoder, 1 + 2 * 64)  # 64 + 64 = 128
    with pytest.raises(MalformedBits, match="code 128"):
        read_trellis(encoder.finish(), layout.size, side_of(layout))


def test_bytes_after_the_last_layer_are_malformed() -> None:
    layout, vector = update(30, 40)
    body = written(vector, layout, 1000)
    read_trellis(body, layout.size, side_of(layout))
    with pytest.raises(MalformedBits, match="after the last layer"):
        read_trellis(body + b"\x00", layout.size, side_of(layout))


@pytest.mark.slow
def test_work_is_bounded_by_the_bytes() -> None:
    """Two million coordinates, of ten, in rows of a one and zeros: refused before they are decoded."""
    layout = Layout.of({"w": np.broadcast_to(np.float32(0), (10_000, 1000))})
    encoder = RangeEncoder(10_000)
    for value, width in (*HEAD, (0, 2), *STEP):
        encode_bits(encoder, value, width)
    AdaptiveInteger(4).encode(encoder, 2 * 63)  # the least mean level
    levels = np.zeros(2_000_000, np.int32)
    levels[::1000] = 1
    LagModels().encode(encoder, NO_LAGS)
    encode_layer(encoder, LevelModels(), levels, levels.astype(np.float32), 1000, 1, *NO_LAGS)
    assert encoder.length() < 1500
    with pytest.raises(MalformedBits, match="more work"):
        read_trellis(encoder.finish(), layout.size, side_of(layout))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(400_000,), (2, 200_000), (20_000, 16)])
def test_long_rows_and_rows_of_zeros_stay_within_the_credit(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(8)
    array = rng.laplace(size=shape).astype(np.float32)
    if len(shape) == 2 and shape[0] > 2:
        array[:15_000] = 0  # as of an embedding's rare words
    layout = Layout.of({"w": array})
    body = written(array.ravel(), layout, layout.size // 4)
    assert error(array.ravel(), body, layout) < 0.3


@pytest.mark.compiled
def test_few_magnitudes_go_as_groups_without_loss() -> None:
    """As the first step of Adam, or what another scheme has quantised."""
    vector = np.sign(np.random.default_rng(9).standard_normal(20_000)).astype(np.float32)
    layout = Layout.of({"w": vector.reshape(100, 200)})
    codec = SuRP(10_000).codec
    np.testing.assert_array_equal(codec.decode(codec.encode(vector, layout, rng=RNG), layout), vector)


@pytest.mark.compiled
def test_terms_that_do_not_pay_are_not_sent() -> None:
    """Uniform numbers are without outliers, and of no low rank."""
    vector = np.random.default_rng(10).uniform(-1, 1, 20_000).astype(np.float32)
    layout = Layout.of({"w": vector.reshape(100, 200)})
    errors = []
    for share in (0.0, 1.0):
        codec = SuRP(5000, rank_one=share).codec
        errors.append(np.linalg.norm(vector - codec.decode(codec.encode(vector, layout, rng=RNG), layout)))
    assert errors[1] <= errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("progressive", [False, True])
def test_the_mode_is_chosen_by_bits_a_coordinate(progressive: bool) -> None:
    layout, vector = update(600, 600)
    for bits, reference, trellis in (
        (0.05, None, False),
        (0.15, None, True),
        (0.15, vector, True),
        (0.3, (vector, vector), True),
    ):
        budget = int(bits * layout.size / 8)
        body = write_better(vector, layout, reference, budget, progressive, 1.0, None)
        assert is_trellis(body) is (trellis and not progressive)


@pytest.mark.slow
def test_where_both_modes_are_close_the_better_one_is_sent() -> None:
    """A model whose last change was in a twentieth of the coordinates; these change again, alone or not."""
    layout, vector = update(600, 600)
    model, changed = vector.copy(), np.arange(0, vector.size, 20)
    before = model.copy()
    before[changed] -= np.where(vector[changed] > 0, np.float32(1), np.float32(-1))
    chosen = []
    for share in (0.0, 1.0):
        wanted = np.float32(share) * vector
        wanted[changed] = np.where(vector[changed] > 0, np.float32(1), np.float32(-1))
        body = write_better(wanted, layout, (model, before), int(0.15 * layout.size / 8), False, 1.0, None)
        chosen.append(is_trellis(body))
    assert chosen == [False, True]


def test_small_vectors_take_the_better_mode() -> None:
    vector = np.array([0, 0, -3, 0], np.float32)
    layout = layout_for(vector)
    message = SuRP(budget=40).codec.encode(vector, layout, rng=RNG)
    assert len(message) == 8
    np.testing.assert_array_equal(SuRP(budget=40).codec.decode(message, layout), vector)


def test_a_damaged_message_is_malformed() -> None:
    layout, vector = update(50, 60)
    codec = SuRP(budget=2000).codec
    message = bytearray(codec.encode(vector, layout, rng=RNG))
    assert is_trellis(bytes(message[4:]))
    message[900] ^= 1
    with pytest.raises(MalformedMessage):
        codec.decode(bytes(message), layout)


def test_the_bits_are_told_apart() -> None:
    layout, vector = update(50, 60)
    codec = SuRP(budget=2000).codec
    message = codec.encode(vector, layout, rng=RNG)
    bits = codec.reader.bit_breakdown(message, layout)
    sent = np.count_nonzero(codec.decode(message, layout))
    assert 0.9 * sent < bits.signs < 1.1 * sent  # they are even
    assert bits.indices == 0
    assert 8 * len(message) - 60 < bits.signs + bits.magnitudes <= 8 * len(message)


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (3, 2, 100), (0, 5)])
def test_layers_of_any_shape(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    arrays = {"a": rng.laplace(size=shape).astype(np.float32), "b": rng.laplace(size=70).astype(np.float32)}
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays)
    assert error(vector, written(vector, layout, 2 * layout.size), layout) < 1e-3
