"""Every registered scheme on a recorded update of each workload: bytes, error, and how long encode and decode take.

    python -m simulations.benchmarks.schemes --out simulations/results/bench

Schemes with a budget at a few, the others as their examples are; those that can are also coded against the model and
the one before it. The bytes and errors of the same function on two small updates are pinned by
`tests/codecs/test_sizes.py`, which CI runs. Knows neither torch nor Flower until it asks for recorded updates.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from statistics import median
from typing import NamedTuple

import numpy as np

from surp_fl.codecs import SCHEMES, Scheme
from surp_fl.codecs.codec import with_budget
from surp_fl.layout import Layout
from surp_fl.types import Reference, Vector

BUDGETS = (250, 2000, 15_000, 91_000)  # bytes


class Coded(NamedTuple):
    """One message: its bytes, the coordinates it changes, ‖v − decoded‖ / ‖v‖, and medians of seconds."""

    bytes: int
    coordinates: int
    error: float
    seconds: float
    seconds_back: float


def settings_of(budgets: Iterable[int]) -> Iterator[tuple[str, str, Scheme]]:
    """Each registered scheme: its name, its options as a text, and itself; at budgets in bytes if it has one."""
    for row in SCHEMES.values():
        if row.has_budget:
            first = next(iter(row.examples.values()))
            yield from ((row.name, f"{budget} B", with_budget(first, budget)) for budget in budgets)
        else:
            yield from ((row.name, options, scheme) for options, scheme in row.examples.items())


def coded(scheme: Scheme, vector: Vector, layout: Layout, reference: Reference = None, repeats: int = 1) -> Coded:
    """Encode and decode a vector some times; messages differ in nothing, as they draw from the same numbers."""
    codec, seconds = scheme.codec, []
    for _ in range(repeats):
        rng, began = np.random.default_rng(0), time.perf_counter()
        message = codec.encode(vector, layout, rng=rng, reference=reference)
        between = time.perf_counter()
        decoded = codec.decode(message, layout, reference=reference)
        seconds.append((between - began, time.perf_counter() - between))
    error = np.linalg.norm((vector - decoded).astype(float)) / np.linalg.norm(vector.astype(float))
    encode, decode = map(median, zip(*seconds, strict=True))
    return Coded(len(message), int(np.count_nonzero(decoded)), float(error), encode, decode)


def main(arguments: list[str] | None = None) -> int:
    """Measure all schemes; write bench_schemes.json, its table and its plot."""
    from simulations.experiments.command_line import add_out, parser_of
    from simulations.experiments.recorded_updates import RECORDED, recorded
    from simulations.report import bench_schemes, files

    parser = parser_of("simulations.benchmarks.schemes", __doc__)
    parser.add_argument("--workloads", nargs="+", choices=RECORDED, default=RECORDED, help="whose updates (all)")
    parser.add_argument("--repeats", type=int, default=5, help="of each (%(default)s)")
    parser.add_argument("--data-root", default="", help="folder of the datasets")
    add_out(parser)
    options = parser.parse_args(arguments)
    rows: list[bench_schemes.Row] = []
    for workload in options.workloads:
        update = recorded(workload, "dense", options.data_root).update
        for name, setting, scheme in settings_of(BUDGETS):
            contexts: dict[str, Reference] = {"": None, ", model and history": (update.model, update.before)}
            for context, reference in contexts.items():
                if reference is None or scheme.codec.reader.contextual:
                    found = coded(scheme, update.vector, update.layout, reference, options.repeats)
                    rows.append(bench_schemes.Row(workload, name, setting + context, update.layout.size, *found))
        print(f"measured {workload}", flush=True)
    bench_schemes.save(rows, options.out)
    files.write(files.bench_schemes_in(options.out))
    print("\n" + (options.out / "bench_schemes.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
