"""`surp-fl compress`: a model, or a model file that is already compressed → a smaller model file."""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

from surp_fl.cli.evaluation import Evaluation, EvaluationError
from surp_fl.cli.failures import BAD_INPUT, NOT_A_MESSAGE, CommandError, read
from surp_fl.cli.models import format_of, read_model, write_bytes
from surp_fl.cli.stored import BadFileError, message_in
from surp_fl.errors import MalformedMessage
from surp_fl.model_file import cut, decompress_model, is_model_file
from surp_fl.model_file.calls import budget_for
from surp_fl.model_file.container import MAGIC
from surp_fl.model_file.decoding import opened
from surp_fl.model_file.encoding import Compressor, Options
from surp_fl.model_file.gains import GAINS
from surp_fl.model_file.search import Trial, smallest_file
from surp_fl.model_file.weighting import WEIGHTINGS

SUFFIX = ".surp"
MOST_BYTES = (1 << 48) - 1  # of a model file
_DEFAULTS = Options()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", type=Path, help="a model, .safetensors or .npz; or a model file, to be cut without it")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--bytes", type=int, metavar="N", help="of the file that is written, at most")
    size.add_argument("--ratio", type=float, metavar="R", help="how many times smaller than the model's arrays it is")
    size.add_argument(
        "--accuracy-drop",
        type=float,
        metavar="D",
        help="the smallest file that loses at most so much; needs --evaluate",
    )
    parser.add_argument(
        "--evaluate", metavar="COMMAND", help="evaluates a model: {model} stands for its file; the last number counts"
    )
    parser.add_argument("--evaluations", type=int, default=12, metavar="N", help="of compressed models (%(default)s)")
    parser.add_argument("-o", "--out", type=Path, help=f"the file to write (the model's name with {SUFFIX})")
    parser.add_argument(
        "--weighting", choices=WEIGHTINGS, default=_DEFAULTS.weighting,
        help="what an array's squared errors are relative to (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--gain", choices=GAINS, default=_DEFAULTS.gain, help="how arrays are scaled back (%(default)s)"
    )
    parser.add_argument("--progressive", action="store_true", help="make cut files better, at some cost in this one")
    parser.add_argument("--exact", nargs="+", default=[], metavar="NAME", help="arrays to code without loss")
    parser.add_argument("--json", action="store_true", help="for programs")


def report_on(options: argparse.Namespace) -> Any:
    """Compress, or cut.

    Returns:
        What was written: a line, or names to values that JSON can represent.

    Raises:
        CommandError: a file is not what it should be, or a number is out of its range.
    """
    if (options.accuracy_drop is None) != (options.evaluate is None):
        fault = EvaluationError("--accuracy-drop and --evaluate are given together, or neither")
        raise CommandError(BAD_INPUT, "compress", fault)
    try:
        written = _cut(options) if read(_is_compressed, options.file) else _compressed(options)
    except MalformedMessage as fault:
        raise CommandError(NOT_A_MESSAGE, options.file, fault) from fault
    except (ValueError, TypeError) as fault:
        raise CommandError(BAD_INPUT, options.file, fault) from fault
    if options.json:
        return written
    accuracy = f"; accuracy {written['accuracy']:g}" if "accuracy" in written else ""
    return f"{written['out']}: {written['bytes']:,} bytes, {written['ratio']:.1f} times fewer than the model{accuracy}"


def _is_compressed(file: Path) -> bool:
    if not file.is_file():  # whoever reads it says what it is
        return False
    with file.open("rb") as opened_file:
        return is_model_file(opened_file.read(len(MAGIC)))


def _cut(options: argparse.Namespace) -> dict[str, Any]:
    if options.accuracy_drop is not None or options.out is None:
        raise BadFileError("a model file, which is cut to --bytes or --ratio, into the file that -o names: give both")
    data = read(partial(message_in, limit=MOST_BYTES), options.file)
    nbytes = sum(entry.nbytes for entry in opened(data, sys.maxsize).manifest.entries)
    return _written(options.out, cut(data, budget_for(nbytes, options.bytes, options.ratio)), nbytes)


def _compressed(options: argparse.Namespace) -> dict[str, Any]:
    out = options.out or options.file.with_suffix(SUFFIX)
    evaluation = Evaluation(options.evaluate, format_of(options.file)) if options.evaluate else None
    coded = Options(options.weighting, options.gain, options.progressive, exact=options.exact)
    compressor = Compressor(read_model(options.file), coded)
    nbytes = compressor.model.nbytes
    if evaluation is None:
        return _written(out, compressor.of_budget(budget_for(nbytes, options.bytes, options.ratio)), nbytes)
    trial = _searched(compressor, evaluation, options)
    return _written(out, trial.file, nbytes) | {"accuracy": trial.accuracy}


def _searched(compressor: Compressor, evaluation: Evaluation, options: argparse.Namespace) -> Trial:
    if not options.accuracy_drop >= 0 or options.evaluations < 1:
        raise EvaluationError(
            f"--accuracy-drop {options.accuracy_drop:g} with {options.evaluations} evaluations; expected a loss from 0 "
            "on, in the unit of what the command prints, and at least one"
        )
    original = evaluation.accuracy_of(compressor.model)
    least = original - options.accuracy_drop
    if not math.isfinite(original):
        raise EvaluationError(f"{options.evaluate!r} says {original} of the model itself; expected its accuracy")
    _say(f"the model itself: {original:g}; enough is {least:g}")

    def say(trial: Trial) -> None:
        _say(f"{len(trial.file):,} bytes: {trial.accuracy:g}, {'enough' if trial.enough else 'too little'}")

    smallest = compressor.least_budget
    found = smallest_file(
        compressor.of_budget,
        lambda file: evaluation.accuracy_of(decompress_model(file, max_bytes=sys.maxsize)),
        least,
        smallest,
        max(smallest, compressor.model.nbytes // 2),
        options.evaluations,
        say,
    )
    if found is None:
        raise EvaluationError(
            f"half of the model's bytes lose more than {options.accuracy_drop:g}: allow a larger loss"
        )
    return found


def _say(line: str) -> None:
    print(f"surp-fl: {line}", file=sys.stderr, flush=True)


def _written(out: Path, file: bytes, nbytes: int) -> dict[str, Any]:
    write_bytes(file, out)
    return {"out": str(out), "bytes": len(file), "model_bytes": nbytes, "ratio": nbytes / len(file)}
