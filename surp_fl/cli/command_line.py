"""The command line: `surp-fl inspect FILE`, `surp-fl --version`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from surp_fl import __version__
from surp_fl.cli.inspect import as_text, explain
from surp_fl.cli.stored import arrays_in, message_in
from surp_fl.errors import MalformedMessage

Content = TypeVar("Content")

NOT_A_MESSAGE, BAD_FILE = 1, 2  # exit codes
_MAX_MESSAGE = (1 << 31) - 1  # bytes; the limit of gRPC
_BASE_BYTES, _BYTES_EACH = 1 << 20, 64  # of a message, and of each coordinate in it: far more than any scheme needs


class _CommandError(Exception):
    """A line for standard error, and the exit code."""

    def __init__(self, code: int, file: Path, fault: Exception) -> None:
        line = " ".join(f"surp-fl: {file}: {fault or type(fault).__name__}".split())
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in line))
        self.code = code


def _report(options: argparse.Namespace) -> Any:
    """Read the files, the model first, whose size bounds the message's; report on the message."""
    arrays, before = (_read(arrays_in, each) if each else None for each in (options.model, options.before))
    limit = _MAX_MESSAGE
    if arrays is not None:
        limit = min(limit, _BASE_BYTES + _BYTES_EACH * sum(array.size for array in arrays.values()))
    message = _read(partial(message_in, limit=limit), options.file)
    try:
        return explain(message, arrays, before)
    except MalformedMessage as fault:
        raise _CommandError(NOT_A_MESSAGE, options.file, fault) from fault
    except (ValueError, TypeError) as fault:  # the two models do not have the same layout
        raise _CommandError(BAD_FILE, options.before or options.model or options.file, fault) from fault


def _read(reader: Callable[[Path], Content], file: Path) -> Content:
    try:
        return reader(file)
    except FileNotFoundError as fault:
        raise _CommandError(NOT_A_MESSAGE, file, fault) from fault
    except (OSError, ValueError, MemoryError) as fault:
        raise _CommandError(BAD_FILE, file, fault) from fault


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="surp-fl", description="Federated learning uploads of two hundred bytes.")
    parser.add_argument("--version", action="version", version=f"surp-fl {__version__}")
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
        report = _report(options)
    except _CommandError as fault:
        print(fault, file=sys.stderr)
        return fault.code
    print(json.dumps(report, indent=2) if options.json else as_text(report))
    return 0
