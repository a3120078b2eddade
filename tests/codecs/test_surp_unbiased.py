"""UnbiasedSuRP is right on average, with less variance than EDEN; scale factors are told where they pay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import EDEN, Layout, MalformedMessage, UnbiasedSuRP
from surp_fl.codecs import Scheme
from surp_fl.codecs.surp_unbiased.bands import Bands
from surp_fl.codecs.surp_unbiased.rotated import rotated, rotated_back, rotated_size, stride
from surp_fl.codecs.surp_unbiased.scale_factors import FACTORS, choose_factors, decode_factors, encode_factors
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.frame import HEADER_BYTES, pack
from surp_fl.types import Integers
from tests.codecs.test_sizes import LAYOUT, UPDATES
from tests.vectors import Vector

factor_lists = st.lists(st.integers(0, FACTORS - 1), min_size=1, max_size=60)


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
    for seed in range(20):
        sent = through(UnbiasedSuRP(100), vector, layout, seed).astype(float)
        weights = np.repeat(Bands.weights(factors_of(vector, layout, 100)), Bands.of(layout).sizes)
        whole = np.square(vector / weights).sum()
        assert float((sent / weights) @ (vector / weights)) == pytest.approx(whole, rel=2**-8)  # the scale has 8 bits


def factors_of(vector: Vector, layout: Layout, budget: int) -> Integers:
    bands = Bands.of(layout)
    factors, least = choose_factors(bands.energies(vector), bands.sizes, 8.0 * (budget - 8))
    return factors if least < 1 else np.zeros_like(factors)


@pytest.mark.parametrize("update", ["early", "late"])
@pytest.mark.parametrize("budget", [100, 400])
def test_the_variance_of_recorded_updates_is_two_thirds_of_edens(update: str, budget: int) -> None:
    vector = np.load(UPDATES)[f"{update} wanted"]
    ours, edens = (variance(scheme(budget), vector, LAYOUT, 40) for scheme in (UnbiasedSuRP, EDEN))
    assert ours < 2 / 3 * edens


@pytest.mark.parametrize(("budget", "energy_a_bit"), [(120, 1.0), (500, 0.95)])
def test_a_bit_of_alike_coordinates_holds_more_than_edens_and_less_than_shannons(
    budget: int, energy_a_bit: float
) -> None:
    """An estimate whose message holds a share s of the energy has a variance of 1/s − 1; no bit holds over 2·ln 2."""
    vector, layout = with_rows([1.0] * 512, 512)
    held = vector.size / (1 + variance(UnbiasedSuRP(budget), vector, layout, 10)) / (8 * budget - 72)
    assert energy_a_bit < held < 2 * np.log(2)


def test_rows_of_other_scales_are_told_where_bytes_are_many_and_not_where_they_are_few() -> None:
    vector, layout = with_rows([2.0 ** (i * i % 7) for i in range(64)], 300)
    bands = Bands.of(layout)
    energies = bands.energies(vector)
    told, least = choose_factors(energies, bands.sizes, 8000)
    rms = np.sqrt(energies / bands.sizes)
    np.testing.assert_allclose(told, 2 * np.log2(rms.max() / rms), atol=0.75)
    weights = np.repeat(bands.weights(told), bands.sizes)
    product = float(np.square(vector / weights).sum() * np.square(weights).sum())
    encoder = RangeEncoder(1000)
    encode_factors(encoder, told)
    share = product / (vector.size * float(energies.sum())) / (1 - 8 * encoder.length() / 8000)
    assert least == pytest.approx(share, rel=0.01)
    assert least < 0.6
    few, at_least = choose_factors(energies, bands.sizes, 100)
    assert (few == few[0]).all()
    assert at_least > 1


def test_choosing_is_no_worse_than_telling_nothing_or_every_band() -> None:
    rng = np.random.default_rng(0)
    for bits in (50.0, 300.0, 3000.0, 30000.0):
        energies, sizes = rng.lognormal(sigma=2, size=50), rng.integers(1, 500, 50)
        _, least = choose_factors(energies, sizes, bits)
        nearest = np.round(np.log2((energies / sizes).max() / (energies / sizes))).astype(np.int64)
        encoder = RangeEncoder(1000)
        encode_factors(encoder, np.minimum(nearest, FACTORS - 1))
        squared = 2.0 ** (-nearest / 2)
        every = (energies / squared).sum() * (sizes * squared).sum() / (sizes.sum() * energies.sum())
        assert least < 1.05 * every / max(1 - 8 * encoder.length() / bits, 1e-9)
        assert least < 1.35 or bits < 300


def test_an_array_is_cut_into_runs_of_rows() -> None:
    arrays = {"wide": np.zeros((3, 4, 5)), "thin": np.zeros((10, 3)), "long": np.zeros((9000, 20)), "b": np.zeros(50)}
    layout = Layout.of({"none": np.zeros((0, 4))} | arrays)
    sizes = list(Bands.of(layout).sizes)
    assert sizes[:3] == [20] * 3
    assert sizes[3:5] == [18, 12]
    assert sizes[5:-1] == [60] * 3000
    assert sizes[-1] == 50


@given(factor_lists)
def test_factors_come_back(factors: list[int]) -> None:
    encoder = RangeEncoder(1000)
    encode_factors(encoder, np.array(factors, np.int64))
    decoder = RangeDecoder(encoder.finish())
    assert decode_factors(decoder, len(factors)).tolist() == factors
    assert not decoder.exhausted()


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
    normal, norm = rotated(vector, bands, factors, seed)
    assert np.square(normal).mean() == pytest.approx(1)
    assert norm == pytest.approx(np.linalg.norm(vector / np.repeat(2.0 ** (-factors / 4), sizes)))
    scale = norm / np.sqrt(rotated_size(vector.size))
    back = rotated_back(normal, bands, factors, vector.size, seed, scale)
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
    encode_factors(empty, np.zeros(5, np.int64))
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
