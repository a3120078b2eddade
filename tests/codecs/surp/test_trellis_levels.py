"""Parts of the trellis mode: states, paths, contexts, levels."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from surp_fl.codecs.surp.trellis.level_coder import decode_layer, encode_layer
from surp_fl.codecs.surp.trellis.level_models import LevelModels
from surp_fl.codecs.surp.trellis.level_reader import magnitudes_of
from surp_fl.codecs.surp.trellis.magnitude_context import CONTEXTS, MagnitudeContext, code_of_mean, contexts_of, mean_of
from surp_fl.codecs.surp.trellis.quantisation import PRIOR_RATES
from surp_fl.codecs.surp.trellis.search import RATES, choose_levels, usual_magnitudes
from surp_fl.codecs.surp.trellis.sign_lags import SignLags
from surp_fl.codecs.surp.trellis.step_search import next_step
from surp_fl.codecs.surp.trellis.transitions import STATES, after_zeros, next_state
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder

FIRST = magnitudes_of(7, 5) / 16
LAGS = SignLags(np.array([1, 7, 39], np.int64), np.array([-3, 32, 5], np.int64))


def test_states_of_even_and_odd_levels_are_those_of_ungerboecks_trellis() -> None:
    """Subsets by state, even level first: D0 D2, D3 D1, D0 D2 crossed, …, as Marcellin and Fischer draw them."""
    by_hand = [(0, 1), (3, 2), (5, 4), (6, 7), (1, 0), (2, 3), (4, 5), (7, 6)]
    assert [(next_state(s, 0), next_state(s, 1)) for s in range(STATES)] == by_hand
    for state in range(STATES):  # each has two that lead to it, from both halves
        assert sorted(s // 4 for s in range(STATES) if state in by_hand[s]) == [0, 1]


@pytest.mark.parametrize("state", range(STATES))
def test_zeros_lead_where_they_lead_one_by_one(state: int) -> None:
    after = state
    for count in range(12):
        assert after_zeros(state, count) == after
        after = next_state(after, 0)


@pytest.mark.parametrize("scale", [0.4, 1.5])  # with the smaller one, most coordinates have no level but 0
def test_the_path_is_the_best_of_all_paths(scale: float) -> None:
    """Against every combination of levels of five coordinates."""
    rng = np.random.default_rng(1)
    rates, slope = PRIOR_RATES.reshape(2, CONTEXTS, RATES), 0.3
    for start in range(STATES):
        sizes, contexts = rng.exponential(scale, 5).astype(np.float32), rng.integers(25, 40, 5).astype(np.int16)
        levels = np.empty(5, np.int32)
        end, squares, bits = choose_levels(sizes, contexts, PRIOR_RATES, slope, usual_magnitudes(FIRST), start, levels)

        given = (start, sizes.tolist(), contexts.tolist())

        def cost(path: tuple[int, ...], of: Any = given, slope: float = slope) -> tuple[float, int]:
            total, state = 0.0, of[0]
            for level, size, context in zip(path, of[1], of[2], strict=True):
                magnitude = 0.0 if level == 0 else FIRST[state & 1] if level == 1 else 2 * level - (state & 1)
                if magnitude > 2 * size:
                    return math.inf, state
                total += (size - magnitude) ** 2 + slope * rates[state & 1, context, level]
                state = next_state(state, level & 1)
            return total, state

        assert cost(tuple(levels.tolist()))[1] == end
        best = min(cost(path)[0] for path in product(range(6), repeat=5))
        assert cost(tuple(levels.tolist()))[0] == pytest.approx(best)
        assert cost(tuple(levels.tolist()), slope=0.0)[0] == pytest.approx(squares)
        assert cost(tuple(levels.tolist()))[0] == pytest.approx(squares + slope * bits)


def test_the_trellis_beats_one_quantiser_at_high_rates() -> None:
    """Uniform numbers: a quantiser of step s has s²/12; eight states gain 0.9 dB at least (1.1 are known)."""
    sizes = np.random.default_rng(2).uniform(50, 60, 20_000).astype(np.float32)
    levels, contexts, state, squares = np.empty(20_000, np.int32), np.zeros(20_000, np.int16), 0, 0.0
    choose_levels(sizes, contexts, PRIOR_RATES, 0.0, usual_magnitudes(FIRST), 0, levels)
    for size, level in zip(sizes.tolist(), levels.tolist(), strict=True):
        squares += (size - (2 * level - (state & 1))) ** 2
        state = next_state(state, level & 1)
    assert 10 * math.log10((2**2 / 12) / (squares / 20_000)) > 0.9


@pytest.mark.parametrize("code", [1, 40, 64, 100, 127])
def test_levels_and_signs_come_back(code: int) -> None:
    rng = np.random.default_rng(code)
    levels = np.minimum(rng.geometric(1 / (1 + mean_of(code) / 4096), 1200) - 1, 2**24 - 1).astype(np.int32)
    signs = rng.choice([-1, 1], 1200).astype(np.float32)
    encoder, models = RangeEncoder(20_000), LevelModels()
    encode_layer(encoder, models, levels, signs, 40, code, *LAGS)
    values, decoder = np.zeros(1200, np.float32), RangeDecoder(encoder.finish())
    read = LevelModels()
    found = decode_layer(decoder, read, values, 40, code, *LAGS, 16 * FIRST, 1 / 16, 3e38, measured=False)
    assert not decoder.exhausted()
    assert found == 1200
    assert read.state == models.state
    state, by_hand = 0, []
    for level, sign in zip(levels.tolist(), signs.tolist(), strict=True):
        by_hand.append(sign * (0 if level == 0 else FIRST[state & 1] if level == 1 else 2 * level - (state & 1)))
        state = next_state(state, level & 1)
    np.testing.assert_array_equal(values, np.array(by_hand, np.float32))


def test_logarithms_are_those_of_the_format() -> None:
    log2 = MagnitudeContext(1, 1, 64).log2
    assert [log2(x) for x in (1, 2, 3, 4095)] == [0, 16, 25, 191]
    assert [log2(x) for x in (4096, 2**40)] == [192, 640]
    assert all(log2(x) == math.floor(16 * math.log2(x) + 1e-9) for x in range(1, 4096))


def test_contexts_tell_rows_and_columns_apart() -> None:
    """Once some rows are known, a coordinate's context is near the logarithm of its own mean."""
    rng = np.random.default_rng(3)
    means = np.outer(np.exp2(rng.integers(-2, 3, 200)), np.exp2(rng.integers(-2, 3, 100)))
    levels, contexts = rng.poisson(means).astype(np.int32).ravel(), np.empty(20_000, np.int16)
    contexts_of(levels, 100, code_of_mean(levels.mean()), contexts)
    found = 2.0 ** ((contexts.reshape(200, 100)[20:, 20:] - 32) / 4)
    assert np.abs(np.log2(found / means[20:, 20:])).mean() < 0.5


def test_a_search_stays_between_its_trials() -> None:
    assert next_step([(0.0, 8.0), (1.0, 6.0)], 7.0, (-5, 5)) == 0.5
    assert next_step([(0.0, 8.0), (1.0, 6.0)], 7.999, (-5, 5)) == pytest.approx(0.02)
    assert 1.0 < next_step([(0.0, 8.0), (1.0, 6.0)], 5.0, (-5, 5)) <= 2.0
    assert next_step([(0.0, 8.0)], 20.0, (-0.5, 5)) == -0.5
