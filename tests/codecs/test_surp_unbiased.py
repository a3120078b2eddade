"""UnbiasedSuRP is right on average, with less variance than EDEN; scale factors are sent where they pay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import EDEN, Layout, MalformedMessage, UnbiasedSuRP
from surp_fl.codecs import Scheme
from surp_fl.codecs.surp.encoder import Message
from surp_fl.codecs.surp.rate_distortion import MagnitudeGroup
from surp_fl.codecs.surp_unbiased.bands import Bands
from surp_fl.codecs.surp_unbiased.rotated import rotated, rotated_back, rotated_size, stride
from surp_fl.codecs.surp_unbiased.scale_factors import FACTORS, choose_factors, decode_factors, encode_factors
from surp_fl.codecs.surp_unbiased.scheme import _decoded, _side
from surp_fl.entropy.integers import encode_bits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.frame import HEADER_BYTES, pack
from surp_fl.types import Integers
from tests.codecs.test_sizes import LAYOUT, UPDATES
from tests.vectors import Vector

factor_lists = st.lists(st.integers(0, FACTORS - 1), min_size=1, max_size=60)
long_lists = st.tuples(factor_lists, st.integers(0, 400), factor_lists).map(
    lambda parts: parts[0] + [parts[0][-1]] * parts[1] + parts[2]
)


def through(scheme: Scheme, vector: Vector, layout: Layout, seed: int = 0) -> Vector:
    return scheme.codec.decode(scheme.codec.encode(vector, layout, rng=np.random.default_rng(seed)), layout)


def variance(scheme: Scheme, vector: Vector, layout: Layout, seeds: int) -> float:
    """Mean squared error over the vector's squared norm."""
    errors = [np.square(through(scheme, vector, layout, seed).astype(float) - vector).sum() for seed in range(seeds)]
    return float(np.mean(errors) / np.square(vector, dtype=float).sum())


def with_rows(scales: list[float], columns: int) -> tuple[Vector, Layout]:
    """A matrix of normal numbers whose rows differ in scale."""
    matrix = (np.random.default_rng(5).normal(size=(len(scales), columns)) * np.array(scales)[:, None]).astype("f4")
    return matrix.reshape(-1), Layout.of({"w": matrix})


@pytest.mark.compiled
@pytest.mark.parametrize("budget", [60, 150])
def test_estimates_are_right_on_average(budget: int) -> None:
    """But for a thousandth of the variance: a Hadamard rotation is not uniformly random, and small blocks differ."""
    vector, layout = with_rows([1, 1, 8, 0.25, 3, 1], 200)
    scheme, count = UnbiasedSuRP(budget), 1500
    sent = [through(scheme, vector, layout, seed).astype(float) for seed in range(count)]
    of_one = np.mean([np.square(each - vector).sum() for each in sent])
    assert np.square(np.mean(sent, axis=0) - vector).sum() < of_one * (1.5 / count + 0.001)


def test_every_message_has_the_projection_of_the_whole_on_the_vector() -> None:
    vector, layout = with_rows([1, 1, 8, 0.25, 3, 1], 200)
    weights = np.repeat(Bands.weights(factors_of(vector, layout, 100)), Bands.of(layout).sizes)
    whole = float(np.square(vector / weights).sum())
    found = [
        float((through(UnbiasedSuRP(100), vector, layout, seed) / weights) @ (vector / weights)) for seed in range(200)
    ]
    assert found == pytest.approx([whole] * 200, rel=2**-7)  # the scale has 8 bits, and is rounded up or down
    assert np.mean(found) == pytest.approx(whole, rel=2**-7 / 5)  # as often as makes it right on average


def factors_of(vector: Vector, layout: Layout, budget: int) -> Integers:
    """The factors that a message holds."""
    message = UnbiasedSuRP(budget).codec.encode(vector, layout, rng=np.random.default_rng(0))
    return _decoded(message[HEADER_BYTES + 4 :], layout).factors


@pytest.mark.compiled
def test_more_bytes_give_less_error_down_to_nothing() -> None:
    vector, layout = with_rows([1, 5, 0.1, 2] * 15, 20)
    errors = [variance(UnbiasedSuRP(budget), vector, layout, 5) for budget in (300, 600, 1200, 2400, 4800)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 1e-2  # corrections name coordinates again
    assert errors[-1] < 1e-6


@pytest.mark.parametrize("budget", range(16, 30))
def test_the_smallest_messages_hold_a_coordinate_whatever_the_scales_of_rows(budget: int) -> None:
    rng = np.random.default_rng(budget)
    one_row = np.zeros(20)
    one_row[10] = 1
    for scales, columns in ((one_row, 50), (np.exp(4 * rng.normal(size=60)), 300), (rng.lognormal(size=500), 800)):
        vector, layout = with_rows(list(scales), columns)
        assert through(UnbiasedSuRP(budget), vector, layout, budget).any()


@pytest.mark.compiled
def test_factors_are_sent_where_messages_with_them_have_less_variance() -> None:
    vector, layout = with_rows(list(np.exp(1.5 * np.random.default_rng(1).normal(size=40))), 50)
    one_band = Layout.of({"w": vector})
    for budget in (25, 40, 60, 100, 200, 400):
        with_them = variance(UnbiasedSuRP(budget), vector, layout, 30)
        assert with_them < 1.1 * variance(UnbiasedSuRP(budget), vector, one_band, 30)


def test_a_message_may_not_ask_for_more_work_than_its_bytes_are_worth() -> None:
    layout = Layout.of({"w": np.zeros(60_000, np.float32)})
    encoder = RangeEncoder(100_000)
    encode_bits(encoder, 0, 1)
    message = Message(encoder, _side(rotated_size(60_000)))
    ones = np.ones(60_000)
    everything = MagnitudeGroup(np.arange(60_000), np.zeros(60_000, np.bool_), 1.0, ones, ones)
    for number in range(4):
        message = message.with_groups([everything], disjoint=number == 0)
    with pytest.raises(MalformedMessage, match="more work"):
        UnbiasedSuRP(40).codec.decode(pack(7, b"\0\0\x80\0" + message.to_bytes(), layout.fingerprint), layout)


def test_factors_count_as_magnitudes() -> None:
    vector, layout = with_rows([2.0 ** (i * i % 7) for i in range(64)], 300)
    flat = Layout.of({"w": vector})
    reader = UnbiasedSuRP(1000).codec.reader
    with_factors, without = (
        reader.bit_breakdown(UnbiasedSuRP(1000).codec.encode(vector, each, rng=np.random.default_rng(0)), each)
        for each in (layout, flat)
    )
    assert with_factors.magnitudes > 100 + without.magnitudes
    assert 7900 < sum(with_factors) < 8000


def test_a_vector_that_is_no_number_is_refused() -> None:
    vector, layout = with_rows([1, 2], 30)
    vector[7] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        through(UnbiasedSuRP(30), vector, layout)


@pytest.mark.compiled
@pytest.mark.parametrize("update", ["early", "late"])
@pytest.mark.parametrize("budget", [100, 400])
def test_the_variance_of_recorded_updates_is_two_thirds_of_edens(update: str, budget: int) -> None:
    vector = np.load(UPDATES)[f"{update} wanted"]
    ours, edens = (variance(scheme(budget), vector, LAYOUT, 40) for scheme in (UnbiasedSuRP, EDEN))
    assert ours < 2 / 3 * edens


@pytest.mark.compiled
@pytest.mark.parametrize(("budget", "energy_a_bit"), [(120, 1.0), (500, 0.95)])
def test_a_bit_of_alike_coordinates_holds_more_than_edens_and_less_than_shannons(
    budget: int, energy_a_bit: float
) -> None:
    """An estimate whose message holds a share s of the energy has a variance of 1/s − 1; no bit holds over 2·ln 2."""
    vector, layout = with_rows([1.0] * 512, 512)
    held = vector.size / (1 + variance(UnbiasedSuRP(budget), vector, layout, 10)) / (8 * budget - 72)
    assert energy_a_bit < held < 2 * np.log(2)


def test_rows_of_other_scales_are_sent_where_bytes_are_many_and_not_where_they_are_few() -> None:
    vector, layout = with_rows([2.0 ** (i * i % 7) for i in range(64)], 300)
    bands = Bands.of(layout)
    energies = bands.energies(vector)
    sent, share = choose_factors(energies, bands.sizes, 8000)
    rms = np.sqrt(energies / bands.sizes)
    np.testing.assert_allclose(sent, 2 * np.log2(rms.max() / rms), atol=0.75)
    weights = np.repeat(bands.weights(sent), bands.sizes)
    product = float(np.square(vector / weights).sum() * np.square(weights).sum())
    encoder = RangeEncoder(1000)
    encode_factors(encoder, sent)
    expected = product / (vector.size * float(energies.sum())) / (1 - 8 * encoder.length() / 8000)
    assert share == pytest.approx(expected, rel=0.01)
    assert share < 0.6
    few, share = choose_factors(energies, bands.sizes, 100)
    assert (few == few[0]).all()
    assert share > 1


def test_choosing_is_no_worse_than_sending_nothing_or_every_band() -> None:
    rng = np.random.default_rng(0)
    for bits in (50.0, 300.0, 3000.0, 30000.0):
        energies, sizes = rng.lognormal(sigma=2, size=50), rng.integers(1, 500, 50)
        _, share = choose_factors(energies, sizes, bits)
        nearest = np.round(np.log2((energies / sizes).max() / (energies / sizes))).astype(np.int64)
        encoder = RangeEncoder(1000)
        encode_factors(encoder, np.minimum(nearest, FACTORS - 1))
        squared = 2.0 ** (-nearest / 2)
        every = (energies / squared).sum() * (sizes * squared).sum() / (sizes.sum() * energies.sum())
        assert share < 1.05 * every / max(1 - 8 * encoder.length() / bits, 1e-9)
        assert share < 1.35 or bits < 300


def test_an_array_is_cut_into_runs_of_rows() -> None:
    arrays = {"wide": np.zeros((3, 4, 5)), "thin": np.zeros((10, 3)), "long": np.zeros((9000, 20)), "b": np.zeros(50)}
    layout = Layout.of({"none": np.zeros((0, 4))} | arrays)
    sizes = list(Bands.of(layout).sizes)
    assert sizes[:3] == [20] * 3
    assert sizes[3:5] == [18, 12]
    assert sizes[5:-1] == [60] * 3000
    assert sizes[-1] == 50


@given(st.one_of(factor_lists, long_lists))
def test_factors_come_back(factors: list[int]) -> None:
    encoder = RangeEncoder(1000)
    encode_factors(encoder, np.array(factors, np.int64))
    decoder = RangeDecoder(encoder.finish())
    assert decode_factors(decoder, len(factors)).tolist() == factors
    assert not decoder.exhausted()


def test_frequencies_of_factors_are_those_of_the_format_also_in_long_lists() -> None:
    encoder = RangeEncoder(1000)
    encode_factors(encoder, np.array([5] * 200 + [i * i % 7 for i in range(100)], np.int64))
    assert encoder.finish().hex() == (
        "281af56b344345ce385b9e9fa087b24c2ea96e55f77e4269055005f564582f891fb582f809e31be44914979c48"
    )


def test_bands_that_are_alike_cost_a_fraction_of_a_bit_each() -> None:
    encoder = RangeEncoder(1000)
    encode_factors(encoder, np.full(500, 7, np.int64))
    assert encoder.length() <= 3


@given(st.lists(st.integers(1, 900), min_size=1, max_size=6), st.integers(0, (1 << 16) - 1))
def test_the_rotation_has_an_inverse_and_keeps_the_norm(sizes: list[int], seed: int) -> None:
    vector = np.random.default_rng(seed).standard_t(2, sum(sizes)).astype(np.float32)
    bands, factors = (
        Bands.of(Layout.of({str(i): np.zeros(size) for i, size in enumerate(sizes)})),
        np.arange(len(sizes)),
    )
    normal, unit = rotated(vector, bands, factors, seed)
    assert np.square(normal).mean() == pytest.approx(1, rel=2**-7)
    assert unit * np.linalg.norm(normal) == pytest.approx(
        np.linalg.norm(vector / np.repeat(2.0 ** (-factors / 4), sizes))
    )
    back = rotated_back(normal, bands, factors, vector.size, seed, unit)
    np.testing.assert_allclose(back, vector, atol=1e-6 * np.abs(vector).max())


@given(st.integers(1, 10**9))
def test_steps_reach_every_coordinate(n: int) -> None:
    assert np.gcd(stride(n), n) == 1
    assert stride(n) < max(n, 2)


def test_every_block_of_a_vector_with_one_large_part_has_its_share() -> None:
    """Without it, the largest coordinates would all be in one block, and what the other held would be lost."""
    vector = np.ones(96, np.float32)
    vector[:32] = 100
    bands = Bands.of(Layout.of({"w": vector}))
    for seed in range(0, 1 << 16, 5000):
        normal, _ = rotated(vector, bands, np.zeros(1, np.int64), seed)
        assert 0.7 < np.square(normal[:64]).mean() / np.square(normal[64:]).mean() < 1.4


def test_a_message_that_no_encoder_writes_is_refused() -> None:
    vector, layout = with_rows([1, 4, 2, 1], 64)
    codec = UnbiasedSuRP(60).codec
    body = codec.encode(vector, layout, rng=np.random.default_rng(0))[HEADER_BYTES:]
    empty = RangeEncoder(10)
    encode_bits(empty, 1, 1)
    encode_factors(empty, np.array([0, 5, 0, 3], np.int64))
    for broken in (body[:3], body[:4], body[:4] + b"\0", body[:4] + empty.finish(), body + b"\1"):
        with pytest.raises(MalformedMessage):
            codec.decode(pack(7, broken, layout.fingerprint), layout)
    nothing = Layout.of({})
    with pytest.raises(MalformedMessage, match="0 coordinates"):
        codec.decode(pack(7, body, nothing.fingerprint), nothing)


def test_clients_keep_nothing() -> None:
    vector, layout = with_rows([1, 4], 30)
    scheme = UnbiasedSuRP(30)
    assert scheme.memory.settle(vector, through(scheme, vector, layout), {}) == {}
