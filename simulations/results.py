"""Rows of results, as JSON and as a table. A figure that was not measured has no place in a row.

The paper's own account, k·(log2 n + 32) bits, is the one formula here; it has a column and a label of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import TypedDict

import numpy as np
from surp_fl.strategies import Traffic

from simulations.lenet import PARAMETERS
from simulations.schemes import Options, parse
from simulations.settings import Settings

DENSE_BYTES = 4 * PARAMETERS


class Row(TypedDict):
    """One scheme and seed. Bytes are per client and round; times are per message."""

    scheme: str
    budget: int | None
    options: dict[str, float]
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
    weight_decay: float
    precision: str
    warm_up: int
    final_rate: float
    server_learning_rate: float
    server_momentum: float
    accuracy: list[tuple[int, float]]
    payload_bytes_up_mean: float
    payload_bytes_up_max: int
    coordinates_up_mean: float
    record_bytes_up_mean: float
    payload_bytes_down_mean: float
    encode_seconds_mean: float
    decode_seconds_mean: float
    relative_error_mean: float
    residual_norm_by_round: list[float]
    failures: int
    payload_bytes_up_by_round: list[list[int]]
    model_sha256: str
    failed: str  # why it ended before its last round; empty where it did not


_BEFORE = Settings()  # what a row that is older than a setting was run with
_SAME = (
    "seed", "held_out", "partition", "clients", "sampled", "rounds", "local_steps", "batch_size", "learning_rate",
    "momentum", "weight_decay", "precision", "warm_up", "final_rate", "server_learning_rate", "server_momentum",
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
    payloads = [size for spent in traffic for size in spent.payload_bytes_up]
    return Row(
        scheme=scheme,
        budget=budget,
        options=options,
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
        weight_decay=settings.weight_decay,
        precision=settings.precision,
        warm_up=settings.warm_up,
        final_rate=settings.final_rate,
        server_learning_rate=settings.server_learning_rate,
        server_momentum=settings.server_momentum,
        accuracy=accuracy,
        payload_bytes_up_mean=fmean(payloads),
        payload_bytes_up_max=max(payloads),
        coordinates_up_mean=fmean(count for spent in traffic for count in spent.coordinates_up),
        record_bytes_up_mean=fmean(size for spent in traffic for size in spent.record_bytes_up),
        payload_bytes_down_mean=fmean(size for spent in traffic for size in spent.payload_bytes_down),
        encode_seconds_mean=fmean(time for spent in traffic for time in spent.encode_seconds),
        decode_seconds_mean=fmean(time for spent in traffic for time in spent.decode_seconds),
        relative_error_mean=fmean(error for spent in traffic for error in spent.relative_error),
        residual_norm_by_round=[fmean(spent.residual_norm) for spent in traffic],
        failures=sum(spent.failures for spent in traffic),
        payload_bytes_up_by_round=[sorted(spent.payload_bytes_up) for spent in traffic],
        model_sha256=model_sha256,
        failed=failed,
    )


def _lever(row: Row, name: str) -> float:
    value: float = row.get(name, getattr(_BEFORE, name))  # type: ignore[assignment]
    return value


def final_accuracy(row: Row) -> float:
    """The test accuracy after the last round; NaN for a row that did not get there."""
    return math.nan if row.get("failed") else row["accuracy"][-1][1]


def _shown(accuracy: float) -> str:
    return "diverged" if math.isnan(accuracy) else f"{accuracy:.2%}"


def is_of(row: Row, settings: Settings) -> bool:
    """Say whether a row is what a run with these settings gave, or will give."""
    scheme, budget, options = parse(settings.scheme)
    same = all(row.get(name, getattr(_BEFORE, name)) == getattr(settings, name) for name in (*_SAME, "dataset"))
    return same and (row["scheme"], row["budget"], row.get("options", {})) == (scheme, budget, options)


def label_of(row: Row) -> str:
    """Name a row's scheme, budget and options."""
    return text_of(row["scheme"], row["budget"], row.get("options", {}))


def text_of(scheme: str, budget: int | None, options: Options) -> str:
    """Name a scheme, its budget and its options, for people."""
    room = "" if budget is None else f" {budget:,} B"
    return f"{scheme}{room}" + "".join(f", {name.replace('_', ' ')} {value:g}" for name, value in options.items())


def paper_formula_bytes(row: Row) -> float | None:
    """k·(log2 n + 32) bits for schemes that send values, k·log2 n for those that send indices alone; in bytes."""
    if row["scheme"] in ("dense", "qsgd") or "coordinates_up_mean" not in row:
        return None
    value = 32 if row["scheme"] in ("top-k", "rtop-k", "dgc") else 0
    return row["coordinates_up_mean"] * (math.log2(PARAMETERS) + value) / 8


_COLUMNS: dict[str, Callable[[Row], str]] = {
    "scheme": lambda row: row["scheme"] + "".join(f", {k} {v:g}" for k, v in row.get("options", {}).items()),
    "budget [B]": lambda row: "—" if row["budget"] is None else f"{row['budget']:,}",
    "seed": lambda row: str(row["seed"]),
    "test accuracy": lambda row: _shown(final_accuracy(row)),
    "payload up, mean [B]": lambda row: f"{row['payload_bytes_up_mean']:,.1f}",
    "payload up, max [B]": lambda row: f"{row['payload_bytes_up_max']:,}",
    "ratio to float32": lambda row: f"{DENSE_BYTES / row['payload_bytes_up_mean']:,.0f}×",
    "paper's formula [B]": lambda row: "—" if (formula := paper_formula_bytes(row)) is None else f"{formula:,.0f}",
    "reply record [B]": lambda row: f"{row['record_bytes_up_mean']:,.0f}",
    "encode [ms]": lambda row: f"{1000 * row['encode_seconds_mean']:.2f}",
    "decode [ms]": lambda row: f"{1000 * row['decode_seconds_mean']:.2f}",
}


def table(rows: list[Row]) -> str:
    """Show rows as a Markdown table, with the dataset and protocol above it."""
    lines = [list(_COLUMNS), ["---"] + ["---:"] * (len(_COLUMNS) - 1)]
    lines += [[cell(row) for cell in _COLUMNS.values()] for row in rows]
    return f"{protocol(rows)}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def protocol(rows: list[Row]) -> str:
    """Say what the rows have in common."""
    row = rows[0]

    def of_all(name: str) -> str:
        return ", ".join(f"{value:g}" for value in sorted({each.get(name, 0) for each in rows}))  # type: ignore[type-var]

    sampled = f" ({row['sampled']} a round)" if row.get("sampled") else ""
    held_out = f" Tested on {row['held_out']:,} held-out training images." if row.get("held_out") else ""
    return (
        f"LeNet-5-Caffe on **{row['dataset']}**, {row['partition']}, {row['clients']} clients{sampled}, "
        f"{row['rounds']} rounds of {row['local_steps']} steps of {row['batch_size']} images, "
        f"learning rate {of_all('learning_rate')}, momentum {of_all('momentum')}. Bytes are per client and round."
        + held_out
    )


def groups(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of one scheme, budget and options; one a seed."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(label_of(row), []).append(row)
    return found


def bytes_to(row: Row, accuracy: float) -> float | None:
    """Bytes that one client has uploaded when the test accuracy is reached for the first time; None if it never is."""
    share = (row.get("sampled") or row["clients"]) / row["clients"]
    uploaded = 0.0
    for (_, found), sizes in zip(row["accuracy"][1:], row["payload_bytes_up_by_round"], strict=True):
        uploaded += share * fmean(sizes)
        if found >= accuracy:
            return uploaded
    return None


LEVERS = (
    "learning_rate",
    "momentum",
    "weight_decay",
    "warm_up",
    "final_rate",
    "server_learning_rate",
    "server_momentum",
)
MARKS = (0.98, 0.985, 0.99)


def summary(rows: list[Row]) -> str:
    """Show a line for each scheme, budget and options: final accuracy over the seeds, and bytes to reach some.

    Levers in which the rows differ, since each scheme was tuned, are shown too.
    """
    levers = [name for name in LEVERS if len({_lever(row, name) for row in rows}) > 1]
    marks = [f"bytes to {100 * mark:g}%" for mark in MARKS]
    lines = [
        [
            "scheme",
            "seeds",
            "test accuracy, mean",
            "worst to best",
            "payload up, mean [B]",
            "paper's formula [B]",
            *marks,
            *(name.replace("_", " ") for name in levers),
        ],
        ["---"] + ["---:"] * (5 + len(MARKS) + len(levers)),
    ]
    for label, seeds in groups(rows).items():
        ends = np.sort([final_accuracy(row) for row in seeds]).tolist()  # NaN comes last
        formulas = [formula for row in seeds if (formula := paper_formula_bytes(row)) is not None]
        line = [
            label, str(len(seeds)), _shown(fmean(ends)), f"{_shown(ends[0])} to {_shown(ends[-1])}",
            f"{fmean(row['payload_bytes_up_mean'] for row in seeds):,.1f}",
            f"{fmean(formulas):,.0f}" if formulas else "—",
        ]  # fmt: skip
        for mark in MARKS:
            reached = [bytes_to(row, mark) for row in seeds]
            known = [spent for spent in reached if spent is not None]
            line.append(f"{fmean(known):,.0f}" if len(known) == len(reached) else "—")
        line += [", ".join(f"{value:g}" for value in sorted({_lever(row, name) for row in seeds})) for name in levers]
        lines.append(line)
    return f"{protocol(rows)}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


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


def write(rows: list[Row], folder: Path) -> None:
    """Write results.json, table.md and summary.md; a reader finds the old ones or the new ones, never half of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("results.json", "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"),
        ("table.md", table(rows)),
        ("summary.md", summary(rows)),
    ):
        (folder / f"{name}.new").write_text(text)
        (folder / f"{name}.new").replace(folder / name)
