"""What every scheme must hold, run over the table of schemes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from surp_fl import QSGD, STC, Dense, Layout, MalformedMessage, PaperSuRP, SuRP, TopK
from surp_fl.codecs import READERS, reader_of
from surp_fl.codecs.codec import Scheme
from surp_fl.codecs.reader import BitBreakdown
from surp_fl.codecs.surp_paper.scales import l1
from surp_fl.frame import pack
from tests.schemes import SCHEMES, Row
from tests.vectors import AWKWARD, Vector, layout_for, vectors

TARGET = AWKWARD["light tail"][:600]  # whose messages are damaged
every_scheme = pytest.mark.parametrize("row", SCHEMES, ids=str)


def encode(row: Row, vector: Vector, seed: int = 0) -> bytes:
    return row.scheme.codec.encode(vector, layout_for(vector), rng=np.random.default_rng(seed))


@cache
def message_of(row: Row) -> bytes:
    """That of TARGET, made once."""
    return encode(row, TARGET)


def fits(row: Row, vector: Vector) -> bool:
    """β = 1.5 needs three coordinates or more."""
    return len(vector) >= 3 or "beta" not in row.name


@every_scheme
@settings(max_examples=60)
@given(vector=vectors(max_size=1500), seed=st.integers(0, 2**32))
def test_messages_decode_within_budget_to_finite_vectors(row: Row, vector: Vector, seed: int) -> None:
    if not fits(row, vector):
        return
    message = encode(row, vector, seed)
    assert row.budget is None or len(message) <= row.budget
    decoded = row.scheme.codec.decode(message, layout_for(vector))
    assert decoded.dtype == np.float32
    assert decoded.shape == vector.shape
    assert np.isfinite(decoded).all()
    if row.registered.keeps_signs:
        assert (np.sign(decoded) * np.sign(vector) >= 0).all()


@every_scheme
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_vectors_are_encoded(row: Row, name: str) -> None:
    vector = AWKWARD[name]
    if fits(row, vector):
        decoded = row.scheme.codec.decode(encode(row, vector), layout_for(vector))
        before, after = (np.square(part.astype(float)).sum() for part in (vector, vector.astype(float) - decoded))
        assert after <= before or not row.registered.contractive


@every_scheme
def test_dense_and_sparse_decoding_agree(row: Row) -> None:
    vector = AWKWARD["heavy tail"]
    layout = layout_for(vector)
    indices, values = row.scheme.codec.decode_sparse(encode(row, vector), layout)
    assert indices.dtype == np.dtype(np.int64)
    assert values.dtype == np.dtype(np.float32)
    assert (np.diff(indices) > 0).all()
    scattered = np.zeros(len(vector), np.float32)
    scattered[indices] = values
    np.testing.assert_array_equal(scattered, row.scheme.codec.decode(encode(row, vector), layout))


@every_scheme
@given(vector=vectors())
def test_the_bits_of_a_message_add_up_to_no_more_than_it(row: Row, vector: Vector) -> None:
    if not fits(row, vector):
        return
    layout, message = layout_for(vector), encode(row, vector)
    parts = row.scheme.codec.reader.bit_breakdown(message, layout)
    assert min(parts) >= 0
    header = 8 * len(message) - sum(parts)
    assert header >= 32
    sent = int(np.count_nonzero(row.scheme.codec.decode(message, layout)))
    assert parts.magnitudes > 0 or sent == 0
    assert parts.signs > 0 or sent == 0


def test_the_bit_breakdown_of_known_messages() -> None:
    layout = Layout.of({"w": np.zeros(1 << 12, np.float32)})
    vector = np.zeros(1 << 12, np.float32)
    vector[[5, 700, 3000]] = 1, -2, 3
    alone = np.zeros(1 << 12, np.float32)
    alone[700] = -1

    def parts(scheme: Scheme, sent: Vector) -> BitBreakdown:
        return scheme.codec.reader.bit_breakdown(
            scheme.codec.encode(sent, layout, rng=np.random.default_rng(0)), layout
        )

    assert parts(Dense(), vector) == (0, 4096, 31 * 4096)
    assert parts(QSGD(bits=8, bucket=512), vector) == (0, 4096, 7 * 4096 + 8 * 32)
    gaps = 3 * (1 + 10) + (5 >> 10) + (694 >> 10) + (2299 >> 10)  # Rice, with 10 low bits
    assert parts(TopK(budget=218), vector) == (gaps, 3, 3 * 31)
    assert parts(STC(budget=218), vector) == (gaps, 3, 16)
    assert parts(PaperSuRP(steps=1), vector) == (12, 1, 16)
    assert parts(SuRP(budget=218), alone) == pytest.approx((12, 1, 13), abs=0.01)


@every_scheme
def test_the_same_seed_gives_the_same_bytes_and_encoding_leaves_the_vector_alone(row: Row) -> None:
    vector = AWKWARD["heavy tail"]
    copy = vector.copy()
    assert encode(row, vector, 7) == encode(row, vector, 7)
    np.testing.assert_array_equal(vector, copy)


@every_scheme
def test_decoding_needs_nothing_but_bytes_and_layout(row: Row) -> None:
    """The server finds the reader in the table; no option of the encoder's scheme reaches it."""
    vector = AWKWARD["heavy tail"]
    message = encode(row, vector)
    np.testing.assert_array_equal(
        reader_of(bytes(message)).decode(message, layout_for(vector)),
        row.scheme.codec.decode(message, layout_for(vector)),
    )


@every_scheme
def test_an_empty_model_is_sent(row: Row) -> None:
    layout = Layout.of({"counter": np.array([3])})
    message = row.scheme.codec.encode(np.empty(0, np.float32), layout, rng=np.random.default_rng(0))
    assert row.scheme.codec.decode(message, layout).shape == (0,)


@every_scheme
@settings(max_examples=3 * settings().max_examples)
@given(st.data())
def test_damaged_messages_raise_malformed_message_and_nothing_else(row: Row, data: st.DataObject) -> None:
    layout, original = layout_for(TARGET), message_of(row)
    message = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(message) - 1))
        message[where] ^= data.draw(st.integers(1, 255))
    assume(message != original)
    with pytest.raises(MalformedMessage):
        row.scheme.codec.decode(bytes(message), layout)


@every_scheme
@settings(max_examples=3 * settings().max_examples)
@given(st.data())
def test_bodies_of_any_bytes_decode_or_raise_malformed_message(row: Row, data: st.DataObject) -> None:
    """With a valid frame around them, as an attacker would send them."""
    layout, reader = layout_for(TARGET), row.scheme.codec.reader
    body = bytearray(message_of(row)[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(body)))
        body[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        decoded = reader.decode(pack(reader.scheme_id, bytes(body), layout.fingerprint), layout)
    except MalformedMessage:
        return
    assert np.isfinite(decoded).all()


@every_scheme
def test_a_message_for_another_model_is_refused(row: Row) -> None:
    vector = AWKWARD["heavy tail"]
    other = Layout.of({"renamed": vector})
    with pytest.raises(MalformedMessage, match="other names or shapes"):
        row.scheme.codec.decode(encode(row, vector), other)


@every_scheme
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_diverged_update_is_refused(row: Row, broken: float) -> None:
    vector = AWKWARD["heavy tail"].copy()
    vector[17] = broken
    with pytest.raises(ValueError, match="diverged"):
        encode(row, vector)


@every_scheme
def test_another_shape_or_dtype_is_refused(row: Row) -> None:
    layout, rng = Layout.of({"a": np.zeros(4, np.float32)}), np.random.default_rng(0)
    for wrong in (np.zeros(5, np.float32), np.zeros((2, 2), np.float32), np.zeros(4)):
        with pytest.raises(ValueError, match="expected float32 of shape"):
            row.scheme.codec.encode(wrong, layout, rng=rng)  # type: ignore[arg-type]


@every_scheme
def test_an_update_of_zeros_says_nothing_in_the_dtypes_of_any_other(row: Row) -> None:
    vector = np.zeros(300, np.float32)
    indices, values = row.scheme.codec.decode_sparse(encode(row, vector), layout_for(vector))
    assert (indices.dtype, values.dtype) == (np.dtype(np.int64), np.dtype(np.float32))
    assert not values.any()


def test_a_reference_that_does_not_fit_is_named() -> None:
    layout, codec = Layout.of({"a": np.zeros(4, np.float32)}), SuRP(budget=40).codec
    fits = np.ones(4, np.float32)
    wrongs: list[Any] = [np.ones(5, np.float32), (fits, np.ones(5, np.float32)), (np.ones(4), fits)]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="the reference is float"):
            codec.encode(fits, layout, rng=np.random.default_rng(0), reference=wrong)


def test_ids_stand_for_the_same_formats_for_ever() -> None:
    names = {0: "dense", 1: "surp-paper", 2: "stc", 3: "surp", 4: "sparse", 5: "qsgd", 6: "eden", 7: "surp-unbiased"}
    names |= {8: "surp-laplacian"}
    names |= {9: "sign"}
    names |= {12: "cast"}
    names |= {13: "random-k"}
    names |= {14: "sbc"}
    names |= {10: "ternary"}
    names |= {11: "power-sgd"}
    assert {scheme_id: reader.name for scheme_id, reader in READERS.items()} == names
    assert {row.scheme.codec.reader.scheme_id for row in SCHEMES} == set(READERS)


def test_another_scheme_is_named() -> None:
    vector = AWKWARD["heavy tail"]
    message = Dense().codec.encode(vector, layout_for(vector), rng=np.random.default_rng(0))
    with pytest.raises(MalformedMessage, match="reads 'surp', this message is 'dense': give client and server"):
        SuRP(budget=218).codec.decode(message, layout_for(vector))


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(MalformedMessage, match="scheme id 31; this end knows"):
        reader_of(pack(31, b"", 0))


def test_dense_loses_nothing() -> None:
    vector = AWKWARD["all of float32's range"]
    layout = layout_for(vector)
    codec = Dense().codec
    message = codec.encode(vector, layout, rng=np.random.default_rng(0))
    assert len(message) == 4 * len(vector) + 4
    np.testing.assert_array_equal(codec.decode(message, layout), vector)


@pytest.mark.parametrize("budget", [24, 50, 100, 218, 500, 2050, 20_000])
def test_paper_surp_uses_its_budget_to_within_one_step(budget: int) -> None:
    vector = np.random.default_rng(0).laplace(size=431_080).astype(np.float32)
    layout = Layout.of({"a": vector})
    message = PaperSuRP(budget=budget).codec.encode(vector, layout, rng=np.random.default_rng(0))
    assert budget - 6 <= len(message) <= budget  # a step, its sign and a refresh in front of it are 43 bits


def test_paper_surp_does_better_with_more_bytes() -> None:
    vector = np.random.default_rng(0).standard_t(3, size=50_000).astype(np.float32)
    layout = Layout.of({"a": vector})
    errors = []
    for budget in (50, 100, 200, 400, 800, 1600):
        codec = PaperSuRP(budget=budget).codec
        decoded = codec.decode(codec.encode(vector, layout, rng=np.random.default_rng(0)), layout)
        errors.append(float(np.linalg.norm(vector - decoded)))
    assert errors == sorted(errors, reverse=True)


def test_paper_surp_stops_at_its_steps() -> None:
    vector = np.random.default_rng(0).laplace(size=1000).astype(np.float32)
    layout = Layout.of({"a": vector})
    codec = PaperSuRP(steps=3).codec
    indices, _ = codec.decode_sparse(codec.encode(vector, layout, rng=np.random.default_rng(0)), layout)
    assert 1 <= len(indices) <= 3


@pytest.mark.parametrize("sparsity", [0.999, 0.99, 0.9])
def test_paper_surp_stops_at_its_sparsity(sparsity: float) -> None:
    vector = np.random.default_rng(0).laplace(size=10_000).astype(np.float32)
    layout = Layout.of({"a": vector})
    codec = PaperSuRP(sparsity=sparsity).codec
    decoded = codec.decode(codec.encode(vector, layout, rng=np.random.default_rng(0)), layout)
    assert np.count_nonzero(decoded) == round((1 - sparsity) * 10_000)


def test_scales_of_layers_come_out_of_the_message() -> None:
    """One layer a thousand times smaller is refined like the other."""
    rng = np.random.default_rng(0)
    arrays = {"large": rng.laplace(size=500), "small": rng.laplace(size=500) / 1000}
    layout = Layout.of(arrays)
    for scale, both in ((None, False), (l1, True)):
        codec = PaperSuRP(budget=200, scale=scale).codec
        message = codec.encode(layout.flatten(arrays), layout, rng=rng)
        indices, _ = codec.decode_sparse(message, layout)
        assert bool((indices >= 500).any()) is both


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "where to stop"),
        ({"budget": 5}, "budget = 5"),
        ({"steps": 0}, "steps = 0"),
        ({"sparsity": 1.0}, "sparsity = 1"),
        ({"budget": 218, "beta": -1.0}, "beta = -1"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PaperSuRP(**options)  # type: ignore[arg-type]


def test_a_budget_that_cannot_hold_the_scales_is_refused() -> None:
    arrays = {f"layer{i}": np.ones(3, np.float32) for i in range(100)}
    layout = Layout.of(arrays)
    with pytest.raises(ValueError, match="needs 211: raise the budget, or use scale=None"):
        PaperSuRP(budget=100, scale=l1).codec.encode(layout.flatten(arrays), layout, rng=np.random.default_rng(0))
