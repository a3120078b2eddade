"""Terms beside levels: how many, and what is left for levels; and that few codings find the step."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import Layout, SuRP
from surp_fl.codecs.surp import rank_one_selection
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.rank_one_selection import stages_beside_levels, without
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


def test_each_stage_adds_terms_that_remove_less_for_their_bits_and_leaves_the_rest() -> None:
    layout, vector = update_of_rank(6, 0.1)
    side = Context.of(layout, None).side
    least, before = np.inf, 0
    for terms, rest in stages_beside_levels(8000.0, [], vector, side, float(np.linalg.norm(vector)) / 2):
        added = terms[before:]
        assert min(term.gain / term.bits for term in added) < least
        assert sum(term.bits for term in terms) <= 8000
        np.testing.assert_allclose(rest, without(vector, terms, side), atol=1e-5)
        least, before = min(term.gain / term.bits for term in added), len(terms)
    assert before > 6


def test_an_update_of_low_rank_gets_terms_and_one_of_noise_none() -> None:
    layout, vector = update_of_rank(6, 0.1)
    assert error(vector, layout, 1500) < 0.6 * error(vector, layout, 1500, share=0)
    layout, vector = update_of_rank(0, 1.0)
    messages = [
        SuRP(1500, rank_one=share).codec.encode(vector, layout, rng=np.random.default_rng(0)) for share in (0, 1)
    ]
    assert messages[0] == messages[1]


def test_as_many_stages_are_used_as_lower_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, vector = update_of_rank(12, 0.02)
    all_stages = error(vector, layout, 3000)
    monkeypatch.setattr(rank_one_selection, "_STAGES", 1)
    assert all_stages < 0.97 * error(vector, layout, 3000)


def test_all_stages_together_have_no_more_terms_than_a_decoder_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, vector = update_of_rank(12, 0.02)
    side, norm = Context.of(layout, None).side, float(np.linalg.norm(vector))
    *_, (terms, _) = stages_beside_levels(20_000.0, [], vector, side, norm / 4)
    monkeypatch.setattr(rank_one_selection, "MAX_TERMS", most := len(terms) - 2)
    *_, (fewer, _) = stages_beside_levels(20_000.0, [], vector, side, norm / 4)
    assert len(fewer) == most


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
