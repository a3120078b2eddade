"""Budgets from the train config, from a node's config, and from a function on the server; all in one round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message
from flwr.serverapp.strategy import FedAvg

from surp_fl import DGC, CompressUpdates, Dense, SuRP
from surp_fl.codecs.codec import Scheme
from surp_fl.flower.protocol import BUDGET, NAME
from surp_fl.flower.records import record_of
from surp_fl.strategies import DecodeUpdates, ExponentialBudgetDecay, NoUsableReplyError
from surp_fl.testing import InProcessGrid, as_server
from tests.flower_app import app_with, initial

SURP = SuRP(300, progressive=True)  # fills budgets to the byte


def lengths(
    strategy: DecodeUpdates,
    of_nodes: dict[int, Any] | None = None,
    scheme: Scheme = SURP,
    rounds: int = 2,
    **options: Any,
) -> list[dict[int, int]]:
    """Length of each node's message, by round."""
    found: list[dict[int, int]] = []

    def watch(reply: Message) -> Message:
        if reply.has_content():
            place = strategy.traffic[-1].server_round - 1
            found.extend({} for _ in range(place + 1 - len(found)))
            found[place][reply.metadata.src_node_id] = len(reply.content.config_records[NAME][NAME])  # type: ignore[arg-type]
        return reply

    with as_server():
        grid = InProcessGrid(app_with([CompressUpdates(scheme)]), 3, fault=watch)
        for node, budget in (of_nodes or {}).items():
            grid.contexts[node].node_config["surp-fl-budget"] = budget
        strategy.start(grid=grid, initial_arrays=record_of(initial()), num_rounds=rounds, **options)
    return found


def within(size: int, budget: int) -> bool:
    return 0.9 * budget <= size <= budget


def inner() -> FedAvg:
    return FedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)


def test_each_node_keeps_to_its_own_and_all_are_aggregated() -> None:
    strategy = DecodeUpdates(inner())
    for sizes in lengths(strategy, {1: 60, 2: 120}):
        assert [within(sizes[node], budget) for node, budget in ((1, 60), (2, 120), (3, 300))] == [True] * 3
    assert [len(traffic.payload_bytes_up) for traffic in strategy.traffic] == [3, 3]


def test_the_train_config_sets_the_budget_of_all_nodes() -> None:
    for sizes in lengths(DecodeUpdates(inner()), train_config=ConfigRecord({BUDGET: 150})):
        assert all(within(size, 150) for size in sizes.values())


def test_a_function_sets_the_budget_of_each_node_in_place_of_the_train_config() -> None:
    strategy = DecodeUpdates(inner(), budget_for=lambda node, server_round: 100 * node // server_round)
    found = lengths(strategy, train_config=ConfigRecord({BUDGET: 30}))
    for server_round, sizes in enumerate(found, 1):
        assert all(within(size, 100 * node // server_round) for node, size in sizes.items())


def test_the_lesser_of_what_server_and_node_allow_is_kept() -> None:
    for sizes in lengths(DecodeUpdates(inner()), {1: 60, 2: 200}, train_config=ConfigRecord({BUDGET: 150})):
        assert [within(sizes[node], budget) for node, budget in ((1, 60), (2, 150), (3, 150))] == [True] * 3


def test_a_budget_falls() -> None:
    falling = ExponentialBudgetDecay(first=400, last=100, rounds=4)
    assert [falling(1, server_round) for server_round in (0, 1, 2, 3, 4, 5, 50)] == [400, 400, 283, 200, 141, 100, 100]
    found = lengths(DecodeUpdates(inner(), budget_for=falling), rounds=6)
    for server_round, sizes in enumerate(found, 1):
        assert all(within(size, falling(1, server_round)) for size in sizes.values())
    with pytest.raises(ValueError, match="expected 0 < last <= first"):
        ExponentialBudgetDecay(first=100, last=200, rounds=4)
    assert ExponentialBudgetDecay(first=1, last=1, rounds=1)(1, 9) == 1


def test_schemes_of_a_round_take_budgets_too() -> None:
    for sizes in lengths(DecodeUpdates(inner()), {1: 200}, scheme=DGC(600, warm_up=())):
        assert sizes[1] <= 200 < sizes[2]


def test_a_ratio_is_a_budget_of_the_model_that_came_and_the_server_overrides_it() -> None:
    size = sum(array.size for array in initial().values())
    for sizes in lengths(DecodeUpdates(inner()), {1: 60}, scheme=SuRP(ratio=20)):
        assert [within(sizes[node], budget) for node, budget in ((1, 60), (2, 4 * size // 20))] == [True] * 2
    for sizes in lengths(DecodeUpdates(inner()), scheme=SuRP(ratio=20), train_config=ConfigRecord({BUDGET: 150})):
        assert all(within(size, 150) for size in sizes.values())


def test_a_ratio_is_a_budget_of_what_goes_down_too() -> None:
    size = sum(array.size for array in initial().values())
    strategy = DecodeUpdates(inner(), downlink=SuRP(ratio=20))
    lengths(strategy, rounds=3)
    for traffic in strategy.traffic[1:]:
        assert all(within(payload, 4 * size // 20) for payload in traffic.payload_bytes_down)


def test_the_server_refuses_a_budget_that_is_no_whole_number() -> None:
    with pytest.raises(TypeError, match=r"gives 50.0 for node .; expected a whole number of bytes"):
        lengths(DecodeUpdates(inner(), budget_for=lambda node, server_round: 50.0))  # type: ignore[arg-type,return-value]
    with pytest.raises(NoUsableReplyError, match="expected a whole number of bytes"):
        lengths(DecodeUpdates(inner()), train_config=ConfigRecord({BUDGET: 50.0}))
    for sizes in lengths(DecodeUpdates(inner(), budget_for=lambda node, server_round: np.int64(60))):  # type: ignore[arg-type,return-value]
        assert all(within(size, 60) for size in sizes.values())


@pytest.mark.parametrize(
    ("scheme", "budget", "says"),
    [
        (Dense(), 100, "Dense has none that could be set"),
        (SURP, "100", "expected a whole number of bytes"),
        (SURP, 3, "budget"),
    ],
)
def test_a_budget_that_a_scheme_cannot_keep_is_an_error(scheme: Scheme, budget: Any, says: str) -> None:
    with pytest.raises(NoUsableReplyError, match=says):
        lengths(DecodeUpdates(inner()), dict.fromkeys((1, 2, 3), budget), scheme)
