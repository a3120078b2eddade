"""Rows of results as Markdown: one line a row, or one line for all seeds of a scheme; and the files they go into.

The paper's own account, k·(log2 n + 32) bits, is the one formula here; it has a column and a label of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np

from simulations.app.models import PARAMETERS
from simulations.report.rows import (
    DENSE_BYTES,
    USUAL,
    Row,
    bytes_down,
    bytes_of_round,
    bytes_of_run,
    bytes_to,
    final_accuracy,
    groups,
    label_of,
    models_down,
    per_change,
    scheme_of,
    setting_of,
)

LEVERS = (
    "learning_rate",
    "momentum",
    "weight_decay",
    "clipping",
    "warm_up",
    "final_rate",
    "server_learning_rate",
    "server_momentum",
    "averaging",
    "fading",
)
MARKS = (0.98, 0.985, 0.99)


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


_DOWN: dict[str, Callable[[Row], str]] = {
    "downlink": lambda row: row.get("downlink") or "whole model",
    "whole models down": lambda row: f"{models_down(row):.1f}",
    "payload down, first models apart [B]": lambda row: f"{bytes_down(row):,.1f}",
}


def table(rows: list[Row]) -> str:
    """Show rows as a Markdown table, with the dataset and protocol above it."""
    columns = _COLUMNS | (_DOWN if any(row.get("downlink") for row in rows) else {})
    lines = [list(columns), ["---"] + ["---:"] * (len(columns) - 1)]
    lines += [[cell(row) for cell in columns.values()] for row in rows]
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
        f"learning rate {of_all('learning_rate')}, momentum {of_all('momentum')}{_others(rows)}. "
        f"Bytes are per client and round.{held_out}"
    )


def summary(rows: list[Row]) -> str:
    """Show a line for each scheme, budget and options: final accuracy over the seeds, and bytes to reach some.

    Levers in which the rows differ, since each scheme was tuned, are shown too.
    """
    levers = [name for name in LEVERS if len({setting_of(row, name) for row in rows}) > 1]
    marks = [f"bytes to {100 * mark:g}%" for mark in MARKS]
    down = ["payload down, first models apart [B]"] if any(row.get("downlink") for row in rows) else []
    lines = [
        [
            "scheme",
            "seeds",
            "test accuracy, mean",
            "worst to best",
            "payload up, mean [B]",
            "paper's formula [B]",
            *down,
            *marks,
            *(name.replace("_", " ") for name in levers),
        ],
        ["---"] + ["---:"] * (5 + len(down) + len(MARKS) + len(levers)),
    ]
    for label, seeds in groups(rows).items():
        ends = np.sort([final_accuracy(row) for row in seeds]).tolist()  # NaN comes last
        formulas = [formula for row in seeds if (formula := paper_formula_bytes(row)) is not None]
        line = [
            label, str(len(seeds)), _shown(fmean(ends)), f"{_shown(ends[0])} to {_shown(ends[-1])}",
            f"{fmean(row['payload_bytes_up_mean'] for row in seeds):,.1f}",
            f"{fmean(formulas):,.0f}" if formulas else "—",
            *[f"{fmean(map(bytes_down, seeds)):,.1f}" for _ in down],
        ]  # fmt: skip
        for mark in MARKS:
            reached = [bytes_to(row, mark) for row in seeds]
            known = [spent for spent in reached if spent is not None]
            line.append(f"{fmean(known):,.0f}" if len(known) == len(reached) else "—")
        line += [
            ", ".join(f"{value:g}" for value in sorted({setting_of(row, name) for row in seeds})) for name in levers
        ]
        lines.append(line)
    return f"{protocol(rows)}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def both_ways(rows: list[Row]) -> str:
    """Show what goes up and down with each scheme that was run with a compressed way down, and with dense models.

    Where changes go down, a client is sent the whole model when it is new; these first models apart, a round's payload
    is what goes up and down, on average over all rounds, those too that a client sits out.
    """
    named = groups(rows)
    compressed = {scheme_of(row) for row in rows if row.get("downlink")}
    shown = [seeds for seeds in named.values() if scheme_of(seeds[0]) in {"dense", *compressed}]
    whole = {label_of(seeds[0]): fmean(bytes_of_run(row) for row in seeds) for seeds in shown}
    heads = (
        "test accuracy, mean", "payload up [B]", "record up [B]", "whole models down", "payload of changes down [B]",
        "their record [B]", "payload of a round, up and down, on average [B]", "payload of the whole run [MB]", "fewer",
    )  # fmt: skip
    lines = [["scheme", *heads], ["---", *["---:"] * len(heads)]]
    for seeds in shown:
        payload = fmean(per_change(row, "change_bytes_down") for row in seeds)
        record = fmean(per_change(row, "change_record_bytes_down") for row in seeds)
        each_round = fmean(map(bytes_of_round, seeds))
        ratio = whole["dense"] / whole[label_of(seeds[0])] if "dense" in whole else math.nan
        lines.append(
            [
                label_of(seeds[0]), _shown(fmean(final_accuracy(row) for row in seeds)),
                f"{fmean(row['payload_bytes_up_mean'] for row in seeds):,.0f}",
                f"{fmean(row['record_bytes_up_mean'] for row in seeds):,.0f}",
                f"{fmean(map(models_down, seeds)):.1f}",
                *("—" if math.isnan(size) else f"{size:,.0f}" for size in (payload, record, each_round)),
                f"{whole[label_of(seeds[0])] / 1e6:,.2f}", f"{ratio:.2g}×" if ratio < 10 else f"{ratio:.0f}×",
            ]
        )  # fmt: skip
    return f"{protocol(rows)}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write(rows: list[Row], folder: Path) -> None:
    """Write results.json, table.md and summary.md; a reader finds the old ones or the new ones, never half of them.

    And both_ways.md, where the way down was compressed in some.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "results.json": "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n",
        "table.md": table(rows),
        "summary.md": summary(rows),
    }
    if any(row.get("downlink") for row in rows):
        texts["both_ways.md"] = both_ways(rows)
    for name, text in texts.items():
        (folder / f"{name}.new").write_text(text)
        (folder / f"{name}.new").replace(folder / name)


def _others(rows: list[Row]) -> str:
    """The other levers, where all rows have them at one value that is not the usual one."""
    found = {
        name: {setting_of(row, name) for row in rows} for name in LEVERS if name not in ("learning_rate", "momentum")
    }
    return "".join(
        f", {name.replace('_', ' ')} {values.pop():g}"
        for name, values in found.items()
        if len(values) == 1 and values != {getattr(USUAL, name)}
    )


def _shown(accuracy: float) -> str:
    return "diverged" if math.isnan(accuracy) else f"{accuracy:.2%}"
