"""A budget in bytes, or as a share of the model's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from surp_fl import STC, Dense, Layout, RTopK, SuRP, TopK
from surp_fl.change import change_of
from surp_fl.codecs.codec import Budgeted, budget_of, with_budget

VECTOR = np.random.default_rng(0).standard_t(2, size=25_000).astype(np.float32)
LAYOUT = Layout.of({"w": VECTOR})


@pytest.mark.parametrize("ratio", [100, 1000, 2500.5])
def test_a_message_is_as_many_times_smaller_than_the_model_as_the_ratio_says(ratio: float) -> None:
    message = SuRP(ratio=ratio).codec.encode(VECTOR, LAYOUT, rng=np.random.default_rng(0))
    assert 0.85 * VECTOR.nbytes / ratio <= len(message) <= VECTOR.nbytes / ratio
    same = SuRP(budget=int(VECTOR.nbytes / ratio)).codec.encode(VECTOR, LAYOUT, rng=np.random.default_rng(0))
    assert message == same


def test_no_ratio_asks_for_less_than_the_smallest_budget() -> None:
    assert SuRP(ratio=10**9).bytes_for(LAYOUT) == 16
    assert SuRP(ratio=1000).bytes_for(Layout.of({"w": np.zeros(15, np.float32)})) == 16
    assert len(SuRP(ratio=10**9).codec.encode(VECTOR, LAYOUT, rng=np.random.default_rng(0))) <= 16


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, r"SuRP has budget = None, ratio = None; expected exactly one of them: give SuRP\(budget=218\)"),
        ({"budget": 218, "ratio": 1000}, r"budget = 218, ratio = 1000; expected exactly one .* or SuRP\(ratio=1000\)"),
        ({"budget": 15}, "budget = 15 bytes; the smallest useful message has 16: raise it"),
        ({"ratio": 0.5}, "ratio = 0.5; expected how many times smaller .*: give 1 or more"),
        ({"ratio": float("inf")}, "ratio = inf"),
        ({"ratio": float("nan")}, "ratio = nan"),
    ],
)
def test_exactly_one_budget_in_its_range_is_accepted(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SuRP(**options)


def test_the_budget_of_any_scheme_is_known_once_the_model_is() -> None:
    assert budget_of(SuRP(ratio=1000), LAYOUT) == 100
    assert budget_of(SuRP(budget=218), LAYOUT) == budget_of(STC(budget=218), LAYOUT) == 218
    assert budget_of(RTopK(sparsity=0.9, ratio=10), LAYOUT) is None  # its ratio is that of candidates
    assert budget_of(Dense(), LAYOUT) is None


def test_another_budget_takes_the_place_of_a_ratio_and_leaves_other_options() -> None:
    assert with_budget(SuRP(ratio=1000, progressive=True), 100) == SuRP(budget=100, progressive=True)
    assert with_budget(RTopK(budget=218, ratio=2), 100) == RTopK(budget=100, ratio=2)
    assert with_budget(TopK(budget=218), 100) == TopK(budget=100)


def test_a_scheme_of_ones_own_gets_both_budgets_and_its_own_smallest_one() -> None:
    @dataclass(frozen=True)
    class Own(Budgeted):
        SMALLEST_BUDGET = 40

    assert Own(ratio=10**9).bytes_for(LAYOUT) == 40
    with pytest.raises(ValueError, match="budget = 39 bytes; the smallest useful message has 40"):
        Own(budget=39)
    with pytest.raises(ValueError, match=r"give Own\(budget=218\)"):
        Own()


def test_a_ratio_covers_statistics_and_integer_arrays_too() -> None:
    rng = np.random.default_rng(0)
    before = {
        "conv.weight": np.zeros(10_000, np.float32),
        "bn.running_mean": np.zeros(90, np.float32),
        "bn.running_var": np.ones(90, np.float32),
        "bn.num_batches_tracked": np.array(0),
    }
    after = {name: (array + rng.gamma(1, size=array.shape)).astype(array.dtype) for name, array in before.items()}
    after["bn.num_batches_tracked"] = np.array(7)
    layout = Layout.of(before)
    wanted = layout.difference(after, before)
    change = change_of(SuRP(ratio=100), wanted, before, after, layout, rng, None)
    assert 0.9 * 400 <= change.payload <= 400
    assert change.statistics
    assert change.integers
