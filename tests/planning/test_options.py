"""What a plan says of budgets: the ladder, rounds and runs, and the rule that chooses one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.report import rows as results
from surp_fl import Layout, SuRP
from surp_fl.planning import FLOWER, Federation, Option, PlanError, ladder, plan
from surp_fl.planning.options import MORE, RATIOS, sensible_of
from surp_fl.planning.traffic import as_changes, as_packed_array

ROOT = Path(__file__).resolve().parents[2]
LENET = Federation(parameters=431_080)


def one(federation: Federation, budget: int = 218, downlink: int | None = None) -> Option:
    (found,) = plan(federation, [budget], [downlink]).options
    return found


@pytest.mark.parametrize("parameters", [1, 1_000, 431_080])
def test_the_ladder_is_what_the_scheme_takes_as_a_share_of_the_model(parameters: int) -> None:
    layout = Layout.of({"w": np.zeros(parameters, np.float32)})
    assert set(ladder(parameters)) == {SuRP(ratio=ratio).bytes_for(layout) for ratio in RATIOS}
    assert list(ladder(parameters)) == sorted(set(ladder(parameters)))


@pytest.mark.parametrize(
    ("part", "first_model"),
    [("iid", None), ("sampled", LENET.whole_model), ("sampled_dirichlet", LENET.whole_model)],
)  # the runs of the last two are from before whole models were compressed
def test_clients_are_sent_the_changes_that_they_missed_as_in_the_committed_runs(
    part: str, first_model: int | None
) -> None:
    found = results.groups(results.load(ROOT / "simulations/results" / part))["surp 218 B, down surp 2,000 B"]
    settings = found[0].settings
    federation = replace(
        LENET,
        clients=settings.clients,
        clients_per_round=settings.clients_per_round or None,
        rounds=settings.rounds,
        first_model=first_model,
    )
    planned = one(federation, downlink=2_000)
    assert federation.newcomers == pytest.approx(fmean(row.models_down for row in found), rel=0.01)
    down = fmean(map(results.bytes_down, found))
    assert planned.payload_down == pytest.approx(down, rel=0.03)
    run = fmean(map(results.bytes_of_run, found)) * settings.clients
    assert planned.run_payload == pytest.approx(run, rel=0.03)


@given(st.integers(16, 10_000), st.integers(1, 10_000), st.sampled_from([None, 500]), st.booleans())
def test_more_bytes_in_a_message_are_as_many_more_on_the_wire(
    budget: int, more: int, downlink: int | None, evaluate: bool
) -> None:
    federation = replace(LENET, evaluate=evaluate, rounds=7, latency_ms=0, training_seconds=0, uplink_mbit=1e12)
    less, larger = plan(federation, [budget, budget + more], [downlink]).options
    assert larger.wire_up - less.wire_up == pytest.approx(more)
    assert larger.wire_down == pytest.approx(less.wire_down)
    assert larger.run_wire - less.run_wire == pytest.approx(more * 7 * 10)
    assert larger.run_payload - less.run_payload == pytest.approx(more * 7 * 10)


def test_a_message_is_never_longer_than_the_dense_one() -> None:
    assert one(Federation(parameters=10), 10_000).payload_up == 44


def test_what_would_be_too_much_to_catch_up_with_comes_as_a_whole_model() -> None:
    whole = LENET.whole_model
    assert one(LENET, downlink=whole // 2).payload_down == whole // 2
    assert one(LENET, downlink=whole // 2 + 1).payload_down == LENET.packed_model
    assert one(replace(LENET, clients=1_280, clients_per_round=10), downlink=100).payload_down == 12_800
    assert one(replace(LENET, clients=1_290, clients_per_round=10), downlink=100).payload_down == LENET.packed_model


def test_a_first_model_from_a_recipe_saves_one_model_a_client_and_nothing_else() -> None:
    sent, made = (one(replace(LENET, first_model=first), downlink=2_000) for first in (None, 0))
    assert sent.run_payload - made.run_payload == pytest.approx(10 * LENET.packed_model)
    packed, change = as_packed_array(LENET.packed_model, LENET.arrays), as_changes(0)
    requests = 3 * (FLOWER.pull_up + FLOWER.pull_down) + packed.framing - change.framing
    assert packed.objects - change.objects == 3
    assert sent.run_wire - made.run_wire == pytest.approx(
        10 * (LENET.packed_model + requests), rel=1e-5
    )  # and heartbeats
    first_round = (
        LENET.packed_model + LENET.app_bytes
    ) * 8 / 50e6 + 0.05  # seconds more: its bytes, one more round trip
    assert sent.run_seconds - 100 * sent.round_seconds == pytest.approx(first_round, rel=0.05)
    assert (sent.wire_up, sent.wire_down) == (made.wire_up, made.wire_down)


def test_an_evaluation_doubles_flowers_part_and_brings_no_change_twice() -> None:
    alone, evaluated = (one(replace(LENET, evaluate=each), downlink=2_000) for each in (False, True))
    assert evaluated.payload_down == alone.payload_down == 2_000
    own = [each.wire - each.payload_up - each.payload_down for each in (alone, evaluated)]
    assert own[1] == pytest.approx(2 * own[0], rel=0.05)
    assert one(replace(LENET, evaluate=True)).payload_down == 2 * LENET.packed_model
    together = one(replace(LENET, evaluate=True, evaluate_with_train=True), downlink=2_000)
    assert replace(together, fewer=0) == replace(
        alone, fewer=0
    )  # dense models are evaluated in an exchange of their own
    assert together.fewer > 1.4 * evaluated.fewer


def test_clients_that_sit_out_poll() -> None:
    half = replace(LENET, clients_per_round=5, downlink_mbit=1e9, training_seconds=3_000)
    polls = 3_000 / 3 * (FLOWER.poll_up + FLOWER.poll_down)
    beats = 3_000 / 24 * (FLOWER.heartbeat_up + FLOWER.heartbeat_down)
    run = one(half)
    taking_part = run.wire * 5 * 100 + 10 * (LENET.app_bytes + FLOWER.start_up)
    assert run.run_wire - taking_part == pytest.approx(5 * 100 * (polls + beats), rel=0.01)


def test_the_time_of_a_round_is_training_transfer_round_trips_and_polling() -> None:
    still = replace(LENET, training_seconds=0, latency_ms=0, uplink_mbit=1e9, downlink_mbit=1e9)
    waiting = one(still, downlink=2_000).round_seconds
    assert waiting == pytest.approx(FLOWER.idle_polls * FLOWER.poll_seconds, abs=1e-3)
    assert one(replace(still, training_seconds=7), downlink=2_000).round_seconds == pytest.approx(7 + waiting)
    # Two objects at once: question, two turns of three objects, confirmation; announcement, two turns of three objects.
    assert one(replace(still, latency_ms=1_000), downlink=2_000).round_seconds == pytest.approx(7 + waiting)
    slow = one(replace(still, uplink_mbit=0.001), downlink=2_000)
    assert slow.transfer_seconds == pytest.approx(
        (1_792 + 3 * 927 + 1_015 + 3 * 1_191 + 64 + 218) * 8 / 1_000, rel=1e-3
    )
    assert slow.round_seconds == pytest.approx(waiting + slow.transfer_seconds, abs=1e-3)


def options_of(*costs: tuple[int, int | None, float, float]) -> list[Option]:
    base = one(LENET)
    return [
        replace(base, budget=up, downlink=down, run_wire=wire, run_seconds=seconds) for up, down, wire, seconds in costs
    ]


@pytest.mark.parametrize(
    ("costs", "chosen"),
    [
        ([(100, None, 1_000, 10), (200, None, 1_100, 10), (300, None, 1_101, 10)], 200),  # bytes
        ([(100, None, 1_000, 10), (200, None, 1_050, 11), (300, None, 1_060, 11.1)], 200),  # time
        ([(100, None, 1_000, 12), (200, None, 1_200, 10)], 100),  # none near to both: the fewest bytes
    ],
)
def test_the_rule_takes_the_largest_budget_that_is_near_in_bytes_and_in_time(costs: Any, chosen: int) -> None:
    assert MORE == 0.10
    assert sensible_of(options_of(*costs)).budget == chosen


def test_of_equal_budgets_up_the_larger_one_down_is_sensible() -> None:
    downs = options_of((100, 500, 1_000, 10), (100, 900, 1_050, 10), (100, None, 2_000, 10))
    assert sensible_of(downs).downlink == 900
    assert sensible_of([*downs, *options_of((100, None, 1_050, 10))]).downlink is None


def test_whole_models_down_leave_room_for_large_messages_and_changes_do_not() -> None:
    assert plan(LENET).sensible.budget == 17_243
    assert plan(LENET, downlinks=[2_000]).sensible.budget == 1_724


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"parameters": 0}, "parameters = 0"),
        ({"model_bytes": 0}, "model_bytes = 0"),
        ({"arrays": 0}, "arrays = 0"),
        ({"clients": 0}, "clients = 0"),
        ({"clients_per_round": 11}, "clients_per_round = 11; expected at most the 10 clients"),
        ({"clients_per_round": 0}, "clients_per_round = 0"),
        ({"rounds": 0}, "rounds = 0"),
        ({"first_model": -1}, "first_model = -1"),
        ({"app_bytes": -1}, "app_bytes = -1"),
        ({"uplink_mbit": 0.0}, "uplink_mbit = 0"),
        ({"downlink_mbit": float("nan")}, "downlink_mbit = nan"),
        ({"latency_ms": -1.0}, "latency_ms = -1"),
        ({"training_seconds": float("inf")}, "training_seconds = inf"),
    ],
)
def test_a_federation_that_cannot_be_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        replace(LENET, **wrong)


def test_budgets_that_no_message_has_are_refused() -> None:
    for budgets, downlinks, says in (
        ([15], [None], "budget = 15"),
        ([218], [15], "downlink = 15"),
        ([], [], "no down"),
    ):
        with pytest.raises(PlanError, match=says):
            plan(LENET, budgets, downlinks)
