"""NNCodec and SuRP on recorded updates: the error at equal bytes, from 50 B to 500 kB.

    python -m simulations.experiments.update_rates --nncodec PYTHON --out simulations/results/update_rates

One update of a run without compression and one of a run with error feedback, for each workload. SuRP's messages depend
on nothing, on the model, or on the model and the one before it; NNCodec's are by its defaults, tuned (the best λ of its
quantisation and its own rule for a step for each array, at each size), or in the context of the update before; that
not with error feedback, where the context would tell what, had it been sent, would no longer be owed. What has rows
already is not run again, unless `--again` names it. `--nncodec` names the Python of the environment that has
NNCodec, which `make peers` makes; without it SuRP alone is measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from simulations.experiments.command_line import add_out, parser_of
from simulations.experiments.messages import error_of
from simulations.experiments.recorded_updates import RECORDED, SOURCES, InTurn, recorded
from simulations.nncodec.process import Process
from simulations.nncodec.updates import arrays_of, coarsest, encoded, fitting, vector_of
from simulations.report import files, update_rates
from simulations.report.update_rates import OURS, SIZES, SURP_SIZES, THEIRS, Measured, Tried
from surp_fl import SuRP
from surp_fl.types import Reference

_MOST_BYTES = 2  # for each coordinate
_TUNED = [{"lambda_scale": scale, "opt_qp": own} for scale, own in product((0.0, 0.5, 2.0, 8.0), (False, True))]
_SETTINGS: dict[str, list[dict[str, Any]]] = dict(zip(THEIRS, ([{}], _TUNED, [{"tca": True}]), strict=True))


def surp(found: InTurn, way: str) -> Iterator[Tried]:
    """SuRP in one context, at all sizes."""
    update = found.update
    contexts: tuple[Reference, ...] = (None, update.model, (update.model, update.before))
    reference = dict(zip(OURS, contexts, strict=True))[way]
    for size in sizes_for(update.layout.size, SURP_SIZES):
        codec, began = SuRP(size).codec, time.perf_counter()
        message = codec.encode(
            update.vector, update.layout, rng=np.random.default_rng(0), reference=reference, delta=update.delta
        )
        between = time.perf_counter()
        error = error_of(update, message, codec, reference)
        yield Tried(size, len(message), error, between - began, time.perf_counter() - between)


def nncodec(found: InTurn, way: str, process: Process) -> Iterator[Tried]:
    """NNCodec in one way, at all sizes: the settings of least error, each with the finest step that fits."""
    layout, wanted = found.update.layout, found.update.vector
    in_context = any(given.get("tca") for given in _SETTINGS[way])
    process.hold(*(arrays_of(each.vector, each.layout) for each in reversed(found[: 1 + in_context])))
    seconds: dict[bytes, float] = {}

    def messages_with(given: dict[str, Any]) -> Callable[[int], list[bytes]]:
        @cache
        def messages_at(qp: int) -> list[bytes]:
            messages = encoded(process, qp, given)
            seconds[messages[-1]] = process.seconds
            return messages

        return messages_at

    ways = [messages_with(given) for given in _SETTINGS[way]]
    for size in sizes_for(layout.size, SIZES):
        tried = []
        for messages in (fitting(messages_at, size, coarsest(wanted)) for messages_at in ways):
            if messages is not None:
                difference = wanted - vector_of(process.decode(*messages), layout)
                error = float(np.linalg.norm(difference) / np.linalg.norm(wanted))
                message = messages[-1]
                tried.append(Tried(size, len(message), error, seconds[message], process.seconds))
        if tried:
            yield min(tried, key=lambda each: each.error)


def _ways_on(source: str) -> list[str]:
    """Those of NNCodec: what came before is a context of updates alone, without a residual."""
    return [way for way in THEIRS if source == SOURCES[0] or not _SETTINGS[way][0].get("tca")]


def sizes_for(coordinates: int, sizes: tuple[int, ...]) -> list[int]:
    """Those that a message about so many coordinates may have: up to two bytes for each."""
    return [size for size in sizes if size <= _MOST_BYTES * coordinates]


def main(arguments: list[str] | None = None) -> int:
    """Measure what has no rows yet; write a file for each workload, the tables and the plot."""
    parser = parser_of("simulations.experiments.update_rates", __doc__)
    parser.add_argument("--workloads", nargs="+", choices=RECORDED, default=RECORDED, help="which (all)")
    parser.add_argument("--nncodec", type=Path, help="Python of an environment that has NNCodec")
    parser.add_argument(
        "--again", nargs="+", choices=(*OURS, *THEIRS), default=(), help="ways whose rows are made anew"
    )
    parser.add_argument("--data-root", default="", help="folder of the datasets")
    add_out(parser)
    options = parser.parse_args(arguments)
    with Process(options.nncodec) if options.nncodec else nullcontext() as process:
        for workload, source in product(options.workloads, SOURCES):
            rows = [row for row in update_rates.load(options.out) if row.workload == workload]
            for way in [*OURS, *(_ways_on(source) if process else ())]:
                mine = [row for row in rows if (row.source, row.way) == (source, way)]
                if mine and way not in options.again:
                    continue
                found = recorded(workload, source, options.data_root)
                tried = surp(found, way) if process is None or way in OURS else nncodec(found, way, process)
                new = [Measured(workload, source, way, found.update.layout.size, each) for each in tried]
                rows = [row for row in rows if row not in mine] + new
                update_rates.save(rows, options.out)
                print(f"{workload}, {source}: {way}", flush=True)
    files.write(files.update_rates_in(options.out))
    print("\n" + (options.out / "update_rates.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
