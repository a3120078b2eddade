"""`surp-fl plan`: what each budget costs, before anything is run."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from surp_fl.cli.failures import BAD_INPUT, CommandError, read
from surp_fl.cli.stored import arrays_in
from surp_fl.layout import Layout
from surp_fl.planning import RULE, Analysis, Federation, PlanError, as_text, plan
from surp_fl.planning.text import facts

_DEFAULTS = Federation(parameters=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--parameters", type=int, help="of the model; those that are trained")
    model.add_argument("--model", type=Path, help="the model: a .npz of its arrays")
    parser.add_argument("--dtype-bytes", type=int, help="of a parameter, with --parameters (4)")
    parser.add_argument("--arrays", type=int, help=f"of the model, with --parameters ({_DEFAULTS.arrays}, as LeNet-5)")
    given = partial(_add, parser)
    given("--clients", int, "all of them")
    parser.add_argument("--clients-per-round", type=int, help="how many take part in a round (all)")
    given("--rounds", int, "of the run")
    parser.add_argument("--evaluate", action="store_true", help="the clients of a round evaluate the model too")
    parser.add_argument(
        "--evaluate-with-train", action="store_true", help="in the exchange that trains, where surp-fl compresses"
    )
    given("--training-seconds", float, "of a client in a round, the start of its process included")
    given("--uplink-mbit", float, "of a client's link, Mbit/s")
    given("--downlink-mbit", float, "of a client's link, Mbit/s")
    given("--latency-ms", float, "round trip between client and server")
    parser.add_argument(
        "--first-model", type=int, metavar="BYTES", help="that a new client is sent; 0: it makes it itself (the model)"
    )
    given("--app-bytes", int, "of the app's bundle, which every client is sent once")
    parser.add_argument(
        "--budgets", type=int, nargs="+", default=[], metavar="BYTES", help="of a message up (shares of the model)"
    )
    parser.add_argument(
        "--downlink", type=_downlink, nargs="+", default=[None], metavar="BYTES",
        help="of a change down; none for whole models, the default",
    )  # fmt: skip
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="a picture as well; needs matplotlib")
    parser.add_argument("--json", action="store_true", help="for programs")


def report_on(options: argparse.Namespace) -> Any:
    """Plan, and draw if a picture is wanted.

    Returns:
        Names to values that JSON can represent.

    Raises:
        CommandError: a number is out of its range, or a file is not what it should be.
    """
    try:
        analysis = plan(_federation_of(options), options.budgets, options.downlink)
        if options.plot:
            _draw(analysis, options.plot)
    except PlanError as fault:
        raise CommandError(BAD_INPUT, "plan", fault) from fault
    if not options.json:
        return as_text(analysis)
    return {**asdict(analysis), "rule": RULE, "facts": facts(analysis)}


def _federation_of(options: argparse.Namespace) -> Federation:
    names = (
        "clients", "clients_per_round", "rounds", "evaluate", "evaluate_with_train", "training_seconds", "uplink_mbit",
        "downlink_mbit", "latency_ms", "first_model", "app_bytes",
    )  # fmt: skip
    given = {name: getattr(options, name) for name in names}
    if options.model is None:
        arrays = _DEFAULTS.arrays if options.arrays is None else options.arrays
        each = 4 if options.dtype_bytes is None else options.dtype_bytes
        if not 1 <= each <= 16:
            raise PlanError(f"dtype_bytes = {each}; expected bytes of a number, from 1 to 16: give 4 for float32")
        return Federation(options.parameters, each * options.parameters if each != 4 else None, arrays, **given)
    for name in ("dtype_bytes", "arrays"):
        if getattr(options, name) is not None:
            raise PlanError(f"{name} beside a model; the file says it: leave out --{name.replace('_', '-')}")
    arrays_by_name = read(arrays_in, options.model)
    try:
        parameters = Layout.of(arrays_by_name).size
    except (ValueError, TypeError) as fault:
        raise CommandError(BAD_INPUT, options.model, fault) from fault
    if not parameters:
        none = PlanError(f"{len(arrays_by_name)} arrays, none of floats; expected trained ones: give the whole model")
        raise CommandError(BAD_INPUT, options.model, none)
    stored = sum(array.nbytes for array in arrays_by_name.values())
    return Federation(parameters, stored, len(arrays_by_name), **given)


def _draw(analysis: Analysis, file: Path) -> None:
    from surp_fl.planning.plot import draw

    try:
        draw(analysis, file)
    except OSError as fault:
        raise CommandError(BAD_INPUT, file, fault) from fault


def _add(parser: argparse.ArgumentParser, option: str, kind: type, says: str) -> None:
    """An option with the default of the federation's field of that name."""
    default = getattr(_DEFAULTS, option[2:].replace("-", "_"))
    parser.add_argument(option, type=kind, default=default, help=f"{says} (%(default)s)")


def _downlink(text: str) -> int | None:
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; expected bytes, or none for whole models") from None
