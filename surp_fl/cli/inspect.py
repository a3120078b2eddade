"""Explains a stored message: its header alone, or all of it if the model that it is coded against is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs import reader_of
from surp_fl.codecs.reader import Reader
from surp_fl.codecs.surp.decoder import context_of
from surp_fl.frame import HEADER_BYTES
from surp_fl.layout import Layout
from surp_fl.types import Reference

_CONTEXTS = ("nothing but names and shapes", "the model that the client was sent", "that model and the one before")


def explain(message: bytes, arrays: dict[str, NDArray[Any]] | None, before: dict[str, NDArray[Any]] | None) -> Any:
    """Explain a message.

    Args:
        message: its bytes.
        arrays: the model that the client was sent, by name; None explains the header alone.
        before: the model that the client was sent in the round of its message before.

    Returns:
        Names to values that JSON can represent.

    Raises:
        MalformedMessage: not a message, or not one for this model.
    """
    reader = reader_of(message)
    report: dict[str, Any] = {
        "bytes": len(message),
        "scheme": reader.name,
        "format version": message[0] >> 5,
        "can be shortened": reader.progressive,
    }
    if reader.contextual:
        context = context_of(message[HEADER_BYTES:])
        report["coded against"] = _CONTEXTS[context] if context < len(_CONTEXTS) else f"context {context}, unknown here"
    if arrays is None:
        return report
    layout = Layout.of(arrays)
    model = layout.flatten(arrays)
    reference: Reference = model if before is None else (model, layout.flatten(before))
    indices, values = reader.decode_sparse(message, layout, reference=reference)
    report["integrity"] = "the check holds for this model"
    report["coordinates of the model"] = layout.size
    report["coordinates sent"] = len(indices)
    report["norm of the update"] = float(np.linalg.norm(values.astype(np.float64)))
    report["largest value"] = float(np.abs(values).max(initial=0))
    report["bits"] = _bits(reader, message, layout, reference)
    report["arrays"] = _by_array(layout, indices, values)
    return report


def _bits(reader: Reader, message: bytes, layout: Layout, reference: Reference) -> dict[str, float]:
    parts = reader.bit_breakdown(message, layout, reference=reference)._asdict()
    return {"header": 8 * len(message) - sum(parts.values()), **parts}


def _by_array(layout: Layout, indices: NDArray[np.int64], values: NDArray[np.float32]) -> list[dict[str, Any]]:
    energy = float(np.square(values, dtype=np.float64).sum()) or 1.0
    rows = []
    for spec, end in zip(layout.floats, layout.ends.tolist(), strict=True):
        first, last = np.searchsorted(indices, (end - spec.size, end))
        mine = values[first:last].astype(np.float64)
        rows.append(
            {
                "name": spec.name,
                "shape": list(spec.shape),
                "coordinates sent": int(last - first),
                "share of the energy": float(np.square(mine).sum()) / energy,
                "upwards": int((mine > 0).sum()),
            }
        )
    return rows


def as_text(report: Any) -> str:
    """Format what `explain` gives as lines of text."""
    lines = [f"{name:<26}{_shown(value)}" for name, value in report.items() if not isinstance(value, dict | list)]
    for part, spent in report.get("bits", {}).items():
        per = (
            f", {spent / report['coordinates sent']:.2f} each"
            if report["coordinates sent"] and part != "header"
            else ""
        )
        lines.append(f"{'bits for ' + part:<26}{spent:,.1f}{per}")
    arrays = report.get("arrays", [])
    if arrays:
        width = max(len(each["name"]) for each in arrays) + 2
        lines += ["", f"{'array':<{width}}{'shape':<20}{'sent':>8}{'upwards':>9}{'energy':>9}"]
        lines += [
            f"{each['name']:<{width}}{each['shape']!s:<20}{each['coordinates sent']:>8,}{each['upwards']:>9,}"
            f"{each['share of the energy']:>9.1%}"
            for each in arrays
        ]
    elif "coordinates sent" not in report:
        lines += ["", "give --model FILE.npz, the model that the client was sent, to check and read the rest"]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
