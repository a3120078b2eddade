"""The structures that find candidates among millions of coordinates, against plain searches of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surp_fl.codecs.surp_paper._candidates import add_to_count, arrange, pop, position_of, push, top_waiting
from surp_fl.codecs.surp_paper.schedule import Limits, Schedule
from tests.codecs.surp_paper.test_refinement import assert_same_refinement

sizes = st.sampled_from([0, 1, 2, 63, 64, 65, 128, 4095, 4096, 4097, 5000, 70_000])


@given(sizes, st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 1))
def test_candidates_are_counted_and_found_by_rank_and_the_next_ones_are_sorted(
    size: int, seed: int, threshold: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    residual = rng.random(size)
    low = share * threshold
    counts, starts, waiting = arrange(residual, low, threshold)
    candidates = np.flatnonzero(residual >= threshold)
    assert counts[-1] == len(candidates)
    assert sorted(waiting.tolist()) == np.flatnonzero((residual >= low) & (residual < threshold)).tolist()
    assert (np.diff(residual[waiting]) <= 0).all()
    for rank in {0, len(candidates) // 2, len(candidates) - 1} - {-1} if len(candidates) else ():
        assert position_of(counts, starts, residual, threshold, rank) == candidates[rank]


@given(sizes.filter(bool), st.integers(0, 2**32))
def test_counts_follow_what_is_added(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    residual = np.zeros(size)
    counts, starts, _ = arrange(residual, 1.0, 1.0)
    added = rng.permutation(size)[:20]
    for position in added:
        residual[position] = 2.0
        add_to_count(counts, starts, position, 1)
    for position in added[::2]:
        residual[position] = 0.5
        add_to_count(counts, starts, position, -1)
    left = sorted(added[1::2].tolist())
    assert counts[-1] == len(left)
    assert [position_of(counts, starts, residual, 1.0, rank) for rank in range(len(left))] == left


@given(st.lists(st.floats(0, 1), max_size=40), st.lists(st.floats(0, 1), max_size=20), st.integers(1, 50))
def test_the_largest_that_wait_are_taken_from_list_and_heap_and_stay_there(
    listed: list[float], returned: list[float], k: int
) -> None:
    residual = np.array([*sorted(listed, reverse=True), *returned])
    waiting, heap = np.arange(len(listed)), np.zeros(len(residual), np.int64)
    for i in range(len(returned)):
        push(heap, i, residual, len(listed) + i)
    start = min(2, len(listed))
    found = top_waiting(waiting, start, heap, len(returned), residual, k)
    wanted = sorted([*sorted(listed, reverse=True)[start:], *returned])
    assert found.tolist() == (wanted[-k:] if len(wanted) >= k else [])
    popped = [residual[pop(heap, size, residual)] for size in range(len(returned), 0, -1)]
    assert popped == sorted(returned, reverse=True)


@pytest.mark.parametrize("beta", [None, 100.0])
def test_indices_are_those_of_the_plain_algorithm_where_many_are_tracked_and_sorted_in_parts(
    beta: float | None,
) -> None:
    rng = np.random.default_rng(0)
    vector = rng.laplace(scale=0.02, size=80_000).astype(np.float32)
    vector[rng.permutation(80_000)[:70_000]] = rng.uniform(0.6, 0.7, 70_000)  # all tracked from the first step on
    vector[rng.permutation(80_000)[:60]] = rng.uniform(0.9, 1.0, 60)
    assert Schedule.of(80_000, beta).expected < 120
    assert_same_refinement(vector, Limits(steps=400), 17, 0, beta)
