"""Rows of results, as JSON. A figure that was not measured has no place in a row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NotRequired, TypedDict

from simulations.lenet import PARAMETERS
from simulations.schemes import Options, parse
from simulations.settings import Settings
from surp_fl.strategies import Traffic

DENSE_BYTES = 4 * PARAMETERS


class Row(TypedDict):
    """One scheme and seed. Bytes are per client and round; times are per message."""

    scheme: str
    budget: int | None
    options: dict[str, float]
    downlink: str
    seed: int
    dataset: str
    held_out: int
    partition: str
    clients: int
    sampled: int
    rounds: int
    local_steps: int
    batch_size: int
    learning_rate: float
    momentum: float
    fading: bool
    weight_decay: float
    clipping: float
    precision: str
    warm_up: int
    final_rate: float
    server_learning_rate: float
    server_momentum: float
    averaging: float
    evaluation: float
    accuracy: list[tuple[int, float]]
    payload_bytes_up_mean: float
    payload_bytes_up_max: int
    coordinates_up_mean: float
    record_bytes_up_mean: float
    payload_bytes_down_mean: float
    payload_bytes_down_by_round: list[float]  # for each client that takes part, to train and to evaluate
    record_bytes_down_by_round: list[float]  # the same; older rows have none
    models_down: NotRequired[int]  # messages that brought the whole model; of the others, all together:
    change_bytes_down: NotRequired[int]
    change_record_bytes_down: NotRequired[int]
    encode_seconds_mean: float
    decode_seconds_mean: float
    relative_error_mean: float
    residual_norm_by_round: list[float]
    failures: int
    payload_bytes_up_by_round: list[list[int]]
    model_sha256: str
    failed: str  # why it ended before its last round; empty where it did not


USUAL = Settings()  # what a row that is older than a setting was run with
_SAME = (
    "seed", "held_out", "partition", "clients", "sampled", "rounds", "local_steps", "batch_size", "learning_rate",
    "momentum", "weight_decay", "clipping", "precision", "warm_up", "final_rate", "server_learning_rate",
    "server_momentum", "averaging", "fading", "downlink", "evaluation",
)  # fmt: skip


def row_of(
    settings: Settings,
    dataset: str,
    accuracy: list[tuple[int, float]],
    traffic: list[Traffic],
    model_sha256: str,
    failed: str = "",
) -> Row:
    """Put what was measured into a row."""
    scheme, budget, options = parse(settings.scheme)
    taking_part = settings.sampled or settings.clients
    payloads = [size for spent in traffic for size in spent.payload_bytes_up]
    down = [
        (spent.model_bytes, *sizes)
        for spent in traffic
        for sizes in zip(spent.payload_bytes_down, spent.record_bytes_down, strict=True)
    ]
    changes = [(payload, record) for model, payload, record in down if payload < model]
    return Row(
        scheme=scheme,
        budget=budget,
        options=options,
        downlink=settings.downlink,
        seed=settings.seed,
        dataset=dataset,
        held_out=settings.held_out,
        partition=settings.partition,
        clients=settings.clients,
        sampled=settings.sampled,
        rounds=settings.rounds,
        local_steps=settings.local_steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        fading=settings.fading,
        weight_decay=settings.weight_decay,
        clipping=settings.clipping,
        precision=settings.precision,
        warm_up=settings.warm_up,
        final_rate=settings.final_rate,
        server_learning_rate=settings.server_learning_rate,
        server_momentum=settings.server_momentum,
        averaging=settings.averaging,
        evaluation=settings.evaluation,
        accuracy=accuracy,
        payload_bytes_up_mean=fmean(payloads),
        payload_bytes_up_max=max(payloads),
        coordinates_up_mean=fmean(count for spent in traffic for count in spent.coordinates_up),
        record_bytes_up_mean=fmean(size for spent in traffic for size in spent.record_bytes_up),
        payload_bytes_down_mean=fmean(size for spent in traffic for size in spent.payload_bytes_down),
        payload_bytes_down_by_round=[sum(spent.payload_bytes_down) / taking_part for spent in traffic],
        record_bytes_down_by_round=[sum(spent.record_bytes_down) / taking_part for spent in traffic],
        models_down=len(down) - len(changes),
        change_bytes_down=sum(payload for payload, _ in changes),
        change_record_bytes_down=sum(record for _, record in changes),
        encode_seconds_mean=fmean(time for spent in traffic for time in spent.encode_seconds),
        decode_seconds_mean=fmean(time for spent in traffic for time in spent.decode_seconds),
        relative_error_mean=fmean(error for spent in traffic for error in spent.relative_error),
        residual_norm_by_round=[fmean(spent.residual_norm) for spent in traffic],
        failures=sum(spent.failures for spent in traffic),
        payload_bytes_up_by_round=[sorted(spent.payload_bytes_up) for spent in traffic],
        model_sha256=model_sha256,
        failed=failed,
    )


def final_accuracy(row: Row) -> float:
    """The test accuracy after the last round; NaN for a row that did not get there."""
    return math.nan if row.get("failed") else row["accuracy"][-1][1]


def setting_of(row: Row, name: str) -> Any:
    """What a row was run with."""
    return row.get(name, getattr(USUAL, name))


def is_of(row: Row, settings: Settings) -> bool:
    """Say whether a row is what a run with these settings gave, or will give."""
    scheme, budget, options = parse(settings.scheme)
    same = all(setting_of(row, name) == getattr(settings, name) for name in (*_SAME, "dataset"))
    return same and (row["scheme"], row["budget"], row.get("options", {})) == (scheme, budget, options)


def label_of(row: Row) -> str:
    """Name a row's scheme, budget and options, and what goes down."""
    return scheme_of(row) + (f", down {text_of(*parse(row['downlink']))}" if row.get("downlink") else "")


def scheme_of(row: Row) -> str:
    """Name a row's scheme, budget and options."""
    return text_of(row["scheme"], row["budget"], row.get("options", {}))


def text_of(scheme: str, budget: int | None, options: Options) -> str:
    """Name a scheme, its budget and its options, for people."""
    room = "" if budget is None else f" {budget:,} B"
    return f"{scheme}{room}" + "".join(f", {name.replace('_', ' ')} {value:g}" for name, value in options.items())


def groups(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of one scheme, budget and options; one a seed."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(label_of(row), []).append(row)
    return found


def bytes_down(row: Row) -> float:
    """Payload bytes down for each client and round; of rounds that brought changes, where others bring the model."""
    return per_change(row, "change_bytes_down") if row.get("downlink") else fmean(down_by_round(row))


def per_change(row: Row, name: Literal["change_bytes_down", "change_record_bytes_down"]) -> float:
    """What changes took in each client's round that did not bring the whole model; NaN if all did, or if unknown."""
    if name not in row:
        return math.nan
    turns = len(row["payload_bytes_up_by_round"]) * _taking_part(row) - row["models_down"]
    return row[name] / turns if turns > 0 else math.nan


def models_down(row: Row) -> float:
    """How many times a client is sent the whole model in the run; of older rows, what the bytes come to."""
    if "models_down" in row:
        return row["models_down"] / row["clients"]
    return sum(down_by_round(row)) / DENSE_BYTES * _taking_part(row) / row["clients"]


def bytes_of_run(row: Row) -> float:
    """Payload bytes of a client, up and down, of all rounds together; those that it sits out cost nothing."""
    up = sum(map(sum, row["payload_bytes_up_by_round"]))
    return (up + sum(down_by_round(row)) * _taking_part(row)) / row["clients"]


def bytes_of_round(row: Row) -> float:
    """Payload bytes of a client in a round, up and down, on average over the run: of changes, where they go down.

    Rounds that a client sits out are counted; whole models are not, but where nothing else goes down.
    """
    if not row.get("downlink"):
        return bytes_of_run(row) / len(row["payload_bytes_up_by_round"])
    up = sum(map(sum, row["payload_bytes_up_by_round"]))
    return (up + row.get("change_bytes_down", math.nan)) / row["clients"] / len(row["payload_bytes_up_by_round"])


def _taking_part(row: Row) -> int:
    """How many clients take part in a round."""
    return row.get("sampled") or row["clients"]


def down_by_round(row: Row) -> list[float]:
    """Payload bytes down for each client that takes part; older rows, which sent whole models, have the mean alone."""
    return row.get("payload_bytes_down_by_round", row["rounds"] * [row["payload_bytes_down_mean"]])


def bytes_to(row: Row, accuracy: float) -> float | None:
    """Bytes that one client has uploaded when the test accuracy is reached for the first time; None if it never is."""
    share = _taking_part(row) / row["clients"]
    uploaded = 0.0
    for (_, found), sizes in zip(row["accuracy"][1:], row["payload_bytes_up_by_round"], strict=True):
        uploaded += share * fmean(sizes)
        if found >= accuracy:
            return uploaded
    return None


def load(folder: Path) -> list[Row]:
    """Read the rows that are in a folder; none where it has none.

    Raises:
        ValueError: results.json is there and is not one of ours.
    """
    file = folder / "results.json"
    if not file.exists():
        return []
    try:
        rows: list[Row] = json.loads(file.read_text())
        assert all("scheme" in row and "accuracy" in row for row in rows)
    except (ValueError, AssertionError, TypeError) as fault:
        raise ValueError(f"{file} holds no results of this program: move it away, or name another folder") from fault
    return rows
