"""Random messages through the library: `python -m tests.format_walk.generate --count 10000 --seed 0 [--out FILE]`.

With `--out`, a case is a line of JSON for other decoders: `shapes` of the arrays in the model's order, `message` in
hex, `model` and `before` as float32, little-endian, in hex, or null, the layout's `fingerprint`, and `expect`, the
CRC-32 of the float32 values that the message means, little-endian, with 0.0 for every −0.0; null if it has to be
refused.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections import Counter
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

from tests.format_walk.agreement import disagreement
from tests.format_walk.cases import Case
from tests.format_walk.features import FEATURES
from tests.format_walk.side import Vector
from tests.format_walk.stream import random_cases


def as_hex(vector: Vector | None) -> str | None:
    return None if vector is None else vector.astype("<f4").tobytes().hex()


def line_of(case: Case) -> str:
    """A case in JSON, for decoders in other languages."""
    vector = case.vector
    return json.dumps(
        {
            "shapes": case.setting.shapes,
            "message": case.message.hex(),
            "model": as_hex(case.setting.model),
            "before": as_hex(case.setting.before),
            "fingerprint": case.fingerprint,
            "expect": None if vector is None else zlib.crc32((vector + 0.0).astype("<f4").tobytes()),
        }
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="cases")
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parser.add_argument("--out", type=Path, help="where to write the cases, a line each")
    parser.add_argument("--valid", action="store_true", help="write no cases that have to be refused")
    options = parser.parse_args()
    visited, wrong = Counter[str](), 0
    with options.out.open("w") if options.out else nullcontext() as out:
        for number, case in enumerate(islice(random_cases(options.seed), options.count)):
            visited.update(case.visited.keys())
            if found := disagreement(case):
                wrong += 1
                print(f"case {number}: {found}\n{line_of(case)}", file=sys.stderr)
            if out is not None and not (options.valid and case.vector is None):
                print(line_of(case), file=out)
    for feature in FEATURES:
        print(f"{visited[feature]:8}  {feature}")
    print(f"{options.count} cases, {wrong} of which the library reads differently")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
