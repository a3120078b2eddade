"""Exact counts, and how ties are settled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.pruning.selection import apportion, largest
from tests.pruning.definitions import kept_by_score, shared_out


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), min_size=1, max_size=5), st.data())
def test_exactly_the_count_is_marked_and_ties_go_to_the_earlier(values: list[list[int]], data: st.DataObject) -> None:
    scores = [np.array(each, np.float64) for each in values]
    count = data.draw(st.integers(0, sum(map(len, values))))
    masks = largest(scores, count)
    assert [mask.shape for mask in masks] == [each.shape for each in scores]
    assert {(i, int(j)) for i, mask in enumerate(masks) for j in np.flatnonzero(mask)} == kept_by_score(scores, count)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60)), min_size=1, max_size=6), st.data())
def test_weights_are_shared_out_in_proportion_within_capacities(
    layers: list[tuple[int, int]], data: st.DataObject
) -> None:
    shares, capacities = [share for share, _ in layers], [capacity for _, capacity in layers]
    room = sum(capacity for share, capacity in layers if share > 0)
    count = data.draw(st.integers(0, room))
    counts = apportion(shares, [c if s > 0 else 0 for s, c in layers], count)
    assert counts.tolist() == shared_out(shares, [c if s > 0 else 0 for s, c in layers], count)
    assert counts.sum() == count
    assert (counts <= capacities).all()


def test_what_a_full_layer_cannot_take_goes_to_the_others_in_proportion() -> None:
    # 1 : 1 : 2 of 11 would be 2.75, 2.75, 5.5; the first takes 2, and 9 are shared 1 : 2
    assert apportion([1, 1, 2], [2, 90, 90], 11).tolist() == [2, 3, 6]
    # filling the first makes the second overflow in turn
    assert apportion([10, 5, 1], [3, 5, 90], 14).tolist() == [3, 5, 6]


@pytest.mark.parametrize("count", [10**9 + 7, 10**10])
def test_counts_of_huge_models_are_exact(count: int) -> None:
    counts = apportion([10**10, 10**10 + 1, 3], [10**10] * 3, count)
    assert counts.sum() == count
    assert counts.tolist() == shared_out([10**10, 10**10 + 1, 3], [10**10] * 3, count)
