"""The command line: `surp-fl compress`, `decompress`, `inspect`, `plan`, and `surp-fl --version`."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from surp_fl import __version__
from surp_fl.cli import compress, decompress, plan
from surp_fl.cli.failures import BAD_INPUT, NOT_A_MESSAGE, CommandError, read
from surp_fl.cli.inspect import as_text, explain
from surp_fl.cli.inspect_model import explain_model, model_as_text
from surp_fl.cli.stored import arrays_in, message_in
from surp_fl.errors import MalformedMessage
from surp_fl.model_file import is_model_file
from surp_fl.model_file.decoding import MAX_BYTES

_MAX_MESSAGE = (1 << 31) - 1  # bytes; the limit of gRPC
_BASE_BYTES, _BYTES_EACH = 1 << 20, 64  # of a message, and of each coordinate in it: far more than any scheme needs


_COMMANDS = (
    (
        "compress", compress, "make a trained model one file of a chosen size",
        "0; 1: a model file that is to be cut is damaged; 2: a number is out of its range, or a file is not what it "
        "should be",
    ),
    (
        "decompress", decompress, "make a compressed model file, whole or cut, a model again",
        "0; 1: no such file, or a damaged one; 2: a file is not what it should be",
    ),
    (
        "plan", plan, "what each budget costs in bytes on the wire and in time, before anything is run",
        "0; 2: a number is out of its range, or a file is not what it should be",
    ),
)  # fmt: skip


def _inspect(options: argparse.Namespace) -> Any:
    """Read the files, the model first, whose size bounds the message's; report on the message."""
    arrays, before = (read(arrays_in, each) if each else None for each in (options.model, options.before))
    limit = _MAX_MESSAGE
    if arrays is not None:
        limit = min(limit, _BASE_BYTES + _BYTES_EACH * sum(array.size for array in arrays.values()))
    message = read(partial(message_in, limit=limit), options.file)
    try:
        if is_model_file(message):
            explained = explain_model(message, options.max_bytes)
            return explained if options.json else model_as_text(explained)
        report = explain(message, arrays, before)
    except MalformedMessage as fault:
        raise CommandError(NOT_A_MESSAGE, options.file, fault) from fault
    except (ValueError, TypeError) as fault:  # the two models do not have the same layout
        raise CommandError(BAD_INPUT, options.before or options.model or options.file, fault) from fault
    return report if options.json else as_text(report)


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
        help="explain a stored message, or a model file",
        epilog="exit codes: 0; 1: no such message, or not one for this model; 2: a file is not what it should be",
    )
    inspect.add_argument("file", type=Path, help="the message's bytes, or a model file")
    inspect.add_argument("--model", type=Path, help="what the client was sent: a .npz of its arrays, by name, in order")
    inspect.add_argument("--before", type=Path, help="what it was sent in the round of its message before; .npz")
    inspect.add_argument(
        "--max-bytes",
        type=int,
        default=MAX_BYTES,
        metavar="N",
        help="that a model file's arrays may take (%(default)s)",
    )
    inspect.add_argument("--json", action="store_true", help="for programs")
    inspect.set_defaults(report=_inspect)
    for name, command, told, codes in _COMMANDS:
        added = commands.add_parser(name, help=told, epilog=f"exit codes: {codes}")
        command.add_arguments(added)
        added.set_defaults(report=command.report_on)
    options = parser.parse_args(arguments)
    try:
        report = options.report(options)
    except CommandError as fault:
        print(fault, file=sys.stderr)
        return fault.code
    print(report if isinstance(report, str) else json.dumps(report, indent=2))
    return 0
