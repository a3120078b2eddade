"""Rows of results in a folder's results.json, and the figures that follow from a row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Literal

from simulations.app.row import Row
from simulations.app.schemes import Options, parse
from simulations.app.workloads.workload import Metric
from simulations.report import json_rows
from surp_fl.strategies.downlink.delivery import LOSSLESS


def load(folder: Path) -> list[Row]:
    """Read the rows that are in a folder; none where it has none.

    Raises:
        ValueError: results.json is there and is not one of ours.
    """
    file = folder / "results.json"
    if not file.exists():
        return []
    try:
        return [Row.from_json(row) for row in json_rows.rows_of(file.read_text())]
    except (ValueError, KeyError, TypeError) as fault:
        raise ValueError(f"{file} holds no results of this program: move it away, or name another folder") from fault


def save(rows: Iterable[Row], folder: Path) -> None:
    """Write results.json, one line a row, what all say alike once; readers find the old or the new one, never half."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json.new").write_text(json_rows.shared_text_of(row.kept().to_json() for row in rows))
    (folder / "results.json.new").replace(folder / "results.json")


def final_accuracy(row: Row) -> float:
    """The test accuracy of the final model; NaN for a row that did not get there."""
    return math.nan if row.failed else row.accuracy[-1]


def metric_of(rows: Sequence[Row]) -> Metric:
    """What rows of one workload are judged by."""
    return rows[0].settings.kind.metric


def final_score(row: Row) -> float:
    """The final model's test accuracy or test loss, as its workload is judged; NaN for a row that did not get there."""
    if row.failed or metric_of([row]) == "accuracy":
        return final_accuracy(row)
    return row.loss[-1]


def shown_score(score: float, metric: Metric) -> str:
    """An accuracy in percent, or a loss in nats; NaN stands for a run that diverged.

    >>> shown_score(0.99164, "accuracy"), shown_score(2.34567, "loss"), shown_score(math.nan, "loss")
    ('99.16%', '2.346', 'diverged')
    """
    if math.isnan(score):
        return "diverged"
    return f"{score:.2%}" if metric == "accuracy" else f"{score:.3f}"


def label_of(row: Row) -> str:
    """Name a row's scheme, budget and options, and what goes down; `first model known` where clients make that one."""
    down = row.settings.downlink
    known = ", first model known" if row.settings.known_initial else ""
    return scheme_of(row) + (f", down {downlink_text(down)}" if down else "") + known


def downlink_text(downlink: str) -> str:
    """Name what goes down, for people: a scheme, or all that changed."""
    return downlink if downlink == LOSSLESS else text_of(*parse(downlink))


def scheme_of(row: Row) -> str:
    """Name a row's scheme, budget and options."""
    return text_of(*parse(row.settings.scheme))


def text_of(scheme: str, budget: int | None, options: Options) -> str:
    """Name a scheme, its budget and its options, for people."""
    size = "" if budget is None else f" {budget:,} B"
    if "to" in options:  # a budget that changes by the round
        size = f" {budget:,} to {options['to']:,.0f} B"
        options = {name: value for name, value in options.items() if name != "to"}
    return f"{scheme}{size}" + "".join(f", {name.replace('_', ' ')} {value:g}" for name, value in options.items())


def groups(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of one scheme, budget and options; one a seed."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(label_of(row), []).append(row)
    return found


def bytes_down(row: Row) -> float:
    """Payload bytes down for each client and round; of rounds that brought changes, where others bring the model."""
    if row.settings.downlink:
        return per_change(row, "change_bytes_down")
    return row.payload_bytes_down / row.settings.taking_part / len(row.payload_bytes_up_by_round)


def per_change(row: Row, name: Literal["change_bytes_down", "change_record_bytes_down"]) -> float:
    """What changes took in each client's round that did not bring the whole model; NaN if all did."""
    turns = len(row.payload_bytes_up_by_round) * row.settings.taking_part - row.models_down
    bytes_of_all: int = getattr(row, name)
    return bytes_of_all / turns if turns > 0 else math.nan


def models_down(row: Row) -> float:
    """How many times a client is sent the whole model in the run."""
    return row.models_down / row.settings.clients


def bytes_of_run(row: Row) -> float:
    """Payload bytes of a client, up and down, of all rounds together; those that it sits out cost nothing."""
    return (row.payload_bytes_up + row.payload_bytes_down) / row.settings.clients


def dense_bytes_of_run(row: Row) -> float:
    """What `bytes_of_run` is with whole float32 models: both ways in every turn to train, down in one to evaluate."""
    settings, rounds = row.settings, len(row.payload_bytes_up_by_round)
    models = 2 * settings.taking_part + settings.fraction_evaluate * settings.clients
    return row.dense_bytes * rounds * models / settings.clients


def bytes_of_round(row: Row) -> float:
    """Payload bytes of a client in a round, up and down, on average over the run: of changes, where they go down.

    Rounds that a client sits out are counted; whole models are not, but where nothing else goes down.
    """
    rounds = len(row.payload_bytes_up_by_round)
    if not row.settings.downlink:
        return bytes_of_run(row) / rounds
    return (row.payload_bytes_up + row.change_bytes_down) / row.settings.clients / rounds


def uploaded_by_round(row: Row) -> list[float]:
    """Payload bytes that one client has uploaded after each round, if it takes part as often as the average client."""
    share = row.settings.taking_part / row.settings.clients
    return list(accumulate(share * size for size in row.payload_bytes_up_by_round))


def bytes_to(row: Row, accuracy: float) -> float | None:
    """Bytes that one client has uploaded when the test accuracy is reached for the first time; None if it never is."""
    uploaded = uploaded_by_round(row)
    tested = zip(row.tested_rounds[1:], row.accuracy[1:], strict=True)
    return next((uploaded[number - 1] for number, found in tested if found >= accuracy), None)


def mean_reached(seeds: list[Row], accuracy: float) -> tuple[float | None, int]:
    """The mean of `bytes_to` over seeds, None unless all of them reach the accuracy; and how many of them do."""
    known = [spent for row in seeds if (spent := bytes_to(row, accuracy)) is not None]
    return (fmean(known) if len(known) == len(seeds) else None), len(known)
