"""The table of Flower's overhead predicts what was measured and committed."""

from __future__ import annotations

import json
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
ROUND_SECONDS = 22.0  # as the heartbeats of the rows say; the rows have no times

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['scheme']} {row['downlink']}".strip())


def exchanges(row: dict[str, Any]) -> tuple[Traffic, Traffic]:
    """Of a first round and of a later one: training and evaluation, with the payloads of the row."""
    first_down, *later_down = row["payload_bytes_down_by_round"]
    up = as_message(row["payload_bytes_up"])  # of dense messages too, which are one record here
    model = (as_arrays if row["scheme"] == "dense" else as_packed_array)(MODEL, ARRAYS)
    first = later = (model, model)
    if row["downlink"]:
        first = (model, as_changes(first_down - MODEL))
        later = (as_changes(0), as_changes(fmean(later_down)))
    made = [exchange(trained, up) + exchange(tested, as_metrics()) for trained, tested in (first, later)]
    return made[0] + Traffic(up=FLOWER.start_up, down=APP_BYTES), made[1]


@rows
def test_a_round_on_the_wire_is_predicted_within_three_percent(row: dict[str, Any]) -> None:
    up, down = row["wire_bytes_up_by_round"], row["wire_bytes_down_by_round"]
    first, later = (with_polling(each, ROUND_SECONDS) for each in exchanges(row))
    assert first.up == pytest.approx(up[0], rel=0.03)
    assert first.down == pytest.approx(down[0], rel=0.001)
    assert later.up == pytest.approx(fmean(up[1:]), rel=0.01)
    assert later.down == pytest.approx(fmean(down[1:]), rel=0.01)
    assert first.up + first.down + 19 * (later.up + later.down) == pytest.approx(sum(up) + sum(down), rel=0.005)


@rows
def test_each_part_of_the_overhead_is_that_of_the_rows(row: dict[str, Any]) -> None:
    """Without the payload, which would hide a wrong figure."""
    first, later = exchanges(row)
    clients_and_rounds = row["clients"] * row["rounds"]
    reply = 2 * FLOWER.reply_up + 6 * FLOWER.push_up + FLOWER.reply_record + FLOWER.metrics_record
    found = row["wire_bytes_reply_up"] * row["replies"] / clients_and_rounds - row["payload_bytes_up"]
    assert reply == pytest.approx(found, rel=0.01)
    polled = 2 * FLOWER.idle_polls
    fetched = (first.up - FLOWER.start_up + 19 * later.up) / 20 - row["payload_bytes_up"] - reply
    assert fetched + polled * FLOWER.poll_up == pytest.approx(row["wire_bytes_broadcast_up"], rel=0.02)
    payload = fmean(row["payload_bytes_down_by_round"])
    answered = 2 * FLOWER.reply_down + 6 * FLOWER.push_down
    fetched = (first.down - APP_BYTES + 19 * later.down) / 20 - payload - answered
    assert fetched + polled * FLOWER.poll_down == pytest.approx(row["wire_bytes_broadcast_down"] - payload, rel=0.02)


@rows
def test_records_add_what_the_rows_say(row: dict[str, Any]) -> None:
    assert FLOWER.reply_record == pytest.approx(row["record_bytes_up"] - row["payload_bytes_up"])
    added = row["record_bytes_down_by_round"][1] - row["payload_bytes_down_by_round"][1]
    model = (as_arrays if row["scheme"] == "dense" else as_packed_array)(MODEL, ARRAYS)
    framing = 2 * (as_changes(0) if row["downlink"] else model).framing
    assert framing == pytest.approx(added, rel=0.01)


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
