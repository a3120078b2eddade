"""Rank-one terms: what they hold, what they cost a decoder, and when they are used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from surp_fl import Layout, MalformedMessage, SuRP, truncate
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.rank_one import MAX_TERMS, TermReader, layers_with_terms, write_term
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.frame import pack
from tests.fuzz.writer import has_terms

RNG = np.random.default_rng(0)


def outer(rows: int, columns: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A layer of rank one whose entries are all about as large, and a bias."""
    rng = np.random.default_rng(seed)
    signs = [rng.choice([-1.0, 1.0], size) for size in (rows, columns)]
    noise = 0.1 * rng.standard_normal((rows, columns))
    return {"w": (np.outer(*signs) + noise).astype(np.float32), "b": np.zeros(rows, np.float32)}


def error(vector: np.ndarray, scheme: SuRP, layout: Layout, reference: np.ndarray | None = None) -> float:
    message = scheme.codec.encode(vector, layout, rng=RNG, reference=reference)
    assert len(message) <= scheme.bytes_for(layout)
    decoded = scheme.codec.decode(message, layout, reference=reference)
    return float(np.linalg.norm(vector - decoded) / np.linalg.norm(vector))


def test_a_rank_one_layer_takes_a_bit_for_each_row_and_column() -> None:
    arrays = outer(200, 300)
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays)
    assert error(vector, SuRP(90, rank_one=1.0), layout) < 0.15  # 500 signs are 63 bytes
    assert error(vector, SuRP(90, rank_one=0), layout) > 0.99
    held = [1 - error(vector, SuRP(budget), layout) ** 2 for budget in (50, 60, 70)]  # some of the rows
    assert held[0] > 0.05
    assert held[0] < held[1] - 0.05 < held[2] - 0.1


def test_terms_are_for_updates_of_low_rank_and_not_for_residuals_of_low_rank() -> None:
    arrays = outer(200, 300)
    layout = Layout.of(arrays)
    residual = layout.flatten(arrays)
    sparse = RNG.standard_t(3, layout.size).astype(np.float32)

    def encode(vector: np.ndarray, delta: np.ndarray | None, share: float) -> bytes:
        return SuRP(90, rank_one=share).codec.encode(vector, layout, rng=RNG, delta=delta)

    assert encode(sparse + 10 * residual, sparse, 1) == encode(sparse + 10 * residual, None, 0)
    assert encode(sparse + 10 * residual, None, 1) != encode(sparse + 10 * residual, None, 0)
    assert encode(sparse, None, 1) == encode(sparse, None, 0)
    assert encode(residual, residual, 1) == encode(residual, None, 1) != encode(residual, None, 0)


def test_terms_go_first_to_the_layer_that_moved_more_in_this_round() -> None:
    signs = [outer(100, 150, seed)["w"].astype(np.float32) for seed in (1, 2)]
    layout = Layout.of({"a": signs[0], "b": signs[1]})
    wanted = np.concatenate([1.05 * signs[0].ravel(), signs[1].ravel()]).astype(np.float32)

    def held(delta: np.ndarray) -> list[float]:
        message = SuRP(50).codec.encode(wanted, layout, rng=RNG, delta=delta)  # 250 signs are 32 bytes
        decoded = np.split(SuRP(50).codec.decode(message, layout), 2)
        return [float(part @ own) / float(own @ own) for part, own in zip(decoded, np.split(wanted, 2), strict=True)]

    moved = wanted.copy()
    moved[: signs[0].size] *= 0.5
    first, second = held(wanted)
    assert first > 0.9 > 0.3 > second  # the longer one
    first, second = held(moved)
    assert second > 0.9 > 0.3 > first


@pytest.mark.parametrize(("noise", "used"), [(4, True), (7.5, False)])
def test_where_bits_are_few_terms_have_to_hold_three_times_as_much(noise: float, used: bool) -> None:
    """700 signs among 120,000 coordinates in 100 bytes: of noise 4 they hold five times as much, of 7.5 1.5 times."""
    rng = np.random.default_rng(0)
    signs = np.outer(rng.choice([-1, 1], 300), rng.choice([-1, 1], 400))
    arrays = {"w": (signs + noise * rng.standard_normal(signs.shape)).astype(np.float32)}
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays)
    messages = [SuRP(100, rank_one=share).codec.encode(vector, layout, rng=RNG) for share in (0, 1)]
    assert (messages[0] != messages[1]) is used


@pytest.mark.compiled
@pytest.mark.parametrize(("rows", "used"), [(15, False), (16, True)])
def test_thin_layers_have_no_terms(rows: int, used: bool) -> None:
    arrays = outer(rows, 300)
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays)
    messages = [SuRP(90, rank_one=share, progressive=True).codec.encode(vector, layout, rng=RNG) for share in (0, 1)]
    assert (messages[0] != messages[1]) is used


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e25])
def test_vectors_of_any_scale_are_encoded(scale: float) -> None:
    arrays = outer(200, 300)
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays) * np.float32(scale)
    message = SuRP(90).codec.encode(vector, layout, rng=RNG)
    assert np.isfinite(SuRP(90).codec.decode(message, layout)).all()


@pytest.mark.compiled
@given(st.integers(0, 2**32), st.integers(60, 3000))
def test_terms_whose_bits_were_underestimated_are_dropped_until_the_message_fits(seed: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {f"{i}": rng.choice([-1, 1], (16, 64)) * rng.exponential(size=(16, 1)) for i in range(12)}
    layout = Layout.of({name: array.astype(np.float32) for name, array in arrays.items()})
    vector = layout.flatten({name: array.astype(np.float32) for name, array in arrays.items()})
    assert error(vector, SuRP(budget), layout) < 1


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(3))
def test_a_last_term_is_made_to_fit_and_none_is_lost_at_the_end(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {
        f"{i}": 0.9**i * np.outer(rng.uniform(-1, 1, 60), rng.uniform(-1, 1, 80)) + 0.2 * rng.standard_normal((60, 80))
        for i in range(8)
    }
    layout = Layout.of({name: array.astype(np.float32) for name, array in arrays.items()})
    vector = layout.flatten({name: array.astype(np.float32) for name, array in arrays.items()})
    held = np.array([1 - error(vector, SuRP(budget), layout) ** 2 for budget in range(40, 160, 3)])
    assert (held >= 0.85 * np.maximum.accumulate(held)).all()  # a lost term would take 35 % with it
    assert held[8] > 0.19  # at 64 bytes, where the second term does not fit as it is


def test_terms_keep_to_their_share_of_the_bits() -> None:
    arrays = outer(200, 300)
    arrays["w"] += 0.9 * outer(200, 300, seed=1)["w"]
    arrays["b"] = np.random.default_rng(0).standard_t(3, 200).astype(np.float32) * 5
    layout = Layout.of(arrays)
    vector = layout.flatten(arrays)

    def errors(share: float) -> tuple[float, float]:
        message = SuRP(150, rank_one=share).codec.encode(vector, layout, rng=RNG)
        assert has_terms(message)
        left = np.square(vector - SuRP(150).codec.decode(message, layout))
        return float(left[:60_000].sum() / 60_000), float(left[60_000:].sum() / np.square(arrays["b"]).sum())

    assert 0.8 < errors(0.5)[0] < 0.9  # 500 signs are 63 bytes: the first term is told, and not the second
    assert errors(1.0)[0] < 0.1
    assert errors(0.5)[1] < 0.1 < errors(1.0)[1]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="rank_one"):
        SuRP(218, rank_one=share)


@pytest.mark.compiled
@given(st.integers(0, 2**32), st.integers(20, 400), st.booleans(), st.floats(0.1, 1))
def test_every_prefix_decodes_and_no_message_exceeds_its_budget(
    seed: int, budget: int, contextual: bool, share: float
) -> None:
    rng = np.random.default_rng(seed)
    arrays = {"a": rng.standard_normal((40, 15, 4)), "b": rng.standard_normal((17, 30)), "c": rng.standard_normal(7)}
    layout = Layout.of({name: array.astype(np.float32) for name, array in arrays.items()})
    vector = (0.2 * rng.standard_normal(layout.size)).astype(np.float32)
    vector[: 40 * 60] += np.outer(rng.choice([-1, 1], 40), rng.choice([-1, 1], 60)).ravel().astype(np.float32)
    reference = rng.standard_normal(layout.size).astype(np.float32) if contextual else None
    scheme = SuRP(budget, rank_one=share)
    message = scheme.codec.encode(vector, layout, rng=rng, reference=reference)
    assert len(message) <= budget
    event(f"terms: {has_terms(message)}")
    assert has_terms(message) or share * budget < 25 or budget > 100
    whole = scheme.codec.decode(message, layout, reference=reference)
    indices, values = scheme.codec.decode_sparse(message, layout, reference=reference)
    np.testing.assert_array_equal(whole[indices], values)
    for length in range(5, len(message)):
        scheme.codec.decode(truncate(message, length), layout, reference=reference)


@given(st.integers(0, 2**32))
def test_terms_are_read_as_they_were_written(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = Layout.of({"a": np.zeros((9, 5)), "b": np.zeros((3, 50)), "c": np.zeros((4, 40))})
    side = Context.of(layout, rng.standard_normal(layout.size).astype(np.float32)).side
    layers = layers_with_terms(side)
    assert len(layers) == 2  # three rows are too few
    encoder, written, previous = RangeEncoder(4096), [], 0
    for _ in range(5):
        place, code = int(rng.integers(2)), int(rng.integers(1, 8192))
        rows, columns = side.rows[layers[place]], side.columns[layers[place]]
        half = rng.choice([0.02, 0.2])
        signs = [rng.choice([-1, 0, 1], size, p=[half, 1 - 2 * half, half]).astype(np.int8) for size in (rows, columns)]
        write_term(encoder, side, layers, place, previous, code, *signs)
        written.append((int(layers[place]), code, *signs))
        previous = code
    reader, decoder = TermReader(side), RangeDecoder(encoder.finish())
    for layer, code, row_signs, column_signs in written:
        reader.read(decoder)
        assert (reader.layer, reader.code) == (layer, code)
        np.testing.assert_array_equal(reader.row_signs, row_signs)
        np.testing.assert_array_equal(reader.column_signs, column_signs)
        assert reader.sign_bits == np.count_nonzero(row_signs) + np.count_nonzero(column_signs)
        sums, start = np.zeros(layout.size), side.start[layer]
        reader.add_to(sums, 3.0)
        expected = 3 * np.outer(row_signs.astype(int), column_signs.astype(int)).ravel()
        np.testing.assert_array_equal(sums[start : start + expected.size], expected)
        assert np.count_nonzero(sums) == np.count_nonzero(expected)


def test_a_term_that_asks_for_more_work_than_its_bytes_pay_for_is_refused() -> None:
    layout = Layout.of({"w": np.broadcast_to(np.float32(0), (20_000, 20_000))})
    side = Context.of(layout, None).side
    encoder = RangeEncoder(1 << 16)
    encoder.grant(0)
    ones = np.ones(20_000, np.int8)
    write_term(encoder, side, layers_with_terms(side), 0, 0, 5, ones, ones)
    assert encoder.overdrawn
    decoder, reader = RangeDecoder(encoder.finish()), TermReader(side)
    decoder.grant(0)
    reader.read(decoder)
    assert decoder.overdrawn
    assert decoder.exhausted()


@pytest.mark.parametrize("terms", [0, MAX_TERMS + 1])
def test_a_number_of_terms_that_no_encoder_writes_is_malformed(terms: int) -> None:
    from surp_fl.entropy.integers import encode_uint

    layout = Layout.of({"w": np.zeros((30, 30), np.float32)})
    encoder = RangeEncoder(64)
    encoder.encode(3, 1, 4)
    encoder.encode(0, 1, 4)
    encode_uint(encoder, terms)
    encode_uint(encoder, 1)
    with pytest.raises(MalformedMessage):
        SuRP(218).codec.decode(pack(3, encoder.finish(), layout.fingerprint), layout)
