"""Running statistics of batch normalization under compression: what has to hold in every round."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from surp_fl import STC, PaperSuRP, SuRP, TopK
from surp_fl.codecs.codec import Scheme

for needed in ("torch", "sklearn"):
    pytest.importorskip(needed, reason=f"the network and its data need {needed}")
from tests.batch_norm import FLAX, KERAS, NUMBERS, TORCH, Case, Naming, run_case  # noqa: E402

pytestmark = [pytest.mark.xdist_group("batch normalization"), pytest.mark.slow]  # they share runs

SCHEMES: list[Scheme] = [
    SuRP(budget=100),
    SuRP(budget=700),
    STC(budget=218),
    TopK(budget=218),
    PaperSuRP(budget=218),
]
DOWN = SuRP(budget=2000)
SHORT = 4  # rounds, by which every scheme had made a running variance negative while it was coded like weights

up_or_both_ways = pytest.mark.parametrize("both_ways", [False, True], ids=["up", "both ways"])


def no_variance_is_negative(case: Case) -> bool:
    """Neither on the server nor on a client; and every variance is a number."""
    return all(least >= 0 for least in case.least_on_server + case.least_on_clients)


@cache
def full_run(both_ways: bool) -> Case:
    return run_case(SuRP(budget=218), 12, DOWN if both_ways else None)


def test_the_case_learns_without_compression_and_is_the_same_each_time() -> None:
    first, second = (run_case(None, rounds=1, seed=3) for _ in range(2))
    assert first.accuracy[-1] > 0.7
    assert first.accuracy == second.accuracy
    for name, array in first.models[-1].items():
        np.testing.assert_array_equal(array, second.models[-1][name])


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: f"{type(scheme).__name__} {scheme.budget} B")
def test_no_running_variance_is_negative_and_every_output_is_a_number(scheme: Scheme) -> None:
    case = run_case(scheme, SHORT)
    assert no_variance_is_negative(case)
    assert case.finite


@up_or_both_ways
def test_surp_at_218_bytes_learns_the_digits(both_ways: bool) -> None:
    case = full_run(both_ways)
    assert no_variance_is_negative(case)
    assert case.finite
    assert case.accuracy[-1] >= 0.95
    assert sum(case.failures) == 0


@up_or_both_ways
def test_all_that_travels_for_the_model_fits_into_the_budget_after_the_first_reply(both_ways: bool) -> None:
    case = full_run(both_ways)
    assert len(case.bytes) == 12
    assert max(size for sizes in case.bytes[1:] for size in sizes.values()) <= 218


@pytest.mark.parametrize("naming", [KERAS, FLAX], ids=["keras", "flax"])
def test_running_statistics_are_found_by_the_names_that_frameworks_give_them(naming: Naming) -> None:
    case = run_case(SuRP(budget=218), 2, naming=naming)
    assert no_variance_is_negative(case)
    assert case.finite


def test_statistics_with_unknown_names_are_configured_on_the_server_alone() -> None:
    word = {NUMBERS[key]: "mean" for key in TORCH if key.endswith("running_mean")}
    word |= {NUMBERS[key]: "variance" for key in TORCH if key.endswith("running_var")}
    known, said, unsaid = (
        run_case(SuRP(budget=218), 3, DOWN, naming=naming, strategy={"statistics": told})
        for naming, told in ((TORCH, None), (NUMBERS, word), (NUMBERS, None))
    )
    assert no_variance_is_negative(said)
    for one, other in zip(known.models[:3], said.models[:3], strict=True):
        for name in TORCH:  # replies are summed up in the order of their bytes, in which names have a fingerprint
            np.testing.assert_allclose(other[name], one[name], rtol=0, atol=1e-6, err_msg=name)
    assert said.accuracy[:3] == known.accuracy[:3] != unsaid.accuracy[:3]
