"""Writes `corner_cases.txt`: of each feature that the walk visits, the shortest of many cases.

python -m tests.conformance.corner_cases --count 3000
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice

from tests.conformance.requests import Asked, asked
from tests.conformance.run import CORNER_CASES
from tests.format_walk.stream import random_cases

_LONGEST = 20_000  # characters of a request


def main(arguments: list[str] | None = None) -> int:
    """Choose, and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.corner_cases", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="cases to choose from (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    shortest: dict[str, Asked] = {}
    for case in islice(random_cases(options.seed, specials=0), options.count):
        own = asked(case)
        for feature in case.visited:
            if len(own.request) < len(shortest[feature].request if feature in shortest else " " * _LONGEST):
                shortest[feature] = own
    cases = sorted({*shortest.values()}, key=lambda each: len(each.request))
    CORNER_CASES.write_text("".join(f"{each.request}\t{each.answer}\n" for each in cases))
    print(f"{len(cases)} cases of {len(shortest)} features")
    return 0


if __name__ == "__main__":
    sys.exit(main())
