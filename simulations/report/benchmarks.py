"""Files of the benchmarks: rows and their tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulations.report import markdown

Row = dict[str, Any]


def write(rows: list[Row], table: Callable[[list[Row]], str], file: Path) -> None:
    """Write rows as JSON, one a line, and their table beside it; show the table."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    file.with_suffix(".md").write_text(table(rows))
    print("\n" + table(rows))


def codec_table(rows: list[Row]) -> str:
    """Show the times of the codec and its peers, a column for each n."""
    sizes = list(dict.fromkeys(row["n"] for row in rows))
    kinds = list(dict.fromkeys(_kind(row["what"]) for row in rows))
    cells = {
        (_kind(row["what"]), row["n"]): f"{row['ms']:,.2f} ({row['to_topk']:.2f}; {row['to_floor']:.1f})"
        for row in rows
    }
    memory = {row["n"]: row["encode_memory_in_vectors"] for row in rows if row["encode_memory_in_vectors"] is not None}
    header = ["ms, median (in `torch.topk`; in passes of the floor)", *(f"n = {n:,}" for n in sizes)]
    lines = [[kind, *(cells.get((kind, n), "") for n in sizes)] for kind in kinds]
    peaks = "; ".join(f"{share:.2f} at n = {n:,}" for n, share in memory.items())
    return (
        f"{markdown.table(header, lines)}\nPeak extra memory of an encode to 218 B, in sizes of the vector: {peaks}.\n"
    )


def _kind(what: str) -> str:
    """The name of a row without what depends on n."""
    return what.split(", k =")[0]


def server_table(rows: list[Row]) -> str:
    """Show what one round's aggregation takes."""
    dense = next(row for row in rows if row["way"] == "models")
    names = {"models": "each client's model", "pairs": "their mean, summed up in pairs"}
    lines = []
    for row in rows:
        ratio = f"×{dense['seconds'] / row['seconds']:,.0f}" if row["replies"] == dense["replies"] else ""
        memory = f"{row['memory_in_vectors']:,.1f}"
        lines.append([names[row["way"]], f"{row['replies']:,}", f"{row['seconds']:,.2f}", ratio, memory])
    apart = next(row["largest_difference_to_models"] for row in rows if row["way"] == "pairs")
    header = ["handed to the strategy", "replies", "seconds", "against models", "peak memory, in models"]
    return (
        f"One round's aggregation in FedAvg: replies of {dense['budget']} B to a model of {dense['n']:,} float32.\n\n"
        f"{markdown.table(header, lines)}\n"
        f"Largest difference between the two results: {apart:.1e}, of weights up to {dense['largest_weight']:.1f}.\n"
    )


def lossless_table(rows: list[Row]) -> str:
    """Show to what share compressors shrink models, a column for each compressor."""
    sizes = {row["model"]: row["nbytes"] for row in rows}
    compressors = list(dict.fromkeys(row["method"] for row in rows))
    cells = {(row["model"], row["method"]): _lossless_cell(row) for row in rows}
    lines = [
        [f"{name}, {size / 1e6:.1f} MB", *(cells[name, each] for each in compressors)] for name, size in sizes.items()
    ]
    header = ["share that is left (MB/s compressing; decompressing)", *compressors]
    return markdown.table(header, lines)


def _lossless_cell(row: Row) -> str:
    if row["bytes"] is None:
        return "not installed"
    speeds = f"{row['compress_mb_s']:,.0f}; {row['decompress_mb_s']:,.0f}"
    return f"{row['bytes'] / row['nbytes']:.1%} ({speeds})"
