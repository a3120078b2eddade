"""The baselines do what their papers say, on vectors small enough to be worked out by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from surp_fl import DGC, QSGD, ErrorFeedback, Layout, MalformedMessage, MomentumCorrection, RTopK, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.frame import HEADER_BYTES, pack, scheme_id_of
from surp_fl.memory import Memory, State
from tests.vectors import Vector

HAND = np.array([0.5, -4.0, 0.0, 3.0, -0.25, 1.0, 2.0, -1.5], np.float32)


def through(scheme: Scheme, vector: Vector, seed: int = 0) -> Vector:
    layout = Layout.of({"w": vector})
    return scheme.codec.decode(scheme.codec.encode(vector, layout, rng=np.random.default_rng(seed)), layout)


def test_top_k_sends_the_largest_as_they_are() -> None:
    np.testing.assert_array_equal(through(TopK(sparsity=5 / 8), HAND), [0, -4, 0, 3, 0, 0, 2, 0])
    np.testing.assert_array_equal(through(TopK(sparsity=0), HAND), HAND)
    full = np.arange(1, 9, dtype=np.float32)  # 8 gaps of a bit and 8 values: 33 bytes, and not a bit to spare
    np.testing.assert_array_equal(through(TopK(sparsity=0), full), full)


def test_top_k_fills_its_budget_with_values() -> None:
    """4 bytes of frame, 1 of count, 1 of width leave 752 bits: a gap takes 9, the first 22, a value 32; 18 take 751."""
    vector = np.zeros(8000, np.float32)
    vector[::250] = np.arange(1, 33)
    sent = through(TopK(budget=100), vector)
    assert sorted(sent[sent > 0].tolist()) == list(range(15, 33))


def test_half_a_value_is_rounded_to_nearest() -> None:
    vector = np.array([1 + 2**-8, 1 + 3 * 2**-8, -np.pi, np.finfo(np.float32).max], np.float32)  # ties go to even
    sent = through(TopK(sparsity=0, value_bits=16), vector)
    np.testing.assert_array_equal(sent, np.array([1, 1 + 2**-6, -3.140625, (2 - 2**-7) * 2.0**127], np.float32))


@pytest.mark.compiled
def test_r_top_k_draws_evenly_among_the_r_largest() -> None:
    counts: Counter[int] = Counter()
    for seed in range(600):
        sent = through(RTopK(sparsity=6 / 8, ratio=2), HAND, seed)  # 2 of the 4 largest
        assert np.count_nonzero(sent) == 2
        counts.update(np.flatnonzero(sent).tolist())
    assert set(counts) == {1, 3, 6, 7}
    assert all(240 < count < 360 for count in counts.values())  # 300 expected, 12 of standard deviation


def test_r_top_k_with_ratio_one_is_top_k() -> None:
    np.testing.assert_array_equal(through(RTopK(budget=30, ratio=1), HAND), through(TopK(budget=30), HAND))


def test_momentum_correction_and_masking_by_hand() -> None:
    """m = 0.5. Round 1: u = v = g. Round 2: u = 0.5·u + g, v = v + u; what was sent started from zero again."""
    memory = MomentumCorrection(momentum=0.5)
    first = np.array([4.0, 1.0, -2.0], np.float32)
    wanted = memory.recall(first, {})
    np.testing.assert_array_equal(wanted, first)
    state = memory.settle(wanted, np.array([4.0, 0, 0], np.float32), {})
    np.testing.assert_array_equal(state["velocity"], [0, 1, -2])
    np.testing.assert_array_equal(state["residual"], [0, 1, -2])

    second = np.array([1.0, 1.0, 1.0], np.float32)
    wanted = memory.recall(second, state)
    np.testing.assert_array_equal(wanted, [1, 1 + 1.5, -2 + 0])  # u = [1, 1.5, 0]
    state = memory.settle(wanted, np.array([0, 2.5, 0], np.float32), state)
    np.testing.assert_array_equal(state["velocity"], [1, 0, 0])
    np.testing.assert_array_equal(state["residual"], [1, 0, -2])


def test_a_delta_is_clipped_before_it_joins_the_momentum() -> None:
    memory = MomentumCorrection(momentum=0.5, clip=2.5)
    np.testing.assert_allclose(memory.recall(np.array([3.0, 4.0], np.float32), {}), [1.5, 2.0])
    np.testing.assert_array_equal(memory.recall(np.array([1.0, 2.0], np.float32), {}), [1, 2])


def test_debts_under_momentum_fade() -> None:
    memory = MomentumCorrection(momentum=0.5, keep=0.25)
    state = {"residual": np.array([8, 4], np.float32), "velocity": np.array([2, 0], np.float32)}
    wanted = memory.recall(np.array([1, 1], np.float32), state)
    np.testing.assert_array_equal(wanted, [0.25 * 8 + 0.5 * 2 + 1, 0.25 * 4 + 1])
    after = memory.settle(wanted, np.array([4, 0], np.float32), state)
    np.testing.assert_array_equal(after["residual"], [0, 2])
    np.testing.assert_array_equal(after["velocity"], [0, 1])


def test_without_momentum_it_is_error_feedback() -> None:
    rng = np.random.default_rng(0)
    states: list[State] = [{}, {}]
    memories: tuple[Memory, Memory] = (MomentumCorrection(momentum=0), ErrorFeedback())
    for _ in range(5):
        delta = rng.integers(-8, 9, 50).astype(np.float32)
        wanted = [memory.recall(delta, state) for memory, state in zip(memories, states, strict=True)]
        np.testing.assert_array_equal(wanted[0], wanted[1])
        sent = [through(TopK(sparsity=0.8), each) for each in wanted]
        states = [
            memory.settle(each, gone, state)
            for memory, each, gone, state in zip(memories, wanted, sent, states, strict=True)
        ]
        np.testing.assert_array_equal(states[0]["residual"], states[1]["residual"])


def test_dgc_warms_up_and_then_keeps_its_budget() -> None:
    scheme = DGC(budget=2050)
    assert [scheme.in_round(server_round).sparsity for server_round in (1, 2, 3, 4)] == [0.75, 0.9375, 0.984375, 0.996]
    assert scheme.in_round(5) is scheme
    vector = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert np.count_nonzero(through(scheme.in_round(1), vector)) == 250


def test_a_sampled_threshold_sends_about_as_many_and_the_largest() -> None:
    vector = np.random.default_rng(0).laplace(size=100_000).astype(np.float32)
    sent = np.flatnonzero(through(DGC(sparsity=0.99, sample=0.1), vector))
    assert 700 < sent.size < 1400
    assert np.abs(vector[sent]).min() >= np.delete(np.abs(vector), sent).max()


@pytest.mark.compiled
def test_qsgd_rounds_to_levels_of_the_norm_and_is_right_on_average() -> None:
    vector = np.array([3.0, -4.0, 0.0, 1.0], np.float32)  # norms 5 and 1 in buckets of two
    sent = np.array([through(QSGD(bits=3, bucket=2), vector, seed) for seed in range(2000)])
    assert set(sent[:, 0].tolist()) == {np.float32(5 / 3), np.float32(10 / 3)}  # 3/5 lies between 1/3 and 2/3
    assert set(sent[:, 3].tolist()) == {1.0}
    assert not sent[:, 2].any()
    np.testing.assert_allclose(sent.mean(0), vector, atol=0.08)  # 4 standard deviations of the mean


def test_qsgd_takes_a_byte_a_coordinate() -> None:
    layout = Layout.of({"w": np.ones(10_000, np.float32)})
    message = QSGD().codec.encode(np.ones(10_000, np.float32), layout, rng=np.random.default_rng(0))
    assert len(message) == 4 + 1 + 2 + 20 * 4 + 10_000


def test_at_least_one_coordinate_is_sent_even_among_many_equals() -> None:
    equal = np.ones(2000, np.float32)
    for scheme in (TopK(sparsity=0.9999), RTopK(sparsity=0.9999), DGC(sparsity=0.9999, sample=0.5)):
        assert np.count_nonzero(through(scheme, equal)) >= 1


def test_qsgd_is_read_in_blocks_that_know_their_buckets() -> None:
    vector = np.repeat(np.arange(1, 41, dtype=np.float32), 1000)
    sent = through(QSGD(bucket=1000), vector)
    assert (np.abs(sent - vector) <= vector * np.sqrt(1000) / 127).all()  # a level of each bucket's own norm


def test_of_equals_beyond_a_sampled_threshold_the_first_are_sent() -> None:
    vector = np.ones(2000, np.float32)
    vector[100::200] = 2  # ten of twenty
    sent = through(DGC(sparsity=0.99, sample=0.5), vector)
    assert np.flatnonzero(sent).tolist() == [*range(10), *range(100, 2000, 200)]


def test_qsgd_takes_no_memory_for_buckets_beyond_the_model() -> None:
    np.testing.assert_array_equal(through(QSGD(bucket=1 << 30), np.array([0, 2.0], np.float32)), [0, 2])


@pytest.mark.parametrize("norm", [-5.0, -1e-30, float("nan"), float("inf")])
def test_qsgd_refuses_a_norm_that_is_negative_or_not_finite(norm: float) -> None:
    vector = np.array([3.0, -4.0], np.float32)
    layout, codec = Layout.of({"w": vector}), QSGD().codec
    message = codec.encode(vector, layout, rng=np.random.default_rng(0))
    body, five = message[HEADER_BYTES:], np.array(5, "<f4").tobytes()
    assert body.count(five) == 1

    def with_norm(number: bytes) -> bytes:
        return pack(scheme_id_of(message), body.replace(five, number), layout.fingerprint)

    assert with_norm(five) == message
    with pytest.raises(MalformedMessage, match="a norm that no encoder writes"):
        codec.decode(with_norm(np.array(norm, "<f4").tobytes()), layout)


def test_a_debt_of_error_feedback_is_taken_over_by_momentum_correction() -> None:
    state = ErrorFeedback().settle(np.ones(3, np.float32), np.zeros(3, np.float32), {})
    np.testing.assert_array_equal(MomentumCorrection().recall(np.ones(3, np.float32), state), [2, 2, 2])


def test_huge_deltas_are_clipped_and_not_lost() -> None:
    clipped = MomentumCorrection(clip=5.0).recall(np.array([3e30, 4e30], np.float32), {})
    np.testing.assert_allclose(clipped, [3, 4], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: TopK(), "give one of the two"),
        (lambda: TopK(budget=100, sparsity=0.9), "give one of the two"),
        (lambda: TopK(budget=5), "needs 16"),
        (lambda: TopK(sparsity=99.9), "such as 0.999"),
        (lambda: TopK(budget=100, value_bits=8), "expected 16 or 32"),
        (lambda: RTopK(budget=100, ratio=0.5), "at least 1"),
        (lambda: RTopK(budget=100, ratio=float("inf")), "finite"),
        (lambda: DGC(budget=100, sample=2), "such as 0.01"),
        (lambda: QSGD(bits=1), "expected 2 to 16"),
        (lambda: QSGD(bucket=0), "expected 1 to"),
        (lambda: MomentumCorrection(momentum=1), "less than 1"),
        (lambda: MomentumCorrection(clip=0), "positive norm"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make()  # type: ignore[operator]
