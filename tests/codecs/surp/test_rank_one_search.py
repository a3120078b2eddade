"""The search for rank-one terms: what it finds, and that it removes what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from surp_fl import Layout
from surp_fl.codecs.surp import rank_one_search
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.rank_one_search import TermSearch, matrix_of, subtract
from surp_fl.codecs.surp.rank_one_signs import largest_signs

ENTRIES = st.floats(-4, 4, width=16)  # of which some are equal


def net_gain(vector: np.ndarray, signs: np.ndarray, slope: float) -> float:
    """Squared error that signs remove, beyond what their bits would elsewhere."""
    n, k = len(vector), int(np.count_nonzero(signs))
    share = k / n
    bits = k - k * math.log2(share) - ((n - k) * math.log2(1 - share) if k < n else 0)
    return float(signs @ vector.astype(np.float64)) ** 2 / k - slope * bits


@given(
    nps.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 12)), elements=ENTRIES),
    st.floats(0, 3),
)
def test_no_other_number_of_signs_is_worth_more(vectors: np.ndarray, slope: float) -> None:
    signs, bits = largest_signs(vectors, slope, np.full(len(vectors), math.inf))
    for vector, own, taken in zip(vectors, signs, bits, strict=True):
        order = np.argsort(-np.abs(vector), kind="stable")
        best = net_gain(vector, own, slope)
        for k in range(1, len(vector) + 1):
            others = np.zeros(len(vector))
            others[order[:k]] = np.where(vector[order[:k]] < 0, -1, 1)
            assert net_gain(vector, others, slope) <= best + 1e-5
        kept = np.flatnonzero(own)
        assert (own[kept] == np.where(vector[kept] < 0, -1, 1)).all()
        assert np.array_equal(np.sort(order[: len(kept)]), kept)  # of equal ones, the first
        assert net_gain(vector, own, slope) == pytest.approx(net_gain(vector, own, 0) - slope * taken, abs=1e-6)


def test_signs_take_no_more_bits_than_they_may() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 400)).astype(np.float32)
    most = np.array([12.0, 40.0, 120.0, 300.0, np.inf])
    bits = largest_signs(vectors, 0.0, most)[1]
    assert (bits <= most).all()
    assert (bits[:4] > most[:4] - 10).all()
    assert bits[4] > 400


@pytest.mark.parametrize("seed", range(4))
def test_terms_that_lie_over_each_other_are_all_found_and_remove_what_they_say(seed: int) -> None:
    """Six products of signs, each 0.6 times as large as the one before, which leave out a row or column in four."""
    rng = np.random.default_rng(seed)
    planted = np.zeros((120, 200))
    for magnitude in 4 * 0.6 ** np.arange(6):
        rows, columns = (rng.choice([-1, 0, 1], size, p=(0.375, 0.25, 0.375)) for size in planted.shape)
        planted += magnitude * np.outer(rows, columns)
    arrays = {"w": (planted + 0.3 * rng.standard_normal(planted.shape)).astype(np.float32)}
    layout = Layout.of(arrays)
    side, vector = Context.of(layout, None).side, layout.flatten(arrays)
    search = TermSearch(vector.copy(), side)
    terms = search.select(math.inf, 0.09 * 10)
    squares = float(np.square(vector, dtype=np.float64).sum()), float(np.square(search.residual).sum())
    assert len(terms) == 6
    assert squares[1] < 1.03 * 0.09 * vector.size  # the noise is left
    assert sum(term.gain for term in terms) == pytest.approx(squares[0] - squares[1], rel=1e-3)
    left = vector.copy()
    subtract(matrix_of(left, side, 0), terms)
    assert np.allclose(left, search.residual, atol=1e-4)


def test_a_search_with_a_lower_slope_goes_on_where_the_one_before_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    arrays = {"w": (rng.standard_normal((60, 6)) @ rng.standard_normal((6, 90))).astype(np.float32)}
    layout = Layout.of(arrays)
    side, vector = Context.of(layout, None).side, layout.flatten(arrays)
    search = TermSearch(vector.copy(), side)
    first = search.select(math.inf, 20.0)
    assert first
    assert not search.select(math.inf, 20.0)
    more = search.select(math.inf, 2.0)
    assert all(term.gain > 2 * term.bits for term in more)
    assert len(more) > len(first)
    with monkeypatch.context() as patch:
        patch.setattr(rank_one_search, "MAX_TERMS", 3)
        assert len(TermSearch(vector.copy(), side).select(math.inf, 2.0)) == 3
    assert not TermSearch(vector.copy(), side).select(-500.0, 2.0)  # terms that came first may have taken more
