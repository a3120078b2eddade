"""`surp-fl inspect FILE`: what a stored message says, as far as it can be told from what is at hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from surp_fl.codecs import reader_of
from surp_fl.codecs.codec import Reader
from surp_fl.codecs.surp import context_of
from surp_fl.context import Reference
from surp_fl.layout import Layout
from surp_fl.message import HEADER_BYTES, MalformedMessage
from surp_fl.stored import arrays_in, message_in

Read = TypeVar("Read")

NOT_FOR_US, BAD_FILE = 1, 2  # exit codes
_LONGEST = (1 << 31) - 1  # bytes; what gRPC carries at most
_SPARE, _EACH = 1 << 20, 64  # bytes that a message may have, and for each coordinate: far more than any scheme takes
_CONTEXTS = ("nothing but names and shapes", "the model that the client was sent", "that model and the one before")


def explain(message: bytes, arrays: dict[str, NDArray[Any]] | None, before: dict[str, NDArray[Any]] | None) -> Any:
    """What a message says.

    Args:
        message: as it travelled.
        arrays: the model that the client was sent, by name; None shows the header alone.
        before: the model that the client was sent in the round of its message before.

    Returns:
        Figures and words that JSON can hold.

    Raises:
        MalformedMessage: not a message, or not one for this model.
    """
    reader = reader_of(message)
    told: dict[str, Any] = {
        "bytes": len(message),
        "scheme": reader.name,
        "format version": message[0] >> 5,
        "can be shortened": reader.progressive,
    }
    if reader.contextual:
        context = context_of(message[HEADER_BYTES:])
        told["coded against"] = _CONTEXTS[context] if context < len(_CONTEXTS) else f"context {context}, unknown here"
    if arrays is None:
        return told
    layout = Layout.of(arrays)
    model = layout.flatten(arrays)
    reference: Reference = model if before is None else (model, layout.flatten(before))
    indices, values = reader.decode_sparse(message, layout, reference=reference)
    told["integrity"] = "the check holds for this model"
    told["coordinates of the model"] = layout.size
    told["coordinates sent"] = len(indices)
    told["norm of the update"] = float(np.linalg.norm(values.astype(np.float64)))
    told["largest value"] = float(np.abs(values).max(initial=0))
    told["bits"] = _bits(reader, message, layout, reference)
    told["arrays"] = _by_array(layout, indices, values)
    return told


def _bits(reader: Reader, message: bytes, layout: Layout, reference: Reference) -> dict[str, float]:
    parts = reader.anatomy(message, layout, reference=reference)._asdict()
    return {"header": 8 * len(message) - sum(parts.values()), **parts}


def _by_array(layout: Layout, indices: NDArray[np.int64], values: NDArray[np.float32]) -> list[dict[str, Any]]:
    energy = float(np.square(values, dtype=np.float64).sum()) or 1.0
    told = []
    for spec, end in zip(layout.floats, layout.ends.tolist(), strict=True):
        first, last = np.searchsorted(indices, (end - spec.size, end))
        mine = values[first:last].astype(np.float64)
        told.append(
            {
                "name": spec.name,
                "shape": list(spec.shape),
                "coordinates sent": int(last - first),
                "share of the energy": float(np.square(mine).sum()) / energy,
                "upwards": int((mine > 0).sum()),
            }
        )
    return told


def as_text(told: Any) -> str:
    """For people."""
    lines = [f"{name:<26}{_shown(value)}" for name, value in told.items() if not isinstance(value, dict | list)]
    for part, spent in told.get("bits", {}).items():
        per = f", {spent / told['coordinates sent']:.2f} each" if told["coordinates sent"] and part != "header" else ""
        lines.append(f"{'bits for ' + part:<26}{spent:,.1f}{per}")
    arrays = told.get("arrays", [])
    if arrays:
        width = max(len(each["name"]) for each in arrays) + 2
        lines += ["", f"{'array':<{width}}{'shape':<20}{'sent':>8}{'upwards':>9}{'energy':>9}"]
        lines += [
            f"{each['name']:<{width}}{each['shape']!s:<20}{each['coordinates sent']:>8,}{each['upwards']:>9,}"
            f"{each['share of the energy']:>9.1%}"
            for each in arrays
        ]
    elif "coordinates sent" not in told:
        lines += ["", "give --model FILE.npz, the model that the client was sent, to check and read the rest"]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)


class _Refused(Exception):  # noqa: N818  (reads as what it is)
    """What is said on the one line, with the exit code."""

    def __init__(self, code: int, file: Path, fault: Exception) -> None:
        said = " ".join(f"surp-fl: {file}: {fault or type(fault).__name__}".split())
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in said))
        self.code = code


def _told(options: argparse.Namespace) -> Any:
    """Read the files, the model first: it says how long a message may be."""
    arrays, before = (_read(arrays_in, each) if each else None for each in (options.model, options.before))
    most = _LONGEST
    if arrays is not None:
        most = min(most, _SPARE + _EACH * sum(array.size for array in arrays.values()))
    message = _read(partial(message_in, most=most), options.file)
    try:
        return explain(message, arrays, before)
    except MalformedMessage as fault:
        raise _Refused(NOT_FOR_US, options.file, fault) from fault
    except (ValueError, TypeError) as fault:  # the two models do not go together
        raise _Refused(BAD_FILE, options.before or options.model or options.file, fault) from fault


def _read(reader: Callable[[Path], Read], file: Path) -> Read:
    try:
        return reader(file)
    except FileNotFoundError as fault:
        raise _Refused(NOT_FOR_US, file, fault) from fault
    except (OSError, ValueError, MemoryError) as fault:
        raise _Refused(BAD_FILE, file, fault) from fault


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="surp-fl", description="Federated learning uploads of two hundred bytes.")
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser(
        "inspect",
        help="explain a stored message",
        epilog="exit codes: 0; 1: no such message, or not one for this model; 2: a file is not what it should be",
    )
    inspect.add_argument("file", type=Path, help="the message's bytes")
    inspect.add_argument("--model", type=Path, help="what the client was sent: a .npz of its arrays, by name, in order")
    inspect.add_argument("--before", type=Path, help="what it was sent in the round of its message before; .npz")
    inspect.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    try:
        told = _told(options)
    except _Refused as fault:
        print(fault, file=sys.stderr)
        return fault.code
    print(json.dumps(told, indent=2) if options.json else as_text(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
