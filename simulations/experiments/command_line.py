"""Command lines of the experiments, made from the settings: each says which of them it takes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from simulations.app.datasets import data_root
from simulations.app.settings import Settings
from simulations.app.training import initial_arrays, load
from simulations.app.workloads import WORKLOADS


def parser_of(module: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m MODULE`, described by the first line of the module's docstring."""
    return argparse.ArgumentParser(prog=f"python -m {module}", description=(doc or "").split("\n")[0])


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str], **defaults: Any) -> None:
    """Add an option for each of these settings, with its help, its choices, and its default or one given here.

    Raises:
        KeyError: there is no such setting.
    """
    known = {each.name: each for each in fields(Settings)}
    for name in names:
        setting = known[name]
        option, default = "--" + name.replace("_", "-"), defaults.get(name, setting.default)
        text = setting.metadata["help"]
        if isinstance(default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default, help=text)
            continue
        text += " (%(default)s)" if default not in ("", 0) else ""
        choices = setting.metadata["choices"]
        parser.add_argument(option, type=type(setting.default), choices=choices, default=default, help=text)


def parsed(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """Parse a command line; what it leaves out is as the workload has it, or else as the command has it."""
    options = parser.parse_args(arguments)
    if hasattr(options, "workload"):
        defaults = WORKLOADS[options.workload].defaults
        parser.set_defaults(**{name: value for name, value in defaults.items() if hasattr(options, name)})
        options = parser.parse_args(arguments)
    return options


def settings_of(options: argparse.Namespace, **others: Any) -> Settings:
    """The settings that were given, and others; the dataset by the name of what is there.

    What takes time the first time, as pre-training, is done before this returns.

    Raises:
        DataMissing: the dataset cannot be had.
        ValueError: it cannot be held out from.
    """
    given = {each.name: getattr(options, each.name) for each in fields(Settings) if hasattr(options, each.name)}
    defaults = WORKLOADS[(given | others).get("workload", Settings.workload)].defaults
    settings = Settings(**{**defaults, **given, "out": "", **others})
    root = data_root(settings.data_root)
    dataset = load(settings.workload, settings.dataset, root, settings.held_out)
    initial_arrays(settings.kind, settings.seed, root)
    return Settings(**vars(settings) | {"dataset": dataset.name})


def add_seeds(parser: argparse.ArgumentParser, *seeds: int) -> None:
    """Add --seeds."""
    shown = " ".join(map(str, seeds))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(seeds), help=f"a run of each ({shown})")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add --out."""
    parser.add_argument("--out", type=Path, default=Path("results"), help="output folder (%(default)s)")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add --jobs, and --out, whose rows are not run again."""
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("results"),
        help="output folder; a row that is there already is not run again (%(default)s)",
    )  # fmt: skip


def downlink_of(text: str) -> str:
    """The setting for what --downlinks calls none."""
    return "" if text == "none" else text
