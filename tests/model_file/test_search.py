"""The search for the smallest file that is accurate enough."""

from __future__ import annotations

import pytest

from surp_fl.model_file.search import CLOSE, Trial, smallest_file


def search(
    accuracy: dict[int, float], least: float, evaluations: int = 30, largest: int = 100_000
) -> tuple[Trial | None, int]:
    """Of files whose accuracy is that of the largest given size that they reach; and how many were evaluated."""
    trials: list[Trial] = []

    def accuracy_of(file: bytes) -> float:
        return max((value for size, value in accuracy.items() if size <= len(file)), default=0.0)

    return smallest_file(bytes, accuracy_of, least, 100, largest, evaluations, trials.append), len(trials)


@pytest.mark.parametrize("edge", [101, 1234, 99_000])
def test_the_smallest_size_is_found_within_two_percent(edge: int) -> None:
    found, _ = search({edge: 0.9}, 0.9)
    assert found is not None
    assert edge <= len(found.file) <= CLOSE * edge + 1


def test_there_are_no_more_evaluations_than_allowed_and_the_best_so_far_counts() -> None:
    for evaluations in (1, 2, 5, 8):
        found, used = search({1000: 0.9}, 0.9, evaluations)
        assert found is not None
        assert used == evaluations
        assert found.enough
    assert search({1000: 0.9}, 0.9)[1] < 15


def test_where_a_file_does_not_use_its_budget_its_own_size_is_the_next_bound() -> None:
    budgets: list[int] = []

    def of_budget(budget: int) -> bytes:
        budgets.append(budget)
        return bytes(min(budget, 1000))

    found = smallest_file(of_budget, len, 900, 100, 1_000_000, 30)
    assert found is not None
    assert 900 <= len(found.file) <= 900 * CLOSE
    assert budgets[1] < 1000


def test_nothing_is_found_where_the_largest_file_is_too_little() -> None:
    assert search({200_000: 0.9}, 0.9) == (None, 1)


def test_what_is_found_was_evaluated_where_accuracy_goes_up_and_down() -> None:
    found, _ = search({100: 0.8, 2000: 0.95, 5000: 0.85, 30_000: 0.95}, 0.9)
    assert found is not None
    assert found.accuracy >= 0.9


def test_accuracy_that_is_no_number_is_not_enough() -> None:
    assert search({100: float("nan")}, 0.9)[0] is None
