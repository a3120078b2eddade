"""Asks testees to read messages, and compares their answers with what the messages mean.

    python -m tests.conformance.run --count 10000 --seed 0

First the corner cases of `corner_cases.txt`, then random ones of `tests.format_walk`, which walks the format and knows
no encoder. A testee passes if it answers rightly, but for `known_failures.txt`, of which every line has to be true.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from tests.conformance.requests import REFUSED, Asked, asked
from tests.conformance.testees import NAMES, Testee, started
from tests.format_walk.stream import random_cases

FOLDER = Path(__file__).parent
CORNER_CASES, KNOWN_FAILURES = FOLDER / "corner_cases.txt", FOLDER / "known_failures.txt"


def corner_cases(file: Path = CORNER_CASES) -> list[Asked]:
    """The committed ones: a request and its answer a line, with a tab between."""
    return [Asked(*line.split("\t")) for line in file.read_text().splitlines()]


def known_failures(name: str, file: Path = KNOWN_FAILURES) -> dict[str, str]:
    """Of a testee: reasons by the names of requests."""
    lines = [line.split(": ", 2) for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return {request: reason for testee, request, reason in lines if testee == name}


def wrong_answers(testee: Testee, cases: Iterable[Asked], known: Mapping[str, str]) -> list[str]:
    """What is not as it should be: a wrong answer that is not known, or a known one that is not given any more."""
    found, left = [], dict(known)
    for case in cases:
        answer = testee.answer_to(case.request)
        is_right = answer == case.answer or (case.answer == REFUSED and not answer.startswith("ok"))
        if case.name in known:
            left.pop(case.name, None)
            if is_right:
                found.append(f"{case.name} is answered rightly: take it off the known failures")
        elif not is_right:
            found.append(f"{case.name} is answered with '{answer}'; expected '{case.answer}': {case.request[:300]}")
    return found + [f"{name} is a known failure that nobody asks for: take it off the list" for name in left]


def main(arguments: list[str] | None = None) -> int:
    """Run them, and say what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="random cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--testees", nargs="+", choices=NAMES, default=NAMES)
    options = parser.parse_args(arguments)
    wrong = 0
    cases = corner_cases()
    cases += map(asked, islice(random_cases(options.seed), options.count))
    for name in options.testees:
        began = time.perf_counter()
        with started(name) as testee:
            known = known_failures(name)
            found = wrong_answers(testee, tqdm(cases, unit="case", disable=None), known)
        wrong += len(found)
        seconds = time.perf_counter() - began
        print(f"{name}: {len(cases):,} cases in {seconds:.0f} s, {len(found)} wrong, {len(known)} known failures")
        print("".join(f"  {line}\n" for line in found[:20]), end="", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
