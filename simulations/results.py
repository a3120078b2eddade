"""Rows of results, as JSON and as a table. A figure that was not measured has no place in a row."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import TypedDict

from surp_fl.strategies import Traffic

from simulations.lenet import PARAMETERS
from simulations.schemes import parse
from simulations.settings import Settings

DENSE_BYTES = 4 * PARAMETERS


class Row(TypedDict):
    """One scheme and seed. Bytes are per client and round; times are per message."""

    scheme: str
    budget: int | None
    seed: int
    dataset: str
    held_out: int
    partition: str
    clients: int
    rounds: int
    local_steps: int
    batch_size: int
    learning_rate: float
    momentum: float
    accuracy: list[tuple[int, float]]
    payload_bytes_up_mean: float
    payload_bytes_up_max: int
    record_bytes_up_mean: float
    payload_bytes_down_mean: float
    encode_seconds_mean: float
    decode_seconds_mean: float
    relative_error_mean: float
    failures: int
    payload_bytes_up_by_round: list[list[int]]
    model_sha256: str


def row_of(
    settings: Settings,
    dataset: str,
    accuracy: list[tuple[int, float]],
    traffic: list[Traffic],
    model_sha256: str,
) -> Row:
    """Put what was measured into a row."""
    scheme, budget = parse(settings.scheme)
    payloads = [size for spent in traffic for size in spent.payload_bytes_up]
    return Row(
        scheme=scheme,
        budget=budget,
        seed=settings.seed,
        dataset=dataset,
        held_out=settings.held_out,
        partition=settings.partition,
        clients=settings.clients,
        rounds=settings.rounds,
        local_steps=settings.local_steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        accuracy=accuracy,
        payload_bytes_up_mean=fmean(payloads),
        payload_bytes_up_max=max(payloads),
        record_bytes_up_mean=fmean(size for spent in traffic for size in spent.record_bytes_up),
        payload_bytes_down_mean=fmean(size for spent in traffic for size in spent.payload_bytes_down),
        encode_seconds_mean=fmean(time for spent in traffic for time in spent.encode_seconds),
        decode_seconds_mean=fmean(time for spent in traffic for time in spent.decode_seconds),
        relative_error_mean=fmean(error for spent in traffic for error in spent.relative_error),
        failures=sum(spent.failures for spent in traffic),
        payload_bytes_up_by_round=[sorted(spent.payload_bytes_up) for spent in traffic],
        model_sha256=model_sha256,
    )


_COLUMNS = (
    "scheme", "budget [B]", "seed", "test accuracy", "payload up, mean [B]", "payload up, max [B]",
    "ratio to float32", "reply record [B]", "encode [ms]", "decode [ms]",
)  # fmt: skip


def table(rows: list[Row]) -> str:
    """Show rows as a Markdown table, with the dataset and protocol above it."""
    lines = [" | ".join(_COLUMNS), " | ".join(["---"] + ["---:"] * (len(_COLUMNS) - 1))]
    for row in rows:
        cells = (
            row["scheme"],
            "—" if row["budget"] is None else f"{row['budget']:,}",
            str(row["seed"]),
            f"{row['accuracy'][-1][1]:.2%}",
            f"{row['payload_bytes_up_mean']:,.1f}",
            f"{row['payload_bytes_up_max']:,}",
            f"{DENSE_BYTES / row['payload_bytes_up_mean']:,.0f}×",
            f"{row['record_bytes_up_mean']:,.0f}",
            f"{1000 * row['encode_seconds_mean']:.2f}",
            f"{1000 * row['decode_seconds_mean']:.2f}",
        )
        lines.append(" | ".join(cells))
    return f"{protocol(rows)}\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"


def protocol(rows: list[Row]) -> str:
    """Say what the rows have in common."""
    row = rows[0]
    held_out = f" Tested on {row['held_out']:,} held-out training images." if row.get("held_out") else ""
    return (
        f"LeNet-5-Caffe on **{row['dataset']}**, {row['partition']}, {row['clients']} clients, {row['rounds']} rounds "
        f"of {row['local_steps']} steps of {row['batch_size']} images, learning rate {row['learning_rate']}, "
        f"momentum {row['momentum']}. Bytes are per client and round." + held_out
    )


def write(rows: list[Row], folder: Path) -> None:
    """Write results.json and table.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "table.md").write_text(table(rows))
