"""Rows of results as Markdown: one line a row, or one line for all seeds of a scheme.

The paper's own account, k·(log2 n + 32) bits, is the one formula here; it has a column and a label of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import fmean

import numpy as np

from simulations.app.row import Row
from simulations.app.schemes import named
from simulations.app.settings import Settings
from simulations.app.workloads.workload import Metric
from simulations.report import markdown
from simulations.report.rows import (
    bytes_down,
    bytes_of_round,
    bytes_of_run,
    dense_bytes_of_run,
    final_score,
    groups,
    label_of,
    mean_reached,
    metric_of,
    models_down,
    per_change,
    scheme_of,
    shown_score,
)

HYPERPARAMETERS = (
    "learning_rate", "momentum", "weight_decay", "max_grad_norm", "warm_up", "final_rate", "server_learning_rate",
    "server_momentum", "ema_decay", "fading",
)  # fmt: skip
MARKS = (0.98, 0.985, 0.99)  # accuracies
_SCORE: Mapping[Metric, str] = {"accuracy": "test accuracy", "loss": "test loss [nats]"}


def paper_formula_bytes(row: Row) -> float | None:
    """k·(log2 n + 32) bits for schemes that send values, k·log2 n for those that send indices alone; in bytes.

    None where an update is not sparse, as with rank-one terms, which change every coordinate for less than a bit each.
    """
    value_bits = named(row.scheme).value_bits
    if value_bits is None or row.coordinates_up_mean is None or row.coordinates_up_mean > 8 * row.payload_bytes_up_mean:
        return None
    return row.coordinates_up_mean * (math.log2(row.parameters) + value_bits) / 8


_COLUMNS: dict[str, Callable[[Row], str]] = {
    "scheme": lambda row: row.scheme + "".join(f", {k} {v:g}" for k, v in row.options.items()),
    "budget [B]": lambda row: "—" if row.budget is None else f"{row.budget:,}",
    "seed": lambda row: str(row.settings.seed),
    "test score": lambda row: shown_score(final_score(row), row.settings.kind.metric),
    "payload up, mean [B]": lambda row: f"{row.payload_bytes_up_mean:,.1f}",
    "payload up, max [B]": lambda row: f"{row.payload_bytes_up_max:,}",
    "ratio to float32": lambda row: f"{row.dense_bytes / row.payload_bytes_up_mean:,.0f}×",
    "paper's formula [B]": lambda row: "—" if (formula := paper_formula_bytes(row)) is None else f"{formula:,.0f}",
    "reply record [B]": lambda row: f"{row.record_bytes_up_mean:,.0f}",
    "encode [ms]": lambda row: f"{1000 * row.encode_seconds_mean:.2f}",
    "decode [ms]": lambda row: f"{1000 * row.decode_seconds_mean:.2f}",
}
_DOWN: dict[str, Callable[[Row], str]] = {
    "downlink": lambda row: row.settings.downlink or "whole model",
    "whole models down": lambda row: f"{models_down(row):.1f}",
    "payload down, first models apart [B]": lambda row: f"{bytes_down(row):,.1f}",
}


def table(rows: list[Row]) -> str:
    """Show a line for each row, with the dataset and protocol above the table."""
    columns = _COLUMNS | (_DOWN if any(row.settings.downlink for row in rows) else {})
    lines = [[cell(row) for cell in columns.values()] for row in rows]
    header = [_SCORE[metric_of(rows)] if name == "test score" else name for name in columns]
    return f"{protocol(rows)}\n\n{markdown.table(header, lines)}"


def protocol(rows: list[Row]) -> str:
    """Say what the rows have in common."""
    first = rows[0].settings
    sampled = f" ({first.clients_per_round} a round)" if first.clients_per_round else ""
    held_out = f" Tested on {first.held_out:,} held-out training {first.kind.unit}." if first.held_out else ""
    work = f"{first.local_steps} steps of" if first.local_steps else "one pass over a client's examples in batches of"
    return (
        f"{first.kind.title} on **{first.dataset}**, {first.partition}, {first.clients} clients{sampled}, "
        f"{first.rounds} rounds of {work} {first.batch_size} {first.kind.unit}, "
        f"learning rate {_values(rows, 'learning_rate')}, momentum {_values(rows, 'momentum')}{_others(rows)}. "
        f"Bytes are per client and round.{held_out}"
    )


def summary(rows: list[Row]) -> str:
    """Show a line for each scheme, budget and options: final score over the seeds, and bytes to reach some accuracies.

    Hyperparameters in which the rows differ, since each scheme was tuned, are shown too.
    """
    varied = [name for name in HYPERPARAMETERS if len({getattr(row.settings, name) for row in rows}) > 1]
    down = ["payload down, first models apart [B]"] if any(row.settings.downlink for row in rows) else []
    metric = metric_of(rows)
    marks = marks_of(rows)
    header = [
        "scheme", "seeds", f"{_SCORE[metric]}, mean", "worst to best", "payload up, mean [B]", "paper's formula [B]",
        *down,
        *(f"bytes to {100 * mark:g}%" for mark in marks), *(name.replace("_", " ") for name in varied),
    ]  # fmt: skip
    lines = []
    for label, seeds in groups(rows).items():
        ends = np.sort([final_score(row) for row in seeds]).tolist()  # NaN comes last
        worst, best = (ends[0], ends[-1]) if metric == "accuracy" else (ends[-1], ends[0])
        formulas = [formula for row in seeds if (formula := paper_formula_bytes(row)) is not None]
        reached = [mean_reached(seeds, mark)[0] for mark in marks]
        lines.append(
            [
                label, str(len(seeds)), shown_score(fmean(ends), metric),
                f"{shown_score(worst, metric)} to {shown_score(best, metric)}",
                f"{fmean(row.payload_bytes_up_mean for row in seeds):,.1f}",
                f"{fmean(formulas):,.0f}" if formulas else "—",
                *(f"{fmean(map(bytes_down, seeds)):,.1f}" for _ in down),
                *("—" if spent is None else f"{spent:,.0f}" for spent in reached),
                *(_values(seeds, name) for name in varied),
            ]
        )  # fmt: skip
    return f"{protocol(rows)}\n\n{markdown.table(header, lines)}"


def both_ways(rows: list[Row]) -> str:
    """Show what goes up and down with each scheme that was run with a compressed way down, and with dense models.

    Where changes go down, a client is sent the whole model when it is new; these first models apart, a round's payload
    is what goes up and down, on average over all rounds, those too that a client sits out. Where dense models were not
    run, those of float32 are what the others are compared with.
    """
    named = groups(rows)
    compressed = {scheme_of(row) for row in rows if row.settings.downlink}
    chosen = [seeds for seeds in named.values() if scheme_of(seeds[0]) in {"dense", *compressed}]
    whole = {label_of(seeds[0]): fmean(map(bytes_of_run, seeds)) for seeds in chosen}
    header = [
        "scheme", f"{_SCORE[metric_of(rows)]}, mean", "payload up [B]", "record up [B]", "whole models down",
        "payload of changes down [B]", "their record [B]", "payload of a round, up and down, on average [B]",
        "payload of the whole run [MB]", "fewer",
    ]  # fmt: skip
    lines = []
    for seeds in chosen:
        payload = fmean(per_change(row, "change_bytes_down") for row in seeds)
        record = fmean(per_change(row, "change_record_bytes_down") for row in seeds)
        each_round = fmean(map(bytes_of_round, seeds))
        ratio = whole.get("dense", fmean(map(dense_bytes_of_run, seeds))) / whole[label_of(seeds[0])]
        lines.append(
            [
                label_of(seeds[0]), shown_score(fmean(map(final_score, seeds)), metric_of(rows)),
                f"{fmean(row.payload_bytes_up_mean for row in seeds):,.0f}",
                f"{fmean(row.record_bytes_up_mean for row in seeds):,.0f}",
                f"{fmean(map(models_down, seeds)):.1f}",
                *("—" if math.isnan(size) else f"{size:,.0f}" for size in (payload, record, each_round)),
                f"{whole[label_of(seeds[0])] / 1e6:,.2f}", f"{ratio:.2g}×" if ratio < 10 else f"{ratio:.0f}×",
            ]
        )  # fmt: skip
    return f"{protocol(rows)}\n\n{markdown.table(header, lines)}"


def marks_of(rows: list[Row]) -> tuple[float, ...]:
    """The accuracies whose bytes are of interest; none where no run reaches them, or the loss counts."""
    best = max((accuracy for row in rows for accuracy in row.accuracy), default=0.0)
    return MARKS if metric_of(rows) == "accuracy" and best >= MARKS[0] else ()


def _values(rows: list[Row], name: str) -> str:
    """All values of a setting."""
    return ", ".join(f"{value:g}" for value in sorted({getattr(row.settings, name) for row in rows}))


def _others(rows: list[Row]) -> str:
    """The other hyperparameters, where all rows have them at one value that is not the default."""
    found = {name: {getattr(row.settings, name) for row in rows} for name in HYPERPARAMETERS[2:]}
    return "".join(
        f", {name.replace('_', ' ')} {values.pop():g}"
        for name, values in found.items()
        if len(values) == 1 and values != {getattr(Settings(), name)}
    )
