"""Terms beside levels: how many, and what is left for levels; and that few codings find the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from surp_fl import Layout, SuRP
from surp_fl.codecs.surp import terms_beside_levels as selection
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.rank_one_search import Term, TermSearch
from surp_fl.codecs.surp.rank_one_selection import without
from surp_fl.codecs.surp.terms_beside_levels import terms_beside_levels
from surp_fl.codecs.surp.trellis import level_fit
from surp_fl.codecs.surp.trellis.body import code_levels
from surp_fl.codecs.surp.trellis.level_fit import LevelFit
from surp_fl.types import Vector

pytestmark = pytest.mark.compiled


def update_of_rank(rank: int, noise: float) -> tuple[Layout, Vector]:
    """A layer of 120 × 160: outer products, each of half the norm of the one before, and noise."""
    rng = np.random.default_rng(rank)
    layer = rng.normal(size=(120, 160)) * noise
    for each in range(rank):
        layer += np.outer(rng.normal(size=120), rng.normal(size=160)) * 0.5**each
    arrays = {"w": layer.astype(np.float32)}
    layout = Layout.of(arrays)
    return layout, layout.flatten(arrays)


def error(vector: Vector, layout: Layout, budget: int, share: float = 1.0) -> float:
    scheme = SuRP(budget, rank_one=share)
    message = scheme.codec.encode(vector, layout, rng=np.random.default_rng(0))
    assert len(message) <= budget
    return float(np.linalg.norm(vector - scheme.codec.decode(message, layout)) / np.linalg.norm(vector))


def selected(layout: Layout, vector: Vector, budget: int, first: list[Term] | None = None) -> tuple[list[Term], Vector]:
    side = Context.of(layout, None).side
    levels = LevelFit.of(vector, side, budget).sampled_errors()
    assert levels is not None
    return terms_beside_levels(0.9 * 8 * budget, first or [], vector, side, levels, levels.beside(vector, 0.0))


@pytest.mark.parametrize("budget", [1000, 3000])
def test_terms_keep_to_their_bits_and_leave_the_rest(budget: int) -> None:
    layout, vector = update_of_rank(6, 0.1)
    terms, rest = selected(layout, vector, budget)
    assert sum(term.bits for term in terms) <= 0.9 * 8 * budget
    np.testing.assert_allclose(rest, without(vector, terms, Context.of(layout, None).side), atol=1e-5)
    assert len(terms) > 6
    again, same = selected(layout, vector, budget, terms)  # which are all that pay
    assert again[: len(terms)] == terms
    assert np.linalg.norm(same) <= np.linalg.norm(rest)


def test_a_message_has_as_many_terms_as_lower_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terms are selected a batch at a time; with one batch, more is left."""
    layout, vector = update_of_rank(12, 0.02)
    chosen = error(vector, layout, 3000)
    select = TermSearch.next_terms
    batches = 0

    def one_batch(self: TermSearch, *given: Any) -> list[Term]:
        nonlocal batches
        batches += 1
        return select(self, *given) if batches == 1 else []

    monkeypatch.setattr(TermSearch, "next_terms", one_batch)
    assert chosen < 0.97 * error(vector, layout, 3000)


def test_an_update_of_low_rank_gets_terms_and_one_of_noise_none() -> None:
    layout, vector = update_of_rank(6, 0.1)
    assert error(vector, layout, 1500) < 0.6 * error(vector, layout, 1500, share=0)
    layout, vector = update_of_rank(0, 1.0)
    messages = [
        SuRP(1500, rank_one=share).codec.encode(vector, layout, rng=np.random.default_rng(0)) for share in (0, 1)
    ]
    assert messages[0] == messages[1]


def test_no_more_terms_are_selected_than_a_decoder_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, vector = update_of_rank(12, 0.02)
    terms, _ = selected(layout, vector, 3000)
    monkeypatch.setattr(selection, "MAX_TERMS", most := len(terms) - 2)
    assert len(selected(layout, vector, 3000)[0]) == most


def test_what_a_bit_removes_is_told_by_cells_that_levels_tell() -> None:
    """2·ln 2 times their variance; what it removes elsewhere, where that is more; each by what a term touches."""
    ones = np.ones((1, 8), np.float32)
    matrix = np.full((8, 8), 3, np.float32)
    even = 2 * np.log(2) * 9
    assert selection._slope(matrix, ones, ones, 1.0, 0.1) == pytest.approx(even, rel=1e-5)
    assert selection._slope(matrix, ones, ones, 1.2, 0.1) == pytest.approx(1.2 * even, rel=1e-5)
    assert selection._slope(matrix, ones, ones, 1.0, 50.0) == pytest.approx(50)
    matrix[:, :4] = 1
    half = np.repeat(np.array([[0, 1]], np.float32), 4, axis=1)
    most, least = (selection._slope(matrix, each, ones, 1.0, 0.1) for each in (half, 1 - half))
    assert even / 9 < least < selection._slope(matrix, ones, ones, 1.0, 0.1) < most < even
    assert 0 < selection._slope(0 * matrix, 0 * ones, 0 * ones, 1.0, 0.1) < 1


@pytest.mark.parametrize("bits", [0.3, 1.0, 3.0])
def test_few_codings_find_the_step(bits: float, monkeypatch: pytest.MonkeyPatch) -> None:
    codings = []
    monkeypatch.setattr(level_fit, "code_levels", lambda *given: codings.append(1) or code_levels(*given))  # type: ignore[func-returns-value]
    vector = np.random.default_rng(3).laplace(size=1 << 18).astype(np.float32)
    layout, capacity = Layout.of({"w": vector.reshape(512, 512)}), int(bits * vector.size / 8)
    body = LevelFit.of(vector, Context.of(layout, None).side, capacity).body().content
    assert body is not None
    assert 0.998 * capacity - 1 <= len(body) <= capacity
    assert len(codings) <= 3
