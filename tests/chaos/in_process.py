"""Run federations in which everything goes wrong: python -m tests.chaos.in_process --rounds 1000 --seed 0."""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from tests.chaos.federation import Federation
from tests.chaos.ledger import Broken
from tests.chaos.settings import SETTINGS


def main(arguments: list[str] | None = None) -> int:
    """Run the settings that are asked for; 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.in_process", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME")
    options = parser.parse_args(arguments)
    failed = 0
    for name in options.settings:
        print(f"{name}: {options.rounds} rounds, seed {options.seed}", flush=True)
        federation, began = Federation(SETTINGS[name], options.rounds, options.seed), time.perf_counter()
        try:
            federation.run(_say)
        except Broken as fault:
            failed += 1
            print(f"  BROKEN: {fault}", flush=True)
        print(f"  {_summary(federation)}; {time.perf_counter() - began:.0f} s", flush=True)
    return min(failed, 1)


def _say(server_round: int, federation: Federation) -> None:
    if server_round % 100 == 0:
        print(f"  round {server_round}", flush=True)


def _summary(federation: Federation) -> str:
    accounts = federation.ledger.accounts.values()
    said = ", ".join(f"{count} {what}" for what, count in sorted(federation.troubles.happened.items()))
    wanted = sum(float(np.abs(each.increments).sum()) for each in accounts)
    return (
        f"{federation.server_round} rounds, {federation.ledger.turn} messages made, "
        f"{sum(each.intact for each in accounts)} of {len(accounts)} clients never lost a state, "
        f"Σ|increments| {wanted:.1f}; {said}"
    )


if __name__ == "__main__":
    sys.exit(main())
