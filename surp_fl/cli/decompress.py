"""`surp-fl decompress`: a model file, whole or cut → a model."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from surp_fl.cli.compress import MOST_BYTES
from surp_fl.cli.failures import NOT_A_MESSAGE, CommandError, read
from surp_fl.cli.models import FORMATS, format_of, write_model
from surp_fl.cli.stored import message_in
from surp_fl.errors import MalformedMessage
from surp_fl.model_file.decoding import MAX_BYTES, model_of, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", type=Path, help="a model file, whole or cut")
    parser.add_argument("-o", "--out", type=Path, required=True, help=f"the model to write, {' or '.join(FORMATS)}")
    parser.add_argument("--whole", action="store_true", help="refuse a file that was cut")
    parser.add_argument(
        "--max-bytes", type=int, default=MAX_BYTES, metavar="N", help="that the model's arrays may take (1 GiB)"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def report_on(options: argparse.Namespace) -> Any:
    """Decompress.

    Returns:
        What was written: a line, or names to values that JSON can represent.

    Raises:
        CommandError: a file is not what it should be.
    """
    format_of(options.out)
    data = read(partial(message_in, limit=MOST_BYTES), options.file)
    try:
        file = opened(data, options.max_bytes)
        left, whole = len(file.sections.body), file.sections.whole
        if left < whole and options.whole:
            raise MalformedMessage(f"it was cut: {left:,} of {whole:,} bytes of its message are left")
        model = model_of(file)
    except MalformedMessage as fault:
        raise CommandError(NOT_A_MESSAGE, options.file, fault) from fault
    write_model(model, options.out)
    if left < whole:
        unchecked = f"; the last {file.sections.unchecked:,} bytes are left out" if file.sections.unchecked else ""
        print(
            f"surp-fl: {options.file}: cut, {left:,} of {whole:,} bytes of its message are left{unchecked}",
            file=sys.stderr,
        )
    written = {"out": str(options.out), "arrays": len(model.arrays), "model_bytes": model.nbytes, "cut": left < whole}
    return written if options.json else f"{options.out}: {len(model.arrays)} arrays, {model.nbytes:,} bytes"
