"""Mounts all attacks, or those named, and prints a table: `python -m tests.attacks "memory bomb"`."""

from __future__ import annotations

import argparse
import sys

from tests.attacks.attack import BrokenPromiseError
from tests.attacks.every_attack import ATTACKS


def main(arguments: list[str] | None = None) -> int:
    """Mount, print, and give the number of attacks that do harm."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ATTACKS)} (all)")
    names = parser.parse_args(arguments).names or list(ATTACKS)
    if unknown := [name for name in names if name not in ATTACKS]:
        parser.error(f"no attack {', '.join(unknown)}; there are {', '.join(ATTACKS)}")
    print("| attack | tried | what happened | bound | measured |")
    print("| --- | --- | --- | --- | --- |")
    succeeded = 0
    for name in names:
        try:
            outcomes = ATTACKS[name]()
        except BrokenPromiseError as harm:
            succeeded += 1
            print(f"| {name} | **succeeds** | {harm} | | |", flush=True)
            continue
        for each in outcomes:
            print(f"| {name} | {each.tried} | {each.happened} | {each.bound} | {each.measured} |", flush=True)
    return succeeded


if __name__ == "__main__":
    sys.exit(main())
