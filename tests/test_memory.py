from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl import Dense, ErrorFeedback, MomentumCorrection, NoMemory, SuRP
from surp_fl.memory import MAX_RESIDUAL_RATIO, State, fault_of
from tests.vectors import Vector, layout_for, vectors


@given(vectors(), st.integers(0, 2**32))
def test_wanted_is_sent_plus_residual(vector: Vector, seed: int) -> None:
    layout, memory = layout_for(vector), ErrorFeedback()
    codec = SuRP(budget=64).codec
    sent = codec.decode(codec.encode(vector, layout, rng=np.random.default_rng(seed)), layout)
    residual = memory.settle(vector, sent, {})["residual"]
    np.testing.assert_allclose(sent.astype(float) + residual, vector, rtol=2**-23)


def test_nothing_is_lost_over_many_rounds() -> None:
    rng = np.random.default_rng(0)
    deltas = rng.laplace(size=(30, 500)).astype(np.float32)
    layout, scheme = layout_for(deltas[0]), SuRP(budget=80)
    state: State = {}
    received = np.zeros(500)
    for delta in deltas:
        wanted = scheme.memory.recall(delta, state)
        sent = scheme.codec.decode(scheme.codec.encode(wanted, layout, rng=rng), layout)
        state = scheme.memory.settle(wanted, sent, state)
        received += sent
    np.testing.assert_allclose(received + state["residual"], deltas.sum(0, dtype=float), atol=1e-4)
    assert np.linalg.norm(received) > 0


def test_memories_do_not_change_the_state_they_are_given() -> None:
    state = {"residual": np.ones(4, np.float32)}
    memory = ErrorFeedback()
    memory.settle(memory.recall(np.ones(4, np.float32), state), np.zeros(4, np.float32), state)
    assert state["residual"].tolist() == [1, 1, 1, 1]


def test_a_residual_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the model changed"):
        ErrorFeedback().recall(np.ones(4, np.float32), {"residual": np.ones(3, np.float32)})


def test_no_memory_keeps_nothing() -> None:
    delta = np.ones(4, np.float32)
    assert NoMemory().recall(delta, {"residual": delta}).tolist() == delta.tolist()
    assert NoMemory().settle(delta, 0 * delta, {"residual": delta}) == {}


def test_dense_messages_leave_no_residual() -> None:
    assert isinstance(Dense().memory, NoMemory)


def test_the_residual_decays_by_the_share_that_is_not_kept() -> None:
    memory = ErrorFeedback(keep=0.5)
    state = memory.settle(np.array([4.0, -2.0], np.float32), np.array([0.0, -2.0], np.float32), {})
    np.testing.assert_array_equal(memory.recall(np.array([1.0, 1.0], np.float32), state), [3, 1])
    with pytest.raises(ValueError, match="from 0 to 1"):
        ErrorFeedback(keep=1.1)


def test_a_step_ahead_is_that_part_of_a_decaying_residual_which_will_be_sent() -> None:
    keep, sent = 0.9, 0.25
    memory = ErrorFeedback(keep=keep, step_ahead=1.0)
    wanted = np.array([3.0, 4.0, 0.0, 0.0], np.float32) * 2
    state = memory.settle(wanted, sent * wanted, {})
    left, told, held = (1 - sent), 0.0, 1 - (1 - sent) ** 2  # of its squared norm
    for _ in range(200):
        told, left = told + keep * held * left, keep * (1 - held) * left
    found = memory.ahead(state, 0.5)
    assert found is not None
    np.testing.assert_allclose(found, told * wanted, rtol=1e-5)
    whole = ErrorFeedback(step_ahead=1.0).ahead(state, 0.5)
    assert whole is not None
    np.testing.assert_array_equal(whole, state["residual"])
    for useless in (np.zeros(4, np.float32), -wanted):
        nothing = memory.ahead(memory.settle(wanted, useless, {}), 0.5)
        assert nothing is None or not nothing.any()


def test_a_step_ahead_is_a_share_of_the_residual_for_clients_that_sit_out_rounds() -> None:
    memory, state = ErrorFeedback(keep=0.5, step_ahead=0.5), {"residual": np.array([8.0, -4.0], np.float32)}
    for presence, share in ((0.0, 0.25), (0.1, 0.25), (0.5, 0.25), (0.75, 0.125)):
        found = memory.ahead(state, presence)
        assert found is not None
        assert found.tolist() == [share * 8, -share * 4]
    assert memory.ahead(state, 1.0) is memory.ahead({}, 0.1) is ErrorFeedback().ahead(state, 0.1) is None
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="step_ahead"):
            ErrorFeedback(step_ahead=wrong)


def test_options_may_lie_at_the_ends_of_what_makes_sense() -> None:
    assert ErrorFeedback(keep=0).keep == MomentumCorrection(keep=0).keep == MomentumCorrection(momentum=0).momentum == 0
    clipped = MomentumCorrection(clip=0.5).recall(np.array([0.6, -0.8], np.float32), {})
    np.testing.assert_allclose(clipped, [0.3, -0.4], rtol=1e-6)
    for wrong in ({"keep": -0.1}, {"keep": 1.5}, {"momentum": -0.1}, {"clip": -1.0}, {"clip": float("nan")}):
        with pytest.raises(ValueError, match="expected"):
            MomentumCorrection(**wrong)


def test_a_small_model_keeps_its_residual_beside_the_share_that_was_sent() -> None:
    memory = ErrorFeedback(keep=0.9, step_ahead=0.5)
    wanted = np.array([3e-6, 4e-6], np.float32)
    state = memory.settle(wanted, np.array([3e-6, 0], np.float32), {})
    assert len(state) == 2
    assert fault_of(state, 5e-6) is None


def test_a_residual_is_checked_against_the_norm_of_a_small_model_too() -> None:
    owed = {"residual": np.array([0.5], np.float32)}
    assert fault_of(owed, 0.4 / MAX_RESIDUAL_RATIO) is not None
    assert fault_of(owed, 0.6 / MAX_RESIDUAL_RATIO) is None
