"""Explains a model file: its sections, and of each array how it is coded and how much of it is kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from surp_fl.codecs.surp.decoder import count_bits
from surp_fl.model_file.container import VERSION
from surp_fl.model_file.decoding import MAX_BYTES, Opened, opened, vector_of_body
from surp_fl.model_file.gains import gains_for, norms_of
from surp_fl.model_file.manifest import Role
from surp_fl.printable import printable
from surp_fl.types import Vector

_ROLES = {
    Role.EXACT: "without loss",
    Role.SMALL: "small",
    Role.MEAN: "mean",
    Role.VARIANCE: "variance",
    Role.WEIGHT: "weights",
    Role.COPY: "copy",
}


def explain_model(data: bytes, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Explain a model file.

    Args:
        data: the file, whole or cut.
        max_bytes: that its arrays may take.

    Returns:
        Names to values that JSON can represent.

    Raises:
        MalformedMessage: it is none, or damaged.
    """
    file = opened(data, max_bytes)
    vector = vector_of_body(file.sections.body, file.layout)
    kept = int(np.count_nonzero(vector))
    claimed = sum(entry.nbytes for entry in file.manifest.entries)
    parts = file.sections
    named = {
        "manifest": len(parts.manifest),
        "arrays without loss": len(parts.exact),
        "small arrays and statistics": len(parts.small),
        "scales": len(parts.scales),
        "message": len(parts.body),
    }
    report: dict[str, Any] = {
        "bytes": len(data),
        "kind": "a model file",
        "format version": VERSION,
        "arrays of the model": len(file.manifest.entries),
        "bytes of the arrays": claimed,
        "times smaller": claimed / len(data),
        "message": _state(file),
        "weights in the message": file.layout.size,
        "weights kept": kept,
        "share of zeros": 1 - kept / file.layout.size if file.layout.size else 0.0,
        "sections": named | {"lengths and checks": len(data) - sum(named.values())},
        "bits": dict(count_bits(parts.body, file.layout, None)._asdict()) if parts.body else {},
        "arrays": _by_array(file, vector),
    }
    if file.manifest.metadata:
        report["metadata"] = dict(file.manifest.metadata)
    return report


def _state(file: Opened) -> str:
    left, whole = len(file.sections.body), file.sections.whole
    return "whole" if left == whole else f"cut: {left:,} of {whole:,} bytes are left"


def _by_array(file: Opened, vector: Vector) -> list[dict[str, Any]]:
    left = norms_of(vector, file.layout, [file.scales.rows(place) for place in range(len(file.layout.floats))])
    ends = iter(file.layout.ends.tolist())
    places = iter(range(len(file.layout.floats)))
    rows = []
    for entry in file.manifest.entries:
        row: dict[str, Any] = {
            "name": entry.name, "shape": list(entry.shape), "dtype": entry.dtype, "coded as": _ROLES[entry.role]
        }  # fmt: skip
        if entry.role == Role.WEIGHT:
            place, end = next(places), next(ends)
            mine = vector[end - entry.size : end]
            row["kept"] = int(np.count_nonzero(mine))
            row["share kept"] = row["kept"] / max(entry.size, 1)
            row["magnitudes"] = int(np.unique(np.abs(mine[mine != 0])).size)
            row["unit"] = file.scales.unit(place)
            gains = gains_for(file.scales.row_norms(place), left[place])
            row["gain"] = float(np.median(gains))
            row["gains"] = len(gains)
        rows.append(row)
    return rows


def model_as_text(report: dict[str, Any]) -> str:
    """Format what `explain_model` gives as lines of text."""
    lines = [f"{name:<26}{_shown(value)}" for name, value in report.items() if not isinstance(value, dict | list)]
    lines += [f"{'bytes of ' + part:<38}{spent:,}" for part, spent in report["sections"].items()]
    lines += [
        f"{'bits for ' + part:<38}{spent:,.1f}, {spent / max(report['weights kept'], 1):.2f} each"
        for part, spent in report["bits"].items()
    ]
    lines += [
        f"{'metadata ' + printable(name, 28):<38}{printable(text)}" for name, text in report.get("metadata", {}).items()
    ]
    names = [printable(each["name"], 60) for each in report["arrays"]]
    width = max(map(len, names), default=0) + 2
    lines += [
        "",
        f"{'array':<{width}}{'shape':<20}{'dtype':<6}{'coded as':<14}{'kept':>10}{'':>9}{'values':>8}{'gain':>7}",
    ]
    for name, each in zip(names, report["arrays"], strict=True):
        line = f"{name:<{width}}{each['shape']!s:<20}{each['dtype']:<6}{each['coded as']:<14}"
        if "kept" in each:
            line += f"{each['kept']:>10,}{each['share kept']:>9.1%}{each['magnitudes']:>8,}{each['gain']:>7.2f}"
            line += f", median of {each['gains']:,} rows" if each["gains"] > 1 else ""
        lines.append(line.rstrip())
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
