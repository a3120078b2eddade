"""The table of Flower's overhead predicts what was measured and committed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from surp_fl.planning.federation import APP_BYTES
from surp_fl.planning.overhead import FLOWER
from surp_fl.planning.traffic import (
    Traffic,
    as_arrays,
    as_changes,
    as_message,
    as_metrics,
    as_packed_array,
    exchange,
    with_polling,
)

ROOT = Path(__file__).resolve().parents[2]
ROWS: list[dict[str, Any]] = json.loads((ROOT / "simulations/results/deployment/deployment.json").read_text())
MODEL, ARRAYS = 1_724_320, 8  # LeNet-5

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['scheme']} {row['downlink']} {row['known_initial']}")


def exchanges(row: dict[str, Any]) -> tuple[Traffic, Traffic]:
    """Of a first round and of a later one: training and evaluation, with the payloads of the row."""
    first_down, *later_down = row["payload_bytes_down_by_round"]
    up = as_message(row["payload_bytes_up"])  # of dense messages too, which are one record here
    if row["evaluate_with_train"]:
        alone = exchange(
            as_changes(fmean(later_down)), as_metrics()
        )  # the last model's evaluation, in one of 19 rounds
        last = Traffic(alone.up / 19, alone.down / 19, alone.payload_up / 19, alone.payload_down / 19, 0, 0)
        made = [exchange(as_changes(size), up) for size in (first_down, fmean(later_down))]
        return made[0] + Traffic(up=FLOWER.start_up, down=APP_BYTES), made[1] + last
    packed = (first_down - fmean(later_down)) if row["downlink"] else first_down / 2
    model = as_arrays(MODEL, ARRAYS) if row["scheme"] == "dense" else as_packed_array(round(packed), ARRAYS)
    first = later = (model, model)
    if row["downlink"]:
        first = (model, as_changes(fmean(later_down)))
        later = (as_changes(0), as_changes(fmean(later_down)))
    made = [exchange(trained, up) + exchange(tested, as_metrics()) for trained, tested in (first, later)]
    return made[0] + Traffic(up=FLOWER.start_up, down=APP_BYTES), made[1]


def polling(row: dict[str, Any]) -> tuple[float, float]:
    """Idle polls and heartbeats of a client in a round, as they were counted: how many depends on the machine."""
    counted = row["requests"]
    return counted["pull-messages"] - counted["confirm-message-received"], counted["send-node-heartbeat"]


def with_counted_polling(row: dict[str, Any], traffic: Traffic) -> Traffic:
    polls, beats = polling(row)
    flower = replace(FLOWER, idle_polls=polls / traffic.exchanges)
    return with_polling(traffic, beats * FLOWER.heartbeat_seconds, flower)


@rows
def test_a_round_on_the_wire_is_predicted_within_three_percent(row: dict[str, Any]) -> None:
    up, down = row["wire_bytes_up_by_round"], row["wire_bytes_down_by_round"]
    first, later = (with_counted_polling(row, each) for each in exchanges(row))
    assert later.up == pytest.approx(fmean(up[1:]), rel=0.03)
    assert later.down == pytest.approx(fmean(down[1:]), rel=0.03)
    assert first.down == pytest.approx(down[0], rel=0.015)
    assert first.up + first.down + 19 * (later.up + later.down) == pytest.approx(sum(up) + sum(down), rel=0.03)


@rows
def test_each_request_costs_what_the_rows_say(row: dict[str, Any]) -> None:
    """Of requests as they were counted, without the payload, which would hide a wrong figure."""
    counted, clients_and_rounds = row["requests"], row["clients"] * row["rounds"]
    found = row["wire_bytes_reply_up"] * row["replies"] / clients_and_rounds - row["record_bytes_up"]
    pushed = counted["push-messages"] * FLOWER.reply_up + counted["push-object"] * FLOWER.push_up
    evaluations = counted["push-messages"] - 1
    assert pushed + evaluations * FLOWER.metrics_record == pytest.approx(found, rel=0.01)
    confirmed = FLOWER.fetch_up - FLOWER.poll_up
    fetched = counted["confirm-message-received"] * confirmed + counted["pull-object"] * FLOWER.pull_up
    polled = counted["pull-messages"] * FLOWER.poll_up
    assert fetched + polled == pytest.approx(row["wire_bytes_broadcast_up"], rel=0.02)


@rows
def test_records_add_what_the_rows_say(row: dict[str, Any]) -> None:
    if not row["evaluate_with_train"]:  # whose reply has the evaluation's metrics too
        assert FLOWER.reply_record == pytest.approx(row["record_bytes_up"] - row["payload_bytes_up"])
    added = row["record_bytes_down_by_round"][1] - row["payload_bytes_down_by_round"][1]
    model = (as_arrays if row["scheme"] == "dense" else as_packed_array)(MODEL, ARRAYS)
    if row["evaluate_with_train"]:
        assert as_changes(0).framing < added < 2 * as_changes(0).framing  # one exchange, whose record says more
    else:
        assert 2 * (as_changes(0) if row["downlink"] else model).framing == pytest.approx(added, rel=0.05)


@pytest.mark.parametrize(
    ("objects", "measured"), [(3, 4_812), (4, 6_005), (6, 8_384), (20, 25_060)]
)  # a reply of 200 B: one record; and metrics; one array and metrics; eight arrays and metrics
def test_a_reply_of_more_objects_costs_what_was_counted(objects: int, measured: int) -> None:
    counted = FLOWER.reply_up + objects * FLOWER.push_up + FLOWER.reply_record + 200
    assert counted == pytest.approx(measured, rel=0.01)


@pytest.mark.parametrize(
    ("parcel", "up", "down"),
    [
        (as_arrays(MODEL, ARRAYS), 20_320, 1_732_958),
        (as_packed_array(MODEL, ARRAYS), 7_347, 1_726_885),
        (as_changes(2_000), 4_570, 3_355),
    ],
)
def test_fetching_costs_what_was_counted_in_another_deployment(parcel: Any, up: int, down: int) -> None:
    assert FLOWER.fetch_up + parcel.objects * FLOWER.pull_up == pytest.approx(up, rel=0.002)
    fetched = FLOWER.fetch_down + parcel.objects * FLOWER.pull_down + parcel.payload + parcel.framing
    assert fetched == pytest.approx(down, rel=0.06)


def test_large_arrays_are_fetched_in_chunks() -> None:
    assert as_packed_array(100, 8).objects == 6
    assert as_packed_array(10 * FLOWER.chunk + 1, 8).objects == 16
    assert as_arrays(10 * FLOWER.chunk + 1, 8).objects == 4 + 8 + 11
